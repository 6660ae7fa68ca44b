"""`campaign`: figures and page of the rounds of a session."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pmssm.trainers.campaign.figures import arm_figures, nearest_distances, random_arm
from pmssm.trainers.campaign.history import Chain, Holdout, Simulated, read_chains
from pmssm.trainers.campaign.hits import Goal
from pmssm.trainers.campaign.report import build_campaign_report, conclusion, shown_rounds, time_table
from pmssm.trainers.errors import DataError

Floats = NDArray[np.float64]
Write = Callable[..., Path]
GOAL = Goal(0.12, 0.1)

ROUNDS, SEEDS, CALLS = 3, 2, 20
HITS = {"random": 2, "best": 8}  # of 20 calls


def simulated(seed: int, hits: int, failed: int = 1) -> Simulated:
    random = np.random.default_rng(seed)
    points = random.uniform(-2000, 2000, (CALLS, 19))
    points[:, 4] = 4000.0
    omega = np.full(CALLS, 0.5)
    omega[:hits], omega[CALLS - failed :] = 0.125, -1
    return Simulated(points, omega, np.where(omega == -1, 0, 3).astype(np.int8))


def chain(arm: str, seed: int) -> Chain:
    result = Chain(f"seed{seed}-strategy-{arm}", f"strategy-{arm}")
    for number in range(1, ROUNDS + 1):
        result.simulated[number] = simulated(1000 * len(arm) + 100 * seed + number, HITS[arm] + seed - 1)
        result.accuracy[number] = 0.3 / number
    return result


@pytest.fixture
def chains() -> list[Chain]:
    return [chain(arm, seed) for arm in HITS for seed in (1, 2)]


def test_yield_is_hits_per_call_with_its_spread_over_the_seeds(chains: list[Chain]) -> None:
    random, best = arm_figures(chains, GOAL)
    assert (best.name, best.seeds, best.calls, best.failed, best.hits) == ("strategy-best", 2, 120, 6, 8 * 3 + 9 * 3)
    assert best.mean_yield == pytest.approx(8.5 / 20)
    assert best.yield_std == pytest.approx(np.std([8 / 20, 9 / 20], ddof=1))
    assert best.rates.shape == best.accuracy.shape == (2, 3)
    assert random_arm([best, random]) is random
    assert conclusion([random, best], GOAL) == (
        "42.5 % of the points that strategy-best simulated are within 10 % of 0.12, 3.4 times as many as with random "
        "points. 100.0 % of these hits have the same kind of lightest sparticle: higgsino."
    )


def test_the_error_near_the_goal_is_that_of_the_hits_of_the_holdout(chains: list[Chain]) -> None:
    true = np.array([0.12, 0.11, 0.13, 0.5])
    chains[0].holdout[2] = Holdout(true, true * [1.1, 1.2, 0.7, 9.0])
    figures = arm_figures(chains, GOAL)[0]
    assert figures.accuracy_near[0, 1] == pytest.approx(0.2)
    assert np.isnan(figures.accuracy_near[1]).all()
    assert np.isnan(chains[0].error_near(2, Goal(0.3, 0.1)))


def test_the_time_of_a_run_is_the_mean_over_rounds_and_seeds(chains: list[Chain]) -> None:
    chains[0].seconds = {"train": [1.0, 2.0], "simulate": [5.0]}
    chains[1].seconds = {"train": [6.0]}
    figures = arm_figures(chains, GOAL)
    assert figures[0].seconds == {"train": 3.0, "simulate": 5.0}
    table = time_table(figures)
    assert table["heads"] == ["strategy", "train", "simulate", "all"]
    assert [row["cells"][1:] for row in table["rows"]] == [["3.0", "5.0", "8.0"], ["n/a", "n/a", "0.0"]]


def test_a_point_that_a_chain_simulated_twice_is_counted(chains: list[Chain]) -> None:
    assert [arm.duplicates for arm in arm_figures(chains, GOAL)] == [0, 0]
    chains[0].simulated[3] = chains[0].simulated[1]
    assert [arm.duplicates for arm in arm_figures(chains, GOAL)] == [20, 0]


def test_a_round_that_is_missing_leaves_a_gap(chains: list[Chain]) -> None:
    del chains[0].simulated[3], chains[0].accuracy[2]
    figures = arm_figures(chains, GOAL)[0]
    assert np.isnan(figures.rates).tolist() == [[False, False, True], [False] * 3]
    assert np.isnan(figures.accuracy).tolist() == [[False, True, False], [False] * 3]


def test_constant_parameters_have_no_distance(chains: list[Chain]) -> None:
    for arm in arm_figures(chains, GOAL):
        assert 0.1 < arm.spacing < 3


def test_the_nearest_point_is_another_one() -> None:
    assert nearest_distances(np.array([[0.0], [1.0], [5.0]])).tolist() == [1.0, 1.0, 4.0]
    assert len(nearest_distances(np.zeros((1, 3)))) == 0


@pytest.mark.parametrize(("rounds", "count"), [(1, 1), (10, 10), (40, 10), (200, 10)])
def test_a_table_has_at_most_ten_rounds_with_the_first_and_the_last(rounds: int, count: int) -> None:
    shown = shown_rounds(rounds)
    assert (len(shown), shown[0], shown[-1]) == (count, 1, rounds)


@pytest.fixture
def session(tmp_path: Path, root_file: Write) -> Path:
    """The folder of a session of two chains and two rounds; one simulation is damaged, one has not run yet."""
    plan = ""
    for seed, arm, number in ((1, "best", 1), (1, "best", 2), (1, "random", 1), (1, "random", 2)):
        name = f"seed{seed}-strategy-{arm}-r{number:02d}"
        plan += f'[runs.sim-{name}]\nround = {number}\nchain = "seed{seed}-strategy-{arm}"\n'
        plan += f'[runs.train-{name}]\nround = {number}\nchain = "seed{seed}-strategy-{arm}"\n'
        plan += f'line = "train-seed{seed}-strategy-{arm}"\n'
        (tmp_path / f"sim-{name}").mkdir()
        (tmp_path / f"train-{name}").mkdir()
        (tmp_path / f"train-{name}" / "model.pt").touch()
        (tmp_path / f"train-{name}" / "result.json").write_text('{"median_relative_error": 0.25}')
        if arm == "best":
            np.savez(tmp_path / f"train-{name}" / "holdout.npz", true=[0.12, 0.5], predicted=[0.15, 0.5])
            events = [{"kind": "attempt_ended", "run": f"train-{name}", "exit": {"duration_s": s}} for s in (1.5, 2.5)]
            with (tmp_path / "journal.jsonl").open("a") as journal:
                journal.writelines(json.dumps(event) + "\n" for event in events)
                journal.write('{"kind": "attempt_ended", "run": "half a')
                journal.write("\n")
        data = simulated(number, HITS[arm])
        rows = np.column_stack([data.points, data.omega])
        if number == 1:
            root_file(tmp_path / f"sim-{name}" / "points.root", rows)
        elif arm == "best":
            (tmp_path / f"sim-{name}" / "points.root").write_bytes(b"half a file")
    (tmp_path / "plan.toml").write_text(plan)
    return tmp_path


def test_the_page_shows_what_there_is_and_names_what_cannot_be_read(session: Path) -> None:
    tables = build_campaign_report(session, session / "campaign", GOAL)
    assert [table["title"] for table in tables] == [
        "Yield", "Hit rate by round", "Error of the model by round", "Error of the model within 10 % of 0.12",
        "Lightest sparticle of the hits", "Time of a round",
    ]  # fmt: skip
    page = (session / "campaign" / "report.html").read_text()
    assert "sim-seed1-strategy-best-r02: " in page
    assert "4.0 times as many as with random points" in page
    assert json.loads((session / "campaign" / "result.json").read_text()) == {
        "yield strategy-best": 0.4,
        "yield strategy-random": 0.1,
    }
    figures = json.loads((session / "campaign" / "campaign.json").read_text())
    assert figures["strategy-best"]["hit_rate_by_round"] == [[0.4]]
    assert figures["strategy-best"]["accuracy_near_by_round"] == [[pytest.approx(0.25)]]
    assert figures["strategy-best"]["seconds"] == {"train": 4.0}
    assert sorted(path.name for path in (session / "campaign").glob("*.png")) == [
        "accuracy.png",
        "accuracy_near.png",
        "corner.png",
        "hit_rate.png",
    ]


def test_a_chain_without_hits_has_a_page_too(session: Path) -> None:
    build_campaign_report(session, session / "campaign", Goal(0.3, 0.01))
    assert "0.0 % of the points" in (session / "campaign" / "report.html").read_text()


def test_chains_come_from_the_plan_of_the_session(session: Path) -> None:
    chains, problems = read_chains(session)
    assert [(one.name, one.arm) for one in chains] == [
        ("seed1-strategy-best", "strategy-best"),
        ("seed1-strategy-random", "strategy-random"),
    ]
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (None, "contains no plan of a session; use the folder logs/session_<stamp>"),
        ("[runs.a]\n", "the plan of the session has no rounds; add rounds and each_round"),
        ("[runs.a]\nround = 1\n", "no run of a round has simulated points; a simulation writes points.root into"),
        ('[runs.a]\nround = "x"\n', "plan.toml: round, chain and line of a run must be"),
        ("runs = 3\n", "contains no plan of a session"),
    ],
)
def test_a_folder_without_rounds_is_refused(plan: str | None, message: str, tmp_path: Path) -> None:
    if plan is not None:
        (tmp_path / "plan.toml").write_text(plan)
    with pytest.raises(DataError) as caught:
        read_chains(tmp_path)
    assert message in str(caught.value)
