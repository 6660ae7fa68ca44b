"""Sweeps: what a matrix becomes, who waits for it, and the figures of runs that repeat each other."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.plan.errors import PlanError
from pmssm.supervisor.plan.loader import dump_plan, load_plan, parse_plan
from pmssm.supervisor.plan.matrix import MAX_RUNS
from pmssm.supervisor.plan.schema import Plan
from pmssm.supervisor.session.groups import group_metrics, groups_table

SWEEP = Path(__file__).parents[3] / "examples" / "plans" / "sweep.toml"

TWO_KEYS = """
[runs.first]
command = ["true"]
[runs.fit]
command = ["fit", "--seed", "{seed}", "{{seed}}", "{output}"]
env = { RATE = "{rate}" }
fresh_args = ["--fresh={seed}"]
cwd = "{rate}"
after = ["first"]
slot = 1
matrix.seed = [1, 2]
matrix.rate = [1e-4, 0.5]
[runs.last]
command = ["true"]
after = ["first", "fit"]
[runs.report]
command = ["true"]
after_end = ["fit"]
"""


def expanded(text: str) -> Plan:
    return parse_plan(text, "plan.toml")


def test_a_run_becomes_one_for_each_combination_in_its_place_with_a_readable_name() -> None:
    assert list(expanded(TWO_KEYS).runs) == [
        "first",
        "fit-seed1-rate0.0001",
        "fit-seed1-rate0.5",
        "fit-seed2-rate0.0001",
        "fit-seed2-rate0.5",
        "last",
        "report",
    ]


def test_the_values_go_where_their_placeholders_stand_and_nothing_else_is_touched() -> None:
    run = expanded(TWO_KEYS).runs["fit-seed2-rate0.0001"]
    assert run.command == ("fit", "--seed", "2", "{{seed}}", "{output}")
    assert run.env == {"RATE": "0.0001"}
    assert (run.fresh_args, run.cwd, run.slot, run.after) == (("--fresh=2",), "0.0001", 1, ("first",))


def test_who_waits_for_a_run_with_a_matrix_waits_for_all_it_became() -> None:
    runs = expanded(TWO_KEYS).runs
    fits = tuple(name for name in runs if name.startswith("fit"))
    assert runs["last"].after == ("first", *fits)
    assert runs["report"].after_end == fits


def test_runs_that_differ_in_their_seed_alone_are_a_group() -> None:
    runs = expanded(TWO_KEYS).runs
    groups = {name: run.group for name, run in runs.items()}
    assert groups["fit-seed1-rate0.5"] == groups["fit-seed2-rate0.5"] == "fit-rate0.5"
    assert groups["first"] is None
    text = '[runs.a]\ncommand = ["{x}"]\nmatrix.x = [1, 2]\n'
    assert [run.group for run in expanded(text).runs.values()] == [None, None]


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("seed", '"one"', "a-seed-one"),
        ("seed", "-1", "a-seed--1"),
        ("beta1", "0.9", "a-beta1-0.9"),
        ("file", '"../x y/{z}"', "a-file-.._x_y__z_"),
        ("rate", "1e-07", "a-rate1e-07"),
    ],
)
def test_names_stay_readable_and_usable_whatever_the_value(key: str, value: str, name: str) -> None:
    assert list(expanded(f'[runs.a]\ncommand = ["{{{key}}}"]\nmatrix.{key} = [{value}]\n').runs) == [name]


def test_a_value_with_braces_is_not_taken_for_a_placeholder() -> None:
    run = expanded('[runs.a]\ncommand = ["{x}"]\nmatrix.x = ["{output}"]\n').runs["a-x-_output_"]
    assert run.command == ("{{output}}",)


def test_a_sweep_written_as_a_sessions_plan_reads_back_the_same() -> None:
    plan = expanded(TWO_KEYS)
    assert parse_plan(dump_plan(plan), "plan.toml") == plan


values = st.one_of(st.integers(-(10**6), 10**6), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5))


@given(st.dictionaries(st.sampled_from("abcdefg"), st.lists(values, max_size=6), max_size=4))
def test_any_matrix_is_expanded_whole_or_refused_in_one_line(matrix: dict[str, list[object]]) -> None:
    import tomli_w

    command = ["true", *(f"{{{key}}}" for key in matrix)]
    text = tomli_w.dumps({"runs": {"run": {"command": command, "matrix": matrix}}})
    try:
        runs = expanded(text).runs
    except PlanError as error:
        assert str(error).startswith("plan.toml: runs.run.")
        assert str(error).isprintable()
    else:
        assert 0 < len(runs) <= MAX_RUNS
        given_values = [[str(value) for value in column] for column in matrix.values()]
        literal = [tuple(word.replace("{{", "{").replace("}}", "}") for word in run.command) for run in runs.values()]
        assert literal == [("true", *combination) for combination in product(*given_values)]


def test_the_worked_example_is_three_seeds_of_two_learning_rates_between_preparation_and_report() -> None:
    runs = load_plan(SWEEP).runs
    assert len(runs) == 8
    assert len(runs["report"].after_end) == 6
    assert {run.group for run in runs.values()} == {None, "mlp-learning_rate0.0001", "mlp-learning_rate0.001"}
    command = " ".join(runs["mlp-seed3-learning_rate0.001"].command)
    assert command.endswith("{training_options} --seed 3 --learning-rate 0.001")


# Groups in the summary


def run(group: str | None, **result: object) -> dict[str, object]:
    return {"group": group, "result": result}


def test_a_group_has_mean_deviation_and_count_of_every_measurement() -> None:
    figures = group_metrics(
        {
            "a": run("g", r2=0.5, parameters=7, best_epoch=3, model="MLP"),
            "b": run("g", r2=0.7, parameters=7, best_epoch=5, model="MLP"),
            "c": run("g"),
            "d": run("alone", r2=0.1),
            "e": run(None, r2=0.1),
        }
    )
    assert list(figures) == ["g"]
    assert figures["g"]["r2"] == {"mean": pytest.approx(0.6), "deviation": pytest.approx(0.2 / 2**0.5), "count": 2}
    assert list(figures["g"]) == ["r2", "best_epoch"]
    assert groups_table(figures) == [
        "mean ± deviation  g",
        "────────────────  ──────────────",
        "r2                0.6 ± 0.14 (2)",
        "best epoch        4 ± 1.4 (2)",
    ]
    assert groups_table({}) == []


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), st.one_of(st.floats(), st.integers(), st.booleans(), st.text())))
)
def test_whatever_runs_leave_their_group_has_finite_figures(results: list[dict[str, object]]) -> None:
    figures = group_metrics({str(n): {"group": "g", "result": result} for n, result in enumerate(results)})
    for figure in figures.get("g", {}).values():
        assert abs(figure["mean"]) <= 1e100
        assert 0 <= figure["deviation"] <= 1e101
