"""Mean and deviation over the runs of a group."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.session.groups import group_metrics


def run(group: str | None, **result: object) -> dict[str, object]:
    return {"group": group, "result": result}


def test_a_group_has_mean_deviation_and_count_of_every_measurement() -> None:
    metrics = group_metrics(
        {
            "a": run("g", r2=0.5, parameters=7, best_epoch=3, model="MLP"),
            "b": run("g", r2=0.7, parameters=7, best_epoch=5, model="MLP"),
            "c": run("g"),
            "d": run("alone", r2=0.1),
            "e": run(None, r2=0.1),
        }
    )
    assert list(metrics) == ["g"]
    assert metrics["g"]["r2"] == {"mean": pytest.approx(0.6), "deviation": pytest.approx(0.2 / 2**0.5), "count": 2}
    assert list(metrics["g"]) == ["r2", "best_epoch"]


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), st.one_of(st.floats(), st.integers(), st.booleans(), st.text())))
)
def test_the_metrics_of_a_group_are_finite_whatever_its_runs_wrote(results: list[dict[str, object]]) -> None:
    metrics = group_metrics({str(n): {"group": "g", "result": result} for n, result in enumerate(results)})
    for metric in metrics.get("g", {}).values():
        assert abs(metric["mean"]) <= 1e100
        assert 0 <= metric["deviation"] <= 1e101
