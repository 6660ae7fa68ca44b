"""Jobs that Slurm starts after other jobs (`afterok`): what the attempts before them have come to.

Slurm only decides when such a job may start. Whether its command may is decided by the files of the other attempts,
see `job_shim`: after a crash of the controller a number can belong to another job, and an unknown number counts as a
success.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from ..attempt_files import read_exit_record
from .attempt_folder import Submission

UNMET = "a run that it waits for has not succeeded"
MAX_NAMED = 3  # jobs in one sentence


def has_succeeded(folder: Path) -> bool:
    """Return whether an attempt exited with code 0 without being told to stop."""
    record = read_exit_record(folder)
    return record is not None and record.exit_code == 0 and record.stop is None


class Followed(Protocol):
    """An attempt that has not ended, and whose job others may follow."""

    @property
    def job_id(self) -> int | None:
        """Number of its job; None while that is not known."""

    def can_be_followed(self, now: float) -> bool:
        """Return whether Slurm surely has its job, which has not ended."""


def jobs_before(follows: Iterable[Path], living: Mapping[Path, Followed], now: float) -> tuple[int, ...] | None:
    """Return the jobs that must succeed before that of an attempt; None while Slurm may not know one of them.

    Slurm starts a job at once that depends on an unknown one.

    Args:
        follows: Folders of the attempts before it.
        living: The attempts that have not ended, by their folders.
        now: Monotonic time, s.
    """
    jobs = []
    for folder in follows:
        other = living.get(folder)
        if other is not None and other.job_id is not None and other.can_be_followed(now):
            jobs.append(other.job_id)
        elif not has_succeeded(folder):
            return None
    return tuple(dict.fromkeys(jobs))


def describe(folders: Iterable[Path]) -> str:
    """Return which jobs of these attempts have not succeeded: `waits for job 12 (run a)`; "" if all have."""
    jobs = []
    for folder in folders:
        submission = Submission.read(folder)
        if not has_succeeded(folder):
            number = "" if submission is None or submission.job_id is None else f"{submission.job_id} "
            jobs.append(f"job {number}(run {folder.parent.name})")
    more = len(jobs) - MAX_NAMED
    named = ", ".join(jobs[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"waits for {named}" if jobs else ""
