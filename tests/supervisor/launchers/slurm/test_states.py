"""What job states mean: every row of what a real cluster showed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.launchers.slurm.job_status import JobStatus
from pmssm.supervisor.launchers.slurm.queue import BASE_STATES, ENDED_STATES
from pmssm.supervisor.launchers.slurm.states import Outcome, Phase, explain


def job(state: str, **values: object) -> JobStatus:
    return JobStatus(job_id=7, state=state, **{"nodes": "n1", "started": 1.0, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ended", "outcome", "words"),
    [
        (job("COMPLETED", exit_code=0), Outcome.SUCCEEDED, "exit code 0"),
        (job("FAILED", reason="NonZeroExitCode", exit_code=7), Outcome.FAILED, "exit code 7"),
        (job("FAILED", reason="JobLaunchFailure", signal=9), Outcome.FAILED, "killed on n1 (signal 9)"),
        (job("FAILED", reason="NonZeroExitCode", signal=11), Outcome.FAILED, "signal 11"),
        (job("FAILED", reason="JobLaunchFailure", signal=53), Outcome.NOT_STARTED, "could not be started on n1"),
        (job("FAILED", reason="BadConstraints", signal=1, nodes=""), Outcome.NOT_STARTED, "refused by Slurm"),
        (job("FAILED", signal=125), Outcome.FAILED, "more memory"),
        (job("OUT_OF_MEMORY", signal=125), Outcome.FAILED, "more memory"),
        (job("CANCELLED", signal=15), Outcome.CANCELLED, "cancelled on n1"),
        (job("CANCELLED", nodes="", started=None), Outcome.CANCELLED, "before it started"),
        (job("CANCELLED", reason="DependencyNeverSatisfied", nodes=""), Outcome.CANCELLED, "did not succeed"),
        (job("TIMEOUT", signal=9), Outcome.INTERRUPTED, "time limit"),
        (job("DEADLINE"), Outcome.INTERRUPTED, "deadline"),
        (job("PREEMPTED", signal=15), Outcome.INTERRUPTED, "higher priority"),
        (job("NODE_FAIL", reason="NodeDown"), Outcome.INTERRUPTED, "n1 failed"),
        (job("BOOT_FAIL"), Outcome.INTERRUPTED, "did not start up"),
    ],
)
def test_each_end_has_its_outcome_and_its_sentence(ended: JobStatus, outcome: Outcome, words: str) -> None:
    meaning = explain(ended)
    assert (meaning.phase, meaning.outcome) == (Phase.ENDED, outcome)
    assert words in meaning.sentence


def test_a_missing_folder_and_too_little_memory_have_a_remedy() -> None:
    assert "all nodes see" in explain(job("FAILED", signal=53)).remedy
    assert "`mem`" in explain(job("OUT_OF_MEMORY")).remedy
    assert "`mem`" in explain(job("FAILED", signal=9)).remedy


@pytest.mark.parametrize(
    ("reason", "words", "is_stuck"),
    [
        ("Resources", "enough resources", False),
        ("Priority", "other jobs come first", False),
        ("Dependency", "waits for another job", False),
        ("DependencyNeverSatisfied", "did not succeed", True),
        ("JobHeldUser", "held by its owner", True),
        ("JobHeldAdmin", "administrator", True),
        ("BeginTime", "later time", False),
        ("JobArrayTaskLimit", "its array", False),
        ("PartitionDown", "out of service", False),
        ("PartitionTimeLimit", "more time", True),
        ("PartitionConfig", "more than the partition has", True),
        ("BadConstraints", "more than the partition has", True),
        ("ReqNodeNotAvail, UnavailableNodes:n1", "busy, reserved or out of service", False),
        ("AssocMaxJobsLimit", "as many jobs", False),
        ("QOSMaxJobsPerUserLimit", "as many jobs", False),
        ("QOSMaxSubmitJobPerUserLimit", "as many jobs", False),
        ("AssocGrpJobsLimit", "as many jobs", False),
        ("QOSGrpGRES", "as much as it may", False),
        ("AssocGrpCpuLimit", "as much as it may", False),
        ("QOSMaxGRESPerUser", "as much as it may", False),
        ("MaxCpuPerAccount", "as much as it may", False),
        ("QOSMaxWallDurationPerJobLimit", "more than a job may have", True),
        ("AssocMaxWallDurationPerJobLimit", "more than a job may have", True),
        ("InvalidAccount", "account", True),
        ("InvalidQOS", "qos", True),
        ("Licenses", "licence", False),
        ("", "in a moment", False),
        ("SomethingNew2031", "SomethingNew2031", False),
    ],
)
def test_each_reason_to_wait_has_its_words(reason: str, words: str, is_stuck: bool) -> None:
    meaning = explain(job("PENDING", reason=reason, nodes="", started=None))
    assert meaning.phase is Phase.PENDING
    assert words in meaning.sentence
    assert meaning.is_stuck is is_stuck


def test_a_held_job_is_released_by_its_own_number() -> None:
    assert "scontrol release 7" in explain(job("PENDING", reason="JobHeldUser")).remedy


@pytest.mark.parametrize(
    ("running", "words"),
    [
        (job("RUNNING"), "runs on n1"),
        (job("RUNNING", flags=frozenset({"CONFIGURING"})), "being prepared"),
        (job("RUNNING", flags=frozenset({"COMPLETING"})), "is ending"),
        (job("COMPLETING"), "is ending"),
        (job("CONFIGURING"), "being prepared"),
        (job("SUSPENDED"), "suspended"),
    ],
)
def test_a_job_that_holds_nodes_counts_as_running(running: JobStatus, words: str) -> None:
    meaning = explain(running)
    assert meaning.phase is Phase.RUNNING
    assert meaning.outcome is None
    assert words in meaning.sentence


def test_a_state_of_a_later_slurm_is_named_and_decides_nothing() -> None:
    meaning = explain(job("TELEPORTED"))
    assert (meaning.phase, meaning.outcome) == (Phase.UNKNOWN, None)
    assert "teleported" in meaning.sentence


@given(
    st.sampled_from(sorted(BASE_STATES)) | st.text(),
    st.text(),
    st.text(),
    st.none() | st.integers(0, 255),
    st.none() | st.integers(0, 127),
)
def test_every_job_has_a_sentence_and_only_ended_ones_an_outcome(
    state: str, reason: str, nodes: str, exit_code: int | None, signal: int | None
) -> None:
    meaning = explain(JobStatus(job_id=1, state=state, reason=reason, nodes=nodes, exit_code=exit_code, signal=signal))
    assert meaning.sentence
    assert (meaning.outcome is not None) == (meaning.phase is Phase.ENDED)
    if state in ENDED_STATES:
        assert meaning.phase is Phase.ENDED
