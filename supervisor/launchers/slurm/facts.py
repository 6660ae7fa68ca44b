"""What is known of an attempt: its stage, its files, its job."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from ...session.events import StopKind
from .attempt_folder import Files
from .known_job import KnownJob


class Stage(Enum):
    """What is known of an attempt's job."""

    UNSUBMITTED = auto()  # sbatch was not called
    SUBMITTING = auto()  # sbatch runs
    SEARCHED = auto()  # sbatch was called, by us or an earlier engine, and nobody knows with what result
    SUBMITTED = auto()  # it has a number


@dataclass(frozen=True)
class Facts:
    """What is known of an attempt.

    Attributes:
        files: What its job has written.
        job: What Slurm says of the job.
        job_id: The job's number; None while it is not known.
        stop: The stop that was requested.
        stage: What is known of its job.
        is_bundled: Whether other attempts share its job.
    """

    files: Files
    job: KnownJob
    job_id: int | None
    stop: StopKind | None
    stage: Stage
    is_bundled: bool

    @property
    def is_running(self) -> bool:
        """Whether the job has started."""
        return self.files.is_claimed or self.files.job_id is not None or self.job.is_running
