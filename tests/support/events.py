"""Builders of events with plain values, for tests of what reads them.

Attempt n of a run starts at n * 10 s and ends 2.5 s later, unless a test says otherwise.
"""

from pmssm.supervisor.gpus.slots import Slot
from pmssm.supervisor.session.events import (
    AttemptEnded,
    AttemptStarted,
    AttemptStarting,
    AttemptSubmitted,
    AttemptVoided,
    ContinuationScheduled,
    Exit,
    RestartRequested,
    StopRequested,
)

GPU = Slot(index=0, gpu_index=1, gpu_uuid="GPU-1", name="GPU 1")


def starting(
    run: str = "a",
    number: int = 1,
    *,
    at: float | None = None,
    slot: Slot | None = GPU,
    fresh: bool = False,
    log_offset: int = 0,
    launcher: str = "local",
) -> AttemptStarting:
    """Return the decision to start an attempt."""
    at = number * 10 if at is None else at
    return AttemptStarting(
        at=at, run=run, attempt=number, slot=slot, fresh=fresh, log_offset=log_offset, launcher=launcher
    )


def submitting(run: str = "a", number: int = 1) -> AttemptStarting:
    """Return the decision to submit an attempt to Slurm."""
    return starting(run, number, slot=None, launcher="slurm")


def submitted(run: str = "a", number: int = 1, *, job_id: str = "314") -> AttemptSubmitted:
    """Return the acceptance of an attempt by a batch system."""
    return AttemptSubmitted(at=number * 10 + 0.2, run=run, attempt=number, job_id=job_id)


def continued(run: str = "a") -> ContinuationScheduled:
    """Return the decision to go on with an interrupted run."""
    return ContinuationScheduled(at=13, run=run)


def started(run: str = "a", number: int = 1, *, pid: int = 4242, node: str | None = None) -> AttemptStarted:
    """Return the start of an attempt's process, 0.5 s after the decision."""
    return AttemptStarted(at=number * 10 + 1, run=run, attempt=number, pid=pid, started=number * 10 + 0.5, node=node)


def voided(run: str = "a", number: int = 1) -> AttemptVoided:
    """Return the event of an attempt whose engine died before it started it."""
    return AttemptVoided(at=number * 10 + 1, run=run, attempt=number)


def ended(run: str = "a", number: int = 1, *, at: float | None = None, **exit_record: object) -> AttemptEnded:
    """Return the end of an attempt; `exit_record` holds fields of `Exit`, without any it is lost."""
    record = Exit.model_validate({"ended": number * 10 + 2.5, **exit_record})
    return AttemptEnded(at=record.ended if at is None else at, run=run, attempt=number, exit=record)


def stop_requested(run: str = "a", how: str = "stop") -> StopRequested:
    """Return a request to stop a run; `how` is "stop" or "kill"."""
    return StopRequested.model_validate({"at": 12, "run": run, "how": how})


def restart_requested(run: str = "a", *, fresh: bool = False) -> RestartRequested:
    """Return a user's request to restart a run."""
    return RestartRequested(at=12, run=run, fresh=fresh)
