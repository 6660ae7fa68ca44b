"""`keep`: which rounds need their checkpoints no longer."""

from __future__ import annotations

import pytest
from pmssm.supervisor.plan.loader import parse_plan
from pmssm.supervisor.session.pruning import prunable_runs
from pmssm.supervisor.session.state import RunState

PLAN = parse_plan(
    """
[session]
rounds = 5
[runs.train]
each_round = true
matrix.seed = [1, 2]
command = ["{seed}"]
keep = "last 2"
[runs.other]
each_round = true
command = ["true"]
""",
    "plan.toml",
)
DONE = dict.fromkeys(PLAN.runs, RunState.SUCCEEDED)


@pytest.mark.parametrize(
    ("ended", "prunable"),
    [
        ("train-seed1-r02", []),
        ("train-seed1-r03", ["train-seed1-r01"]),
        ("train-seed2-r05", ["train-seed2-r01", "train-seed2-r02", "train-seed2-r03"]),
        ("other-r05", []),
    ],
)
def test_only_older_rounds_of_the_same_chain_are_pruned(ended: str, prunable: list[str]) -> None:
    assert prunable_runs(PLAN, DONE, ended) == prunable


def test_a_round_that_has_not_succeeded_keeps_its_checkpoint_and_prunes_nothing() -> None:
    assert prunable_runs(PLAN, DONE | {"train-seed1-r01": RunState.FAILED}, "train-seed1-r03") == []
    assert prunable_runs(PLAN, DONE | {"train-seed1-r05": RunState.FAILED}, "train-seed1-r05") == []
