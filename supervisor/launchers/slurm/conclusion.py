"""Whether an attempt is over, and how it ended, from its files and from what is known of its job.

Files of another machine become visible late, and Slurm may explain an end later than the files record it. So each of
them is waited for, up to a limit.
"""

from __future__ import annotations

import time
from pathlib import Path

from ...session.events import Exit
from ..attempt_files import claim_if_unclaimed, read_exit_record
from ..base import NeverStarted, Outcome
from . import attempt_folder
from .dependencies import UNMET, has_succeeded
from .endings import end_without_record, explained_end, needs_explanation
from .facts import Facts, Stage
from .job_status import JobStatus
from .waits import Waits

RECORD_WAIT_S = 10.0  # after the end of a job, until its exit record is visible here
EXPLANATION_WAIT_S = 30.0  # after an exit record, until Slurm says why the command was told to stop
COMPLETING_WAIT_S = 300.0  # for the end of the last processes of a job; a lost node may never tell
SILENT_S = 120.0  # a job that Slurm has forgotten, and that has written nothing for so long, has ended
NEVER_SATISFIED = "DependencyNeverSatisfied"  # Slurm's reason for the end of a job that can never start


class Conclusion:
    """What follows from the facts about one attempt, as time goes by.

    Args:
        folder: Folder of the attempt.
        follows: Folders of the attempts that must succeed before its job starts.
    """

    def __init__(self, folder: Path, follows: tuple[Path, ...]) -> None:
        self._folder = folder
        self._follows = follows
        self._waits = Waits()

    @property
    def waits_for_slurm(self) -> bool:
        """Whether Slurm's next answer is all that is missing."""
        return "explanation" in self._waits or "completing" in self._waits

    def draw(self, facts: Facts, now: float) -> Outcome | None:
        """Return how the attempt ended; None while anything of it may be alive.

        Args:
            facts: What is known now.
            now: Monotonic time, s.

        Raises:
            OSError: The folder cannot be written.
        """
        if facts.files.is_void:
            is_stopped = facts.stop is not None
            return _stopped(facts, "stopped before it started") if is_stopped else self._never_started(facts)
        if facts.stage is Stage.UNSUBMITTED and facts.stop is not None:
            return _stopped(facts, "stopped before it was submitted")
        if facts.files.exit is not None:
            return self._draw_from_record(facts.files.exit, facts, now)
        if facts.job.status is not None and facts.job.has_ended:
            return self._draw_without_record(facts.job.status, facts, now)
        return self._draw_from_silence(facts, now) if facts.job.is_unknown else None

    def _draw_from_record(self, record: Exit, facts: Facts, now: float) -> Outcome | None:
        if not needs_explanation(record, facts.stop):
            return record
        waited = self._waits.waited("explanation", None, now)
        is_over = facts.job.has_ended or facts.job.is_unknown
        if facts.is_bundled and record.stop is None:  # its job goes on, so Slurm has not ended this attempt
            is_over = is_over or facts.job.was_running_after(now - waited)
        if not is_over and waited < EXPLANATION_WAIT_S:
            return None
        job = facts.job.status if facts.job.has_ended else None
        return explained_end(record, job, facts.job.must_end, facts.files.node)

    def _draw_without_record(self, job: JobStatus, facts: Facts, now: float) -> Outcome | None:
        if "COMPLETING" in job.flags and self._waits.waited("completing", None, now) < COMPLETING_WAIT_S:
            return None
        if job.started is not None and job.nodes and self._waits.waited("record", None, now) < RECORD_WAIT_S:
            return None
        record = read_exit_record(self._folder)  # also under the name that it has until it is complete
        if record is not None:
            return self._draw_from_record(record, facts, now)
        if job.reason == NEVER_SATISFIED and self._follows and facts.stop is None:
            return self._draw_for_dropped(facts, now)
        return end_without_record(job, facts.stop, attempt_folder.output_tail(self._folder), time.time())

    def _draw_for_dropped(self, facts: Facts, now: float) -> Outcome | None:
        """Conclude for a job that Slurm has dropped, once the engine knows why, or the reason is no failure."""
        if not all(map(has_succeeded, self._follows)) and self._waits.waited("withdrawal", None, now) < SILENT_S:
            return None
        claim_if_unclaimed(self._folder)
        return self._never_started(facts)

    def _draw_from_silence(self, facts: Facts, now: float) -> Outcome | None:
        """Conclude from the files alone: Slurm has no record of the job."""
        if not facts.files.is_claimed:
            claim_if_unclaimed(self._folder)
            files = attempt_folder.read_files(self._folder, facts.files)
            return self._never_started(facts) if files.is_void else None
        if self._waits.waited("heartbeat", facts.files.heartbeat, now) < SILENT_S:
            return None
        reason = f"Slurm has no record of its job {facts.job_id}, which left no exit record"
        return read_exit_record(self._folder) or Exit(ended=time.time(), unseen=reason)

    def _never_started(self, facts: Facts) -> NeverStarted:
        is_known = facts.job_id is not None or facts.stage is Stage.UNSUBMITTED
        return NeverStarted(UNMET) if self._follows and is_known else NeverStarted()


def _stopped(facts: Facts, error: str) -> Exit:
    return Exit(ended=time.time(), stop=facts.stop, error=error)
