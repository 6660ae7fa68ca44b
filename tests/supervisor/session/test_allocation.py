"""The allocation of Slurm around a process, and when its runs have to stop."""

import pytest
from pmssm.supervisor.session.allocation import Allocation, stop_time
from pmssm.supervisor.session.snapshot import AllocationView


def test_an_allocation_is_known_by_its_variables() -> None:
    inside = {"SLURM_JOB_ID": "123", "SLURMD_NODENAME": "n1", "SLURM_JOB_NUM_NODES": "2"}
    assert Allocation.around(inside) == Allocation("123", node="n1", nodes=2)
    in_a_step = inside | {"SLURM_STEP_ID": "0"}
    assert Allocation.around(in_a_step) == Allocation("123", node="n1")
    timed = {**inside, "SLURM_JOB_START_TIME": "1000", "SLURM_JOB_END_TIME": "4600"}
    assert Allocation.around(timed) == Allocation("123", node="n1", nodes=2, begun=1000, ends=4600)


@pytest.mark.parametrize("job_id", ["", "x", "-1", "1.5", "²", "9" * 30])
def test_what_is_no_job_number_is_no_allocation(job_id: str) -> None:
    assert Allocation.of({"SLURM_JOB_ID": job_id, "SLURMD_NODENAME": "n1"}) is None


@pytest.mark.parametrize("end", ["", "soon", "0", "-5", "1e9"])
def test_an_end_that_is_no_time_is_unknown(end: str) -> None:
    found = Allocation.of({"SLURM_JOB_ID": "1", "SLURM_JOB_END_TIME": end, "SLURM_JOB_NUM_NODES": end})
    assert found == Allocation("1")


def test_a_machine_that_is_no_node_of_the_allocation_is_not_inside() -> None:
    assert Allocation.of({"SLURM_JOB_ID": "123"}) == Allocation("123")
    assert Allocation.around({"SLURM_JOB_ID": "123"}) is None


def test_another_job_or_another_node_is_another_place() -> None:
    here = Allocation("1", node="n1")
    assert here.is_same_place(Allocation("1", node="n1", ends=5.0))
    assert not any(
        here.is_same_place(other) for other in (None, Allocation("2", node="n1"), Allocation("1", node="n2"))
    )


@pytest.mark.parametrize(
    ("ends", "signal_s", "expected"), [(4600, 120, 4480), (1040, 120, 1030), (4600, 0, None), (900, 120, 900)]
)
def test_runs_stop_before_the_end_but_use_three_quarters_of_the_time(
    ends: float, signal_s: float, expected: float | None
) -> None:
    assert stop_time(ends, 1000, signal_s) == expected


@pytest.mark.parametrize(
    ("ends", "text"),
    [(None, ""), (2520, " ends in 42 min"), (7500, " ends in 2 h 5 min"), (90, " ends in 90 s"), (-5, " ends in 0 s")],
)
def test_the_end_is_told_in_words(ends: float | None, text: str) -> None:
    assert AllocationView(job_id="123", node="n1", ends=ends).describe(0) == f"allocation 123{text}"
