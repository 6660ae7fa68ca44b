"""The end of an allocation as an engine knows it, without an answer of Slurm."""

import asyncio
from pathlib import Path

from pmssm.supervisor.engine.allocation_watch import AllocationWatch, watch_allocation
from pmssm.supervisor.plan.loader import parse_plan

PLAN = parse_plan('[slurm]\nsignal_s = 60\n[runs.a]\ncommand = ["true"]\n', "plan.toml")
INSIDE = {"SLURM_JOB_ID": "123", "SLURMD_NODENAME": "n1", "SLURM_JOB_NUM_NODES": "3"}
TIMES = {"SLURM_JOB_START_TIME": "1000", "SLURM_JOB_END_TIME": "4600"}


async def watch_without_slurm(empty: Path, **times: str) -> AllocationWatch:
    """Return a watch that has asked a machine without Slurm's programs."""
    answered = asyncio.Event()
    watch = watch_allocation(PLAN, {**INSIDE, **times, "PATH": str(empty)}, answered.set)
    watch.is_ending(1000)
    await asyncio.wait_for(answered.wait(), 10)
    return watch


async def test_the_end_in_the_environment_counts_where_slurm_does_not_answer(tmp_path: Path) -> None:
    watch = await watch_without_slurm(tmp_path, **TIMES)
    assert [watch.is_ending(now) for now in (1000, 4539, 4540, 5000)] == [False, False, True, True]
    assert watch.view is not None and watch.view.ends == 4600
    assert watch.shares == ()
    (problem,) = watch.problems()
    assert problem.startswith(
        "the nodes of allocation 123 are not known, so only n1 is used: scontrol: no such program"
    )
    watch.close()


async def test_an_end_that_nobody_tells_is_a_problem_and_stops_nothing(tmp_path: Path) -> None:
    watch = await watch_without_slurm(tmp_path)
    assert not watch.is_ending(1e12)
    assert any("when allocation 123 ends is not known: scontrol: no such program" in note for note in watch.problems())
    watch.close()


def test_outside_of_an_allocation_nothing_is_asked() -> None:
    watch = watch_allocation(PLAN, {"SLURM_JOB_ID": "123"}, lambda: None)  # a login node's salloc
    assert (watch.is_ending(1e12), watch.view, list(watch.problems())) == (False, None, [])
