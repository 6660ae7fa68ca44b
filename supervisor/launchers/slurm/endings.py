"""How an attempt ended, from its exit record, its job's state, and the stop that was requested of it. Pure.

The exit record is the truth. Slurm's word adds why a command was told to stop, and replaces a record that is missing.
"""

from __future__ import annotations

from signal import SIGKILL

from ...session.events import Exit, StopKind
from .batch_script import SETUP_FAILED
from .job_status import JobStatus
from .states import JobMeaning, Outcome, explain

NEAR_LIMIT_S = 600.0  # a stop so shortly before the time limit is Slurm's warning of it
COMMAND_NOT_FOUND = 127  # exit code of the batch script where the node lacks the interpreter


def needs_explanation(record: Exit, stop: StopKind | None) -> bool:
    """Return whether Slurm may know more about an end than its record says."""
    if stop is not None or record.error is not None or record.unseen is not None:
        return False
    return record.exit_code != 0 or record.stop is not None


def explained_end(record: Exit, job: JobStatus | None, must_end: float | None, node: str) -> Exit:
    """Return an exit that nobody of us requested, with what Slurm says about it.

    Args:
        record: The shim's record.
        job: The job's last state; None if Slurm does not know the job, or does not answer.
        must_end: When its time limit ended, unix time, s; None if unknown.
        node: Where it ran.
    """
    meaning = None if job is None else explain(job)
    if meaning is not None and meaning.outcome is Outcome.INTERRUPTED:
        return record.model_copy(update={"interrupted": True, "error": meaning.sentence})
    if meaning is not None and meaning.outcome is Outcome.CANCELLED:
        return record.model_copy(update={"error": _cancelled(meaning)})
    if job is not None and job.state == "OUT_OF_MEMORY" and record.stop is None:
        return record.model_copy(update={"error": _with_remedy(explain(job))})
    where = f" on {node}" if node else ""
    if record.stop is None:
        killed = f"was killed{where} (signal 9); too little memory is the usual cause: ask for more `mem`"
        return record if record.signal != SIGKILL or job is not None else record.model_copy(update={"error": killed})
    if must_end is not None and must_end - record.ended < NEAR_LIMIT_S:
        sentence = f"was stopped{where} because its time limit was near"
    else:
        sentence = f"was told to stop{where} by a signal from outside"
    return record.model_copy(update={"interrupted": True, "error": sentence})


def end_without_record(job: JobStatus, stop: StopKind | None, output: str, now: float) -> Exit:
    """Return the end of an attempt whose job has ended and left no exit record.

    Args:
        job: The ended job.
        stop: The stop that was requested.
        output: Last line of the job's own output.
        now: Unix time, s.
    """
    meaning = explain(job)
    ended = job.ended or now
    if stop is not None:
        started = job.started is not None and bool(job.nodes)
        sentence = "stopped before its exit was recorded" if started else "stopped before it started"
        return Exit(ended=ended, stop=stop, error=sentence)
    match meaning.outcome:
        case Outcome.INTERRUPTED:
            return Exit(ended=ended, interrupted=True, error=meaning.sentence)
        case Outcome.CANCELLED:
            return Exit(ended=ended, error=_cancelled(meaning))
        case Outcome.SUCCEEDED:
            remedy = "the nodes and this machine must see the same logs folder"
            return Exit(ended=ended, unseen=f"its job {job.job_id} left no exit record: {remedy}")
    if job.exit_code in (SETUP_FAILED, COMMAND_NOT_FOUND) and output:
        where = f" on {job.nodes}" if job.nodes else ""
        return Exit(ended=ended, exit_code=job.exit_code, error=f"could not be started{where}: {output}")
    return Exit(ended=ended, exit_code=job.exit_code, signal=_signal(job), error=_with_remedy(meaning))


def _signal(job: JobStatus) -> int | None:
    return job.signal if job.signal is not None and job.signal < 32 else None  # above are Slurm's own codes


def _cancelled(meaning: JobMeaning) -> str:
    if "was cancelled: " in meaning.sentence:  # it says why
        return meaning.sentence
    return _with_remedy(meaning).replace("was cancelled", "was cancelled by somebody else", 1)


def _with_remedy(meaning: JobMeaning) -> str:
    return f"{meaning.sentence}; {meaning.remedy}" if meaning.remedy else meaning.sentence
