"""What a job's state means for its run, in words and for the engine. Pure.

The files that the shim writes are the truth about an attempt: its exit record decides how it ended. A job's state only
explains why there is no such record yet, or none at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .job_status import JobStatus
from .pending_reasons import explain_pending

LAUNCH_FAILED = 53  # Slurm's own code in place of a signal: the batch script never ran
OUT_OF_MEMORY = 125  # likewise: the kernel ended a process of the job for its memory

_TOO_LITTLE_MEMORY = ("used more memory than it asked for", "ask for more `mem`")
_INTERRUPTIONS = {  # by state: sentence, remedy
    "TIMEOUT": (
        "reached its time limit on {where}",
        "a new job continues it; ask for more `time` if the partition allows that",
    ),
    "DEADLINE": ("reached its deadline", "leave --deadline out of `extra`"),
    "PREEMPTED": ("had to give {where} to a job of higher priority", ""),
    "NODE_FAIL": ("{where} failed or was taken out of service", ""),
    "BOOT_FAIL": ("{where} did not start up", ""),
}


class Phase(StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    RUNNING = "running"
    ENDED = "ended"
    UNKNOWN = "unknown"


class Outcome(StrEnum):
    """What the end of a job means for its attempt when there is no exit record that says more."""

    SUCCEEDED = "succeeded"  # exit code 0
    INTERRUPTED = "interrupted"  # the cluster took the node away: go on in a new job, no retry is used up
    FAILED = "failed"  # the command's own fault, as far as Slurm can tell
    CANCELLED = "cancelled"  # somebody cancelled it, us or the user: it does not start again by itself
    NOT_STARTED = "not started"  # the batch script never ran; the same submission would fail again


@dataclass(frozen=True)
class JobMeaning:
    """A job's state in our terms.

    Attributes:
        phase: Where it stands.
        sentence: One plain sentence for the screen.
        remedy: What the user can do; empty where nothing is needed.
        outcome: How its attempt ended; None unless `phase` is ENDED.
        is_stuck: Whether a pending job will never start unless somebody acts.
    """

    phase: Phase
    sentence: str
    remedy: str = ""
    outcome: Outcome | None = None
    is_stuck: bool = False


UNKNOWN_JOB = JobMeaning(
    Phase.UNKNOWN,
    "Slurm has no record of the job",
    "it ended some minutes ago, or the controller was restarted and lost it",
)


def explain(job: JobStatus) -> JobMeaning:
    """Explain a job's state."""
    match job.state:
        case "PENDING":
            waiting = explain_pending(job)
            return JobMeaning(Phase.PENDING, waiting.sentence, waiting.remedy, is_stuck=waiting.is_stuck)
        case "RUNNING":
            return _explain_running(job)
        case "SUSPENDED":
            remedy = "it goes on by itself, or `scontrol resume` continues it"
            return JobMeaning(Phase.RUNNING, f"suspended on {_where(job)}", remedy)
        case "CONFIGURING" | "STAGE_OUT" | "SIGNALING" | "RESIZING" | "STOPPED" | "COMPLETING":
            return _explain_running(job)
        case "SPECIAL_EXIT" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" | "RESV_DEL_HOLD":
            sentence = f"waits to start again ({job.state.lower()})"
            return JobMeaning(Phase.PENDING, sentence, f"`scontrol release {job.job_id}` if it stays so", is_stuck=True)
        case "REVOKED":
            return _ended(Outcome.CANCELLED, "runs on another cluster of the federation, where it cannot be followed")
    return _explain_end(job)


def _explain_running(job: JobStatus) -> JobMeaning:
    if "CONFIGURING" in job.flags or job.state == "CONFIGURING":
        return JobMeaning(Phase.RUNNING, f"{_where(job)} is being prepared")
    if "COMPLETING" in job.flags or job.state == "COMPLETING":
        return JobMeaning(Phase.RUNNING, f"is ending on {_where(job)}")
    return JobMeaning(Phase.RUNNING, f"runs on {_where(job)}")


def _explain_end(job: JobStatus) -> JobMeaning:
    match job.state:
        case "COMPLETED":
            return _ended(Outcome.SUCCEEDED, f"ended on {_where(job)} with exit code 0")
        case "OUT_OF_MEMORY":
            return _ended(Outcome.FAILED, *_TOO_LITTLE_MEMORY)
        case "CANCELLED":
            return _explain_cancelled(job)
        case "FAILED":
            return _explain_failed(job)
    if job.state in _INTERRUPTIONS:
        sentence, remedy = _INTERRUPTIONS[job.state]
        return _ended(Outcome.INTERRUPTED, sentence.format(where=_where(job)), remedy)
    sentence = f"is in a state that this version does not know: {job.state.lower()}"
    return JobMeaning(Phase.UNKNOWN, sentence, f"`scontrol show job {job.job_id}` says more")


def _explain_cancelled(job: JobStatus) -> JobMeaning:
    if job.reason == "DependencyNeverSatisfied":
        return _ended(Outcome.CANCELLED, "was cancelled: a run that it waits for did not succeed")
    if job.started is None or not job.nodes:
        return _ended(Outcome.CANCELLED, "was cancelled before it started", "restart the run to submit it again")
    return _ended(Outcome.CANCELLED, f"was cancelled on {_where(job)}", "restart the run to submit it again")


def _explain_failed(job: JobStatus) -> JobMeaning:
    where = _where(job)
    if job.signal == LAUNCH_FAILED:
        remedy = f"the logs folder, or the folder of the command, is missing on {where}: use one that all nodes see"
        return _ended(Outcome.NOT_STARTED, f"could not be started on {where}", remedy)
    if job.signal == OUT_OF_MEMORY:
        return _ended(Outcome.FAILED, *_TOO_LITTLE_MEMORY)
    if job.reason in ("BadConstraints", "PartitionConfig") or not job.nodes:
        remedy = "correct `partition`, `gres`, `mem` or `constraint`"
        return _ended(Outcome.NOT_STARTED, f"was refused by Slurm ({job.reason or 'no reason given'})", remedy)
    if job.signal == 9:
        remedy = "too little memory is the usual cause: ask for more `mem`"
        return _ended(Outcome.FAILED, f"was killed on {where} (signal 9)", remedy)
    if job.signal:
        return _ended(Outcome.FAILED, f"ended on {where} by signal {job.signal}")
    return _ended(Outcome.FAILED, f"ended on {where} with exit code {_or_unknown(job.exit_code)}")


def _ended(outcome: Outcome, sentence: str, remedy: str = "") -> JobMeaning:
    return JobMeaning(Phase.ENDED, sentence, remedy, outcome)


def _where(job: JobStatus) -> str:
    return job.nodes or "a node"


def _or_unknown(code: int | None) -> str:
    return "unknown" if code is None else str(code)
