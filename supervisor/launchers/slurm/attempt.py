"""An attempt as a job of Slurm: what is known of it, and what has to be asked or told next.

The launcher makes all calls, see `launcher`. It notes in the attempt what they brought (`note_submitted`, `observe`, …)
and the attempt draws its conclusions in `advance`, see `conclusion`.

Attempts that share a job stop one by one: before the shim has begun the attempt is made void, later a file asks the
job's batch process. Slurm is told only when no other attempt of the job is to go on.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from ...session.events import Exit, StopKind
from ..attempt_files import AttemptSpec, claim_if_unclaimed
from ..base import CommandStart, Outcome, Placement, QueueWait
from . import attempt_folder
from .attempt_folder import Files, Submission
from .batch_script import JobRequest
from .conclusion import SILENT_S, Conclusion
from .dependencies import describe
from .facts import Facts, Stage
from .job_status import JobStatus
from .known_job import KnownJob
from .placement import placement
from .samples import Sample, SampleFile
from .stop_request import StopCall, StopRequest
from .tokens import JobToken


class SlurmAttempt:
    """An attempt as a job of Slurm.

    Attributes:
        folder: Folder of the attempt.
        token: What its job is found by, which other attempts may share; None if the folder does not tell.
        request: What to ask of Slurm; None for an attempt of an earlier engine.
        stage: What is known of its job.
        job_id: The job's number; None until it is known.
        hold_reason: Why it is not submitted yet.
        follows: Folders of the attempts that must succeed before its job starts.
        others_go_on: Whether other attempts of its job go on when this one is stopped.
    """

    def __init__(
        self,
        folder: Path,
        token: JobToken | None,
        request: JobRequest | None,
        stage: Stage,
        follows: tuple[Path, ...] = (),
    ) -> None:
        self.folder = folder
        self.token = token
        self.request = request
        self.stage = stage
        self.job_id: int | None = None
        self.hold_reason = "waits to be submitted"
        self.follows = follows
        self._waits_for = describe(follows)
        self.others_go_on = False
        self._submission: Submission | None = None
        self._job = KnownJob()
        self._files = Files()
        self._samples = SampleFile(folder)
        self._conclusion = Conclusion(folder, follows)
        self._stop = StopRequest()
        self._started: CommandStart | None = None
        self._placement = Placement(waiting=QueueWait(self.hold_reason))
        self._outcome: Outcome | None = None
        self._messages: list[str] = []

    @classmethod
    def prepare(cls, folder: Path, spec: AttemptSpec, python: Path) -> Self:
        """Write what the job will read, and return an attempt that is to be submitted.

        Raises:
            OSError: The folder cannot be written.
        """
        try:
            request = attempt_folder.prepare_folder(folder, spec, python)
        except ValueError as error:
            attempt = cls(folder, None, None, Stage.UNSUBMITTED)
            attempt.note_refused(f"cannot be submitted: {error}")
            return attempt
        return cls(folder, request.token, request, Stage.UNSUBMITTED, spec.follows)

    @classmethod
    def adopt(cls, folder: Path) -> Self:
        """Return the attempt of an earlier engine; one for which sbatch was never called never starts.

        Raises:
            OSError: The folder cannot be written.
        """
        submission = Submission.read(folder)
        token = None if submission is None else JobToken.parse(submission.token)
        if token is None:
            claim_if_unclaimed(folder)
        attempt = cls(folder, token, None, Stage.SEARCHED, attempt_folder.read_follows(folder))
        attempt._submission = submission
        if submission is not None and submission.job_id is not None:
            attempt.stage, attempt.job_id = Stage.SUBMITTED, submission.job_id
        attempt.advance(time.monotonic())
        return attempt

    @property
    def started(self) -> CommandStart | None:
        """The start of its command; None until the shim has recorded it."""
        return self._started

    @property
    def placement(self) -> Placement:
        """Its job, and why that waits."""
        return self._placement

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while anything of it may be alive."""
        return self._outcome

    def warnings(self) -> Sequence[str]:
        """Return what is unusual now."""
        if self._outcome is not None:
            return ()
        if self._job.is_unknown:
            return (f"Slurm has no record of job {self.job_id}; it ends when it writes nothing for {SILENT_S:g} s",)
        if self._stop.is_overdue(time.monotonic()):
            return (f"job {self.job_id} does not end; Slurm was told to end it by force",)
        return ()

    def take_messages(self) -> Sequence[str]:
        """Return what happened since the last call."""
        messages, self._messages = self._messages, []
        return messages

    def confirm_end(self) -> None:
        """Do nothing: the shim syncs its record itself."""

    def request_stop(self, kind: StopKind, grace_s: float) -> None:
        """Request the end of the attempt: gently within `grace_s` seconds, or at once."""
        self._stop.update(kind, grace_s)

    def withdraw(self) -> None:
        """Keep the command from starting: its shim finds the folder claimed. Slurm drops the job by itself.

        Raises:
            OSError: The folder cannot be written.
        """
        claim_if_unclaimed(self.folder)

    def sample(self) -> Sample | None:
        """Return the newest measurement in the job; None without one."""
        return self._samples.newest(self._files.heartbeat)

    # What the launcher asks.

    @property
    def is_stop_requested(self) -> bool:
        """Whether its end was requested."""
        return self._stop.kind is not None

    @property
    def is_urgent(self) -> bool:
        """Whether Slurm's next answer decides about it."""
        if self._outcome is not None or self.stage in (Stage.UNSUBMITTED, Stage.SUBMITTING):
            return False
        if self._stop.kind is not None and not self._is_running:
            return True
        return self.stage is Stage.SEARCHED or self._job.is_missing or self._conclusion.waits_for_slurm

    @property
    def is_waiting(self) -> bool:
        """Whether it has a job that has not started."""
        return self._outcome is None and self.stage is Stage.SUBMITTED and not self._is_running

    @property
    def needs_accounting(self) -> bool:
        """Whether only the accounting database may know its job."""
        is_asked = self._job.asked_accounting or self.job_id is None
        return self._job.is_unknown and self._outcome is None and not is_asked

    def due_call(self, now: float) -> StopCall | None:
        """Return what Slurm has to be told about its job now."""
        if self._outcome is not None or self.stage is not Stage.SUBMITTED:
            return None
        if self._job.is_unknown or self._job.has_ended or self.others_go_on:
            return None
        call = self._stop.due_call(now, is_running=self._is_running, is_stopping=self._files.is_stopping)
        return None if self._is_bundled and self._files.is_claimed and call != "end" else call

    def is_confirmed(self, now: float) -> bool:
        """Return whether its job surely has its number now."""
        return self._job.is_confirmed(now)

    def can_be_followed(self, now: float) -> bool:
        """Return whether Slurm surely has its job, which has not ended."""
        is_open = self.stage is Stage.SUBMITTED and self._outcome is None and self._files.exit is None
        return is_open and not (self._job.has_ended or self._job.is_missing) and self.is_confirmed(now)

    # What the launcher has brought.

    def note_submitting(self, job: JobRequest) -> None:
        """Record that sbatch is about to be called for a job.

        Raises:
            OSError: The folder cannot be written.
        """
        self._submission = attempt_folder.submission_of(job, self.folder)
        self._submission.write(self.folder)
        self.token, self.stage = job.token, Stage.SUBMITTING

    def note_submitted(self, job_id: int, now: float) -> None:
        """Note the number that sbatch has returned."""
        self._set_job_id(job_id, now)

    def note_refused(self, error: str) -> None:
        """Note that Slurm never accepts this job."""
        self._outcome = Exit(ended=time.time(), error=error)

    def note_postponed(self, reason: str) -> None:
        """Note that Slurm does not accept the job now."""
        self.stage, self.hold_reason = Stage.UNSUBMITTED, reason

    def note_unanswered(self) -> None:
        """Note that nobody knows whether sbatch has submitted the job."""
        self.stage = Stage.SEARCHED

    def note_call(self, call: StopCall, now: float) -> None:
        """Note that Slurm was told."""
        self._stop.note_call(call, now)

    def observe(self, job: JobStatus | None, asked_at: float) -> None:
        """Note what Slurm says of the job.

        Args:
            job: Its state; None if Slurm does not know it.
            asked_at: Monotonic time at which the question began, s.
        """
        if self.stage is Stage.SUBMITTING or (self.stage is Stage.UNSUBMITTED and job is None):
            return
        if job is None:
            self._job.observe_missing(asked_at)
            return
        self._job.observe(job, asked_at)
        if job.reason == "Dependency":
            self._waits_for = describe(self.follows)
        self.stage = Stage.SUBMITTED
        if job.job_id != self.job_id:
            self._set_job_id(job.job_id, asked_at)

    def observe_accounting(self, job: JobStatus | None) -> None:
        """Note what the accounting database says of a job that Slurm has forgotten."""
        self._job.observe_accounting(job)

    def advance(self, now: float) -> None:
        """Read what the job has written, and draw the conclusions."""
        if self._outcome is not None:
            return
        self._files = attempt_folder.read_files(self.folder, self._files)
        self._started = self._started or self._files.started
        if self._is_bundled and self.is_stop_requested:
            with contextlib.suppress(OSError):  # a full disk: the next time there may be room
                self._stop_alone(now)
        self._outcome = self._conclusion.draw(self._facts(), now)
        is_over = self._outcome is not None
        self._placement = placement(self._facts(), self.hold_reason, self._waits_for, is_over=is_over)

    @property
    def _is_running(self) -> bool:
        return self._facts().is_running

    @property
    def _is_bundled(self) -> bool:
        return self._submission is not None and self._submission.attempts > 1

    def _stop_alone(self, now: float) -> None:
        """Do what can be done for a stop without ending the whole job.

        Raises:
            OSError: The folder cannot be written.
        """
        if self._files.is_claimed:
            call = self._stop.due_call(now, is_running=True, is_stopping=self._files.is_stopping)
            if call in ("TERM", "QUIT"):
                attempt_folder.request_stop(self.folder, "stop" if call == "TERM" else "kill")
                self._stop.note_call(call, now)
        elif self.others_go_on:
            claim_if_unclaimed(self.folder)
            self._files = attempt_folder.read_files(self.folder, self._files)

    def _facts(self) -> Facts:
        return Facts(self._files, self._job, self.job_id, self._stop.kind, self.stage, self._is_bundled)

    def _set_job_id(self, job_id: int, now: float) -> None:
        self.job_id, self.stage = job_id, Stage.SUBMITTED
        self._job.confirm(now)
        if self._submission is None:
            return
        self._submission = self._submission.model_copy(update={"job_id": job_id})
        try:
            self._submission.write(self.folder)
        except OSError as error:  # the token finds the job again
            self._messages.append(f"cannot note the number of job {job_id}: {error.strerror}")
