"""Errors of the Slurm launcher: one class per remedy."""

from __future__ import annotations

from enum import StrEnum


class SlurmError(Exception):
    """Base class of all errors of the Slurm launcher; the message is one printable line."""

    def __init__(self, message: str) -> None:
        """Escape characters that would break the line or steer the terminal: Slurm's output may hold any text."""
        super().__init__("".join(char if char.isprintable() else repr(char)[1:-1] for char in message))


class SlurmNotInstalled(SlurmError):
    """A Slurm program does not exist here. Remedy: run on a login node, or load the site's Slurm module."""


class SlurmUnavailable(SlurmError):
    """The controller did not answer, or not in time. Remedy: wait; the jobs go on without us."""


class SlurmOutputError(SlurmError):
    """A Slurm program answered, but its output cannot be understood. Remedy: report it with the version of Slurm."""


class JobUnknown(SlurmError):
    """Slurm has no record of the job: it ended minutes ago, or the controller lost its newest records."""


class JobNotOurs(SlurmError):
    """The job belongs to another user, so Slurm does not let us signal or cancel it."""


class SettingsError(SlurmError):
    """A setting of the launcher cannot be used; the message names where it stands, the field and the remedy."""


class RefusalKind(StrEnum):
    """The part of a submission that Slurm did not accept."""

    PARTITION = "partition"
    ACCOUNT = "account"
    QOS = "qos"
    GRES = "gres"
    TIME = "time"
    MEMORY = "mem"
    CPUS = "cpus"
    CONSTRAINT = "constraint"
    RESOURCES = "resources"  # no node has that much, whichever of gres, mem or cpus it is
    LIMIT = "limit"  # a limit on jobs that are submitted at once: wait until one has ended
    POLICY = "policy"  # a limit on the size of a job, or on whom a partition admits
    BUSY = "busy"  # the controller is overloaded or the partition is down: try again later
    DEPENDENCY = "dependency"  # a job that it should follow has ended or is not known
    OPTION = "option"  # an option that this sbatch does not have
    SCRIPT = "script"  # the batch script could not be read
    OTHER = "other"


class SubmissionRefused(SlurmError):
    """Slurm does not accept a job as it was submitted.

    Attributes:
        kind: The part of the submission to change.
    """

    def __init__(self, kind: RefusalKind, message: str) -> None:
        """Set `kind` beside the message."""
        super().__init__(message)
        self.kind = kind

    @property
    def passes(self) -> bool:
        """Whether the same submission may be accepted later, without any change."""
        return self.kind in (RefusalKind.LIMIT, RefusalKind.BUSY, RefusalKind.DEPENDENCY)
