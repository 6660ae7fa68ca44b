"""What Slurm's answers, one after the other, say of the job of an attempt. Pure: time comes in as an argument."""

from __future__ import annotations

from .job_status import JobStatus
from .states import Phase, explain

SECOND_LOOK_S = 6.0  # a killed controller forgets its last 5 s, and sbatch may still be on its way
FRESH_S = 15.0  # a number counts as confirmed for so long: after a crash of the controller others may get it


class KnownJob:
    """The newest answer about one job, and how sure it is.

    All times are monotonic, s, of the moment at which a question began.

    Attributes:
        status: The newest state; None before the first.
        must_end: When its time limit ends, unix time, s; None if that is not known.
        is_unknown: Whether two answers, some seconds apart, did not contain the job.
        asked_accounting: Whether the accounting database was asked for it since.
    """

    def __init__(self) -> None:
        self.status: JobStatus | None = None
        self.must_end: float | None = None
        self.is_unknown = False
        self.asked_accounting = False
        self._confirmed_at: float | None = None
        self._missing_since: float | None = None

    @property
    def is_missing(self) -> bool:
        """Whether the newest answer did not contain it."""
        return self._missing_since is not None

    @property
    def is_running(self) -> bool:
        """Whether Slurm has started it, as far as is known."""
        return self.status is not None and explain(self.status).phase is Phase.RUNNING

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self.status is not None and explain(self.status).phase is Phase.ENDED

    def confirm(self, at: float) -> None:
        """Note that Slurm has just named its number."""
        self._confirmed_at = at

    def is_confirmed(self, now: float) -> bool:
        """Return whether its number is surely that of our job."""
        return self._confirmed_at is not None and now - self._confirmed_at < FRESH_S

    def was_running_after(self, at: float) -> bool:
        """Return whether a question that began later than `at` found that it runs, and is not being ended."""
        is_newer = self._confirmed_at is not None and self._confirmed_at > at
        return is_newer and self.is_running and self.status is not None and "COMPLETING" not in self.status.flags

    def observe(self, status: JobStatus, asked_at: float) -> None:
        """Note an answer."""
        self.status = status
        self.must_end = status.must_end or self.must_end
        self._missing_since, self.is_unknown, self.asked_accounting = None, False, False
        self._confirmed_at = asked_at

    def observe_missing(self, asked_at: float) -> None:
        """Note an answer without the job; one to a question from before its submission says nothing."""
        if self._confirmed_at is not None and asked_at <= self._confirmed_at:
            return
        if self._missing_since is None:
            self._missing_since = asked_at
        self.is_unknown = asked_at - self._missing_since >= SECOND_LOOK_S

    def observe_accounting(self, status: JobStatus | None) -> None:
        """Note what the accounting database says of a job that Slurm has forgotten."""
        self.asked_accounting = True
        if status is not None and explain(status).phase is Phase.ENDED:
            self.status = status
