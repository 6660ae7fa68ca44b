"""An attempt as a step on another node of the allocation, under an srun of this machine.

Its files are the truth, as for jobs. A stop is a request in a file, since Slurm's signals to a step reach the command,
too. Slurm ends a step whose srun is killed, but not when the machine of srun, or the engine, is gone. So an srun that
has ended without an exit record is no proof of an end while the sampler of the step still writes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from ...session.events import Exit, StopKind
from ..attempt_files import AttemptSpec, claim_if_unclaimed, read_exit_record
from ..base import CommandStart, NeverStarted, Outcome, Placement, QueueWait
from ..process_identity import ProcessIdentity, has_ended
from . import attempt_folder
from .attempt_folder import Files
from .batch_script import NODE_DECIDES
from .bundle_runner import DEVICES
from .endings import explained_end, needs_explanation
from .samples import Sample, SampleFile
from .step_note import StepNote
from .waits import Waits

RECORD_WAIT_S = 10.0  # after the end of srun, until the exit record is visible here
SILENT_S = 30.0  # a step without srun that has written nothing for so long has ended
AFTER_GRACE_S = 10.0  # after the grace period, until srun is told to end the step by force
END_WAIT_S = 30.0  # for srun to do so


class StepAttempt:
    """An attempt as a step.

    Attributes:
        folder: Folder of the attempt.
        note: Where it runs.
        descriptor: Pidfd of srun; -1 before its start, and after `close`.
        has_failed_node: Whether it ended in a way that speaks against its node.
    """

    def __init__(self, folder: Path, note: StepNote) -> None:
        self.folder = folder
        self.note = note
        self.descriptor = -1
        self.has_failed_node = False
        self._process: subprocess.Popen[bytes] | None = None  # srun, while it is ours to reap
        self._is_waiting = False  # to be started
        self._files = Files()
        self._samples = SampleFile(folder)
        self._waits = Waits()
        self._stop: StopKind | None = None
        self._is_stop_written = False
        self._force_at: float | None = None  # monotonic time at which srun is to end the step by force
        self._forced_at: float | None = None  # when it was told so
        self._outcome: Outcome | None = None
        self._messages: list[str] = []

    @classmethod
    def prepare(cls, folder: Path, spec: AttemptSpec, job_id: str) -> Self:
        """Write what the step will read, and return an attempt that is to be started.

        Raises:
            OSError: The folder cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = [name for name in NODE_DECIDES if spec.granted is not None or name not in DEVICES]
        attempt_folder.write_spec(folder, spec, kept=kept)
        attempt = cls(folder, StepNote(job_id=job_id, node=spec.node))
        attempt._is_waiting = True
        return attempt

    @classmethod
    def adopt(cls, folder: Path, job_id: str) -> Self:
        """Return the attempt of an earlier engine; one for which srun was never called never starts.

        Args:
            folder: Folder of the attempt.
            job_id: The allocation in which we are; "" outside of one.

        Raises:
            OSError: The folder cannot be written.
        """
        note = StepNote.read(folder)
        claim_if_unclaimed(folder)  # an srun whose shim has not begun may be anywhere: it must not begin any more
        attempt = cls(folder, note or StepNote(job_id=job_id, node=""))
        srun = note.srun.open() if note is not None and note.srun is not None else None
        attempt.descriptor = -1 if srun is None else srun
        if note is not None and note.job_id != job_id:
            attempt._end_with_its_allocation()
        attempt.advance(time.monotonic())
        return attempt

    @property
    def started(self) -> CommandStart | None:
        """The start of its command; None until the shim has recorded it."""
        return self._files.started

    @property
    def placement(self) -> Placement:
        """Its step and node, and why its command does not run yet."""
        step = f"{self.note.job_id}.{self._files.step_id}" if self._files.step_id else ""
        is_begun = self._outcome is not None or self._files.started is not None
        return Placement(step, self.note.node, None if is_begun else QueueWait(f"is being started on {self.note.node}"))

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while anything of it may be alive."""
        return self._outcome

    @property
    def is_waiting(self) -> bool:
        """Whether srun is still to be started."""
        return self._is_waiting and self._outcome is None

    def warnings(self) -> Sequence[str]:
        """Return what is unusual now."""
        if self._outcome is not None:
            return ()
        if self._forced_at is not None and time.monotonic() > self._forced_at + END_WAIT_S:
            return (f"its step on {self.note.node} does not end; Slurm was told to end it by force",)
        if "silence" in self._waits:
            return (f"its srun has ended; it ends when it writes nothing for {SILENT_S:g} s",)
        return ()

    def withdraw(self) -> None:
        """Do nothing: a step follows no job."""

    def take_messages(self) -> Sequence[str]:
        """Return what happened since the last call."""
        messages, self._messages = self._messages, []
        return messages

    def confirm_end(self) -> None:
        """Do nothing: the shim syncs its record itself."""

    def sample(self) -> Sample | None:
        """Return the newest measurement in the step; None without one."""
        return self._samples.newest(self._files.heartbeat)

    def request_stop(self, kind: StopKind, grace_s: float) -> None:
        """Request the end of the attempt: gently within `grace_s` seconds, or at once."""
        force_at = time.monotonic() + AFTER_GRACE_S + (grace_s if kind == "stop" else 0.0)
        self._force_at = force_at if self._force_at is None else min(force_at, self._force_at)
        if self._stop not in ("kill", kind):
            self._stop, self._is_stop_written = kind, False

    def run_srun(self, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        """Start srun.

        Raises:
            OSError: The folder cannot be written.
        """
        self.note.write(self.folder)
        self._is_waiting = False
        try:
            self._process = start()
        except OSError as error:
            self._outcome = Exit(ended=time.time(), error=f"cannot run srun: {error.strerror}")
            return
        self.descriptor = os.pidfd_open(self._process.pid)
        self.note = self.note.model_copy(update={"srun": ProcessIdentity.of(self._process.pid)})
        try:
            self.note.write(self.folder)
        except OSError as error:  # another engine would follow the step by its files alone
            self._messages.append(f"cannot note the srun of its step: {error.strerror}")

    def advance(self, now: float) -> None:
        """Read what the step has written, carry out a stop, and notice the end.

        Args:
            now: Monotonic time, s.
        """
        if self._outcome is not None:
            return
        self._files = attempt_folder.read_files(self.folder, self._files)
        self._carry_out_stop()
        self._end_by_force(now)
        self._outcome = self._conclude(now)

    def has_srun_ended(self) -> bool:
        """Return whether srun does not run; reap it if it has ended."""
        if self.descriptor < 0:
            return True
        is_over = has_ended(self.descriptor)
        if is_over and self._process is not None:
            self._process.wait()
        return is_over

    def close(self) -> None:
        """Release the descriptor; the attempt goes on."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _carry_out_stop(self) -> None:
        if self._stop is None:
            return
        if not self._is_stop_written and self._files.is_claimed:
            with contextlib.suppress(OSError):  # a full disk: the next call tries again
                attempt_folder.request_stop(self.folder, self._stop)
                self._is_stop_written = True
        if not (self._files.is_claimed or self._is_waiting):
            with contextlib.suppress(OSError):
                claim_if_unclaimed(self.folder)

    def _end_by_force(self, now: float) -> None:
        """Let Slurm kill a step that was void before it began, or does not end; SIGTERM to its srun does that."""
        is_due = self._files.is_void or (self._force_at is not None and now > self._force_at)
        if self.descriptor < 0 or not is_due:
            return
        is_first = self._forced_at is None
        self._forced_at = now if self._forced_at is None else self._forced_at
        if is_first or now - self._forced_at > END_WAIT_S:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.descriptor, signal.SIGTERM if is_first else signal.SIGKILL)

    def _conclude(self, now: float) -> Outcome | None:
        if self._is_waiting:
            return None if self._stop is None else self._stopped("stopped before it started")
        record = self._files.exit
        if record is not None:
            is_clear = not needs_explanation(record, self._stop)
            return record if is_clear else explained_end(record, None, None, self.note.node)
        if not self.has_srun_ended():
            return None
        if self._files.is_void:
            return self._never_begun()
        if not self._files.is_claimed:
            claim_if_unclaimed(self.folder)
            return None  # the next call finds out who was faster
        if self._waits.waited("record", None, now) < RECORD_WAIT_S:
            return None
        is_overdue = self._force_at is not None and now > self._force_at + END_WAIT_S
        is_silent = not self._files.heartbeat or self._waits.waited("silence", self._files.heartbeat, now) >= SILENT_S
        if not (is_silent or is_overdue):
            return None
        return read_exit_record(self.folder) or self._unrecorded()

    def _never_begun(self) -> Outcome:
        """Return the outcome of a step whose shim has not begun and never will."""
        if self._stop is not None:
            return self._stopped("stopped before it started")
        if self.note.srun is None or self._process is None:
            return NeverStarted()
        self.has_failed_node = True
        reason = self._last_words() or f"srun ended with exit code {self._process.returncode}"
        return Exit(ended=time.time(), interrupted=True, error=f"could not be started on {self.note.node}: {reason}")

    def _unrecorded(self) -> Outcome:
        """Return the end of a step that has left no exit record."""
        if self._stop is not None:
            return self._stopped("stopped before its exit was recorded")
        self.has_failed_node = True
        words = self._last_words()
        sentence = f"its step on {self.note.node} was ended from outside" + (f": {words}" if words else "")
        return Exit(ended=time.time(), interrupted=True, error=sentence)

    def _end_with_its_allocation(self) -> None:
        self.close()
        self._files = attempt_folder.read_files(self.folder, self._files)
        if not self._files.is_void:
            sentence = f"its allocation {self.note.job_id} has ended"
            ended = Exit(ended=time.time(), interrupted=True, error=sentence)
            self._outcome = read_exit_record(self.folder) or ended

    def _stopped(self, sentence: str) -> Exit:
        return Exit(ended=time.time(), stop=self._stop, error=sentence)

    def _last_words(self) -> str:
        return attempt_folder.output_tail(self.folder, containing="error: ")
