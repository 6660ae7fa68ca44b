"""Where an attempt stands, and why it waits, in words. Pure."""

from __future__ import annotations

from ..base import Placement, QueueWait
from .facts import Facts, Stage
from .job_status import JobStatus
from .pending_reasons import explain_pending

_BEFORE = {  # why an attempt without a known job waits
    Stage.SUBMITTING: "is being submitted",
    Stage.SEARCHED: "Slurm is asked whether it has the job",
}


def placement(facts: Facts, hold_reason: str, waits_for: str, *, is_over: bool) -> Placement:
    """Return where an attempt stands.

    Args:
        facts: What is known of it.
        hold_reason: Why it is not submitted yet.
        waits_for: The jobs before its own that have not succeeded, in words; "" if there are none.
        is_over: Whether it has ended.
    """
    job = facts.job.status
    job_id = "" if facts.job_id is None else str(facts.job_id)
    node = facts.files.node or (job.nodes if job is not None else "")
    if is_over or facts.is_running or facts.job.has_ended:
        return Placement(job_id, node)
    if facts.stage is Stage.SUBMITTED:
        return Placement(job_id, node, _queue_wait(job, waits_for))
    return Placement(job_id, waiting=QueueWait(_BEFORE.get(facts.stage, hold_reason)))


def _queue_wait(job: JobStatus | None, waits_for: str) -> QueueWait:
    if job is None:
        return QueueWait(waits_for)
    if job.reason == "Dependency" and waits_for:
        return QueueWait(waits_for, job.expected_start)
    waiting = explain_pending(job)
    reason = f"{waiting.sentence}; {waiting.remedy}" if waiting.remedy else waiting.sentence
    return QueueWait(reason, job.expected_start)
