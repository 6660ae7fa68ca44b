"""Jobs that Slurm starts after other jobs (`afterok`): what the attempts before them have come to.

Slurm only decides when such a job may start. Whether its command may is decided by the files of the other attempts,
see `job_shim`: after a crash of the controller a number can belong to another job, and an unknown number counts as a
success.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..attempt_files import read_exit_record
from .attempt_folder import Submission

UNMET = "a run that it waits for has not succeeded"
MAX_NAMED = 3  # jobs in one sentence


def has_succeeded(folder: Path) -> bool:
    """Return whether an attempt exited with code 0 without being told to stop."""
    record = read_exit_record(folder)
    return record is not None and record.exit_code == 0 and record.stop is None


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
