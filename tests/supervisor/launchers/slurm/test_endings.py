"""How an attempt ended: exit record, Slurm's word, our own stop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.launchers.slurm.endings import end_without_record, explained_end, needs_explanation
from pmssm.supervisor.launchers.slurm.job_status import JobStatus
from pmssm.supervisor.launchers.slurm.queue import ENDED_STATES
from pmssm.supervisor.launchers.slurm.stop_request import AFTER_GRACE_S, RESEND_S, StopRequest
from pmssm.supervisor.session.events import Exit

TERMINATED = Exit(ended=5000.0, exit_code=143, stop="stop")


def job(state: str, **values: object) -> JobStatus:
    return JobStatus(job_id=7, state=state, **{"nodes": "n1", "started": 1000.0, "ended": 5001.0, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["TIMEOUT", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "DEADLINE"])
def test_what_the_cluster_ends_is_interrupted_with_and_without_a_record(state: str) -> None:
    with_record = explained_end(TERMINATED, job(state), None, "n1")
    without = end_without_record(job(state), None, "", 6000.0)
    assert with_record.interrupted
    assert without.interrupted
    assert with_record.error == without.error


def test_a_stop_shortly_before_the_time_limit_is_slurms_warning() -> None:
    exit_ = explained_end(TERMINATED, job("FAILED", exit_code=143), 5100.0, "n1")
    assert (exit_.interrupted, exit_.error) == (True, "was stopped on n1 because its time limit was near")
    exit_ = explained_end(TERMINATED, job("FAILED", exit_code=143), 90_000.0, "n1")
    assert (exit_.interrupted, exit_.error) == (True, "was told to stop on n1 by a signal from outside")


def test_a_stop_that_slurm_cannot_explain_is_interrupted() -> None:
    assert explained_end(TERMINATED, None, None, "").interrupted


def test_a_stop_of_ours_and_a_success_need_no_explanation() -> None:
    assert not needs_explanation(TERMINATED, "stop")
    assert not needs_explanation(Exit(ended=1.0, exit_code=0), None)
    assert not needs_explanation(Exit(ended=1.0, exit_code=127, error="cannot start x"), None)
    assert needs_explanation(TERMINATED, None)
    assert needs_explanation(Exit(ended=1.0, signal=9), None)


def test_memory_is_the_reason_where_slurm_says_so() -> None:
    exit_ = explained_end(Exit(ended=5000.0, signal=9), job("OUT_OF_MEMORY"), None, "n1")
    assert not exit_.interrupted
    assert exit_.error == "used more memory than it asked for; ask for more `mem`"


def test_memory_is_suspected_where_slurm_has_said_nothing_yet() -> None:
    exit_ = explained_end(Exit(ended=5000.0, signal=9), None, None, "n1")  # other attempts of its job go on
    assert exit_.error == "was killed on n1 (signal 9); too little memory is the usual cause: ask for more `mem`"


def test_a_plain_failure_stays_as_it_is() -> None:
    record = Exit(ended=5000.0, exit_code=1)
    assert explained_end(record, job("FAILED", exit_code=1), None, "n1") == record


def test_somebody_elses_cancellation_is_no_interruption() -> None:
    for exit_ in (
        explained_end(TERMINATED, job("CANCELLED"), None, "n1"),
        end_without_record(job("CANCELLED"), None, "", 6000.0),
    ):
        assert not exit_.interrupted
        assert exit_.error == "was cancelled by somebody else on n1; restart the run to submit it again"


def test_a_cancellation_of_ours_is_a_stop() -> None:
    pending = end_without_record(job("CANCELLED", nodes="", started=None), "stop", "", 6000.0)
    assert (pending.stop, pending.error) == ("stop", "stopped before it started")


def test_a_job_that_never_started_says_what_it_wrote() -> None:
    exit_ = end_without_record(job("FAILED", exit_code=127), None, "/opt/python: No such file", 6000.0)
    assert exit_.error == "could not be started on n1: /opt/python: No such file"


def test_a_success_without_a_record_is_lost_and_names_the_folder() -> None:
    exit_ = end_without_record(job("COMPLETED", exit_code=0), None, "", 6000.0)
    assert (exit_.exit_code, exit_.error) == (None, None)
    assert "same logs folder" in (exit_.unseen or "")


@given(
    st.sampled_from(sorted(ENDED_STATES)),
    st.none() | st.integers(0, 255),
    st.none() | st.integers(1, 130),
    st.sampled_from([None, "stop", "kill"]),
)
def test_every_end_has_a_reason_and_stops_are_never_interruptions(
    state: str, exit_code: int | None, signal: int | None, stop: str | None
) -> None:
    exit_ = end_without_record(job(state, exit_code=exit_code, signal=signal), stop, "", 6000.0)  # type: ignore[arg-type]
    assert exit_.error or exit_.unseen
    assert not (stop and exit_.interrupted)


def request(kind: str, grace_s: float = 20.0) -> StopRequest:
    stop = StopRequest()
    stop.update(kind, grace_s)  # type: ignore[arg-type]
    return stop


def test_a_pending_job_is_cancelled_and_a_running_one_signalled() -> None:
    stop = request("stop")
    assert stop.due_call(0.0, is_running=False, is_stopping=False) == "cancel pending"
    stop.note_call("cancel pending", 0.0)
    assert stop.due_call(1.0, is_running=True, is_stopping=False) == "TERM"  # it started meanwhile
    assert request("kill").due_call(0.0, is_running=True, is_stopping=False) == "QUIT"


def test_a_signal_is_repeated_until_the_shim_reacts_and_force_follows_the_grace_period() -> None:
    stop = request("stop", grace_s=60.0)
    stop.note_call("TERM", 0.0)
    assert stop.due_call(1.0, is_running=True, is_stopping=False) is None
    assert stop.due_call(RESEND_S, is_running=True, is_stopping=False) == "TERM"
    assert stop.due_call(RESEND_S, is_running=True, is_stopping=True) is None
    assert stop.due_call(60.0 + AFTER_GRACE_S + 1, is_running=True, is_stopping=True) == "end"


def test_a_kill_after_a_stop_is_sent_at_once_and_a_stop_after_a_kill_changes_nothing() -> None:
    stop = request("stop", grace_s=60.0)
    stop.note_call("TERM", 0.0)
    stop.update("kill", 60.0)
    assert stop.due_call(0.1, is_running=True, is_stopping=True) == "QUIT"
    stop.note_call("QUIT", 0.1)
    stop.update("stop", 60.0)
    assert stop.kind == "kill"
    assert stop.due_call(0.1 + AFTER_GRACE_S + 1, is_running=True, is_stopping=True) == "end"


def test_a_repeated_request_never_lengthens_the_grace_period() -> None:
    stop = request("stop", grace_s=10.0)
    stop.note_call("TERM", 0.0)
    stop.update("stop", 1000.0)
    assert stop.due_call(10.0 + AFTER_GRACE_S + 1, is_running=True, is_stopping=True) == "end"
