"""An attempt as a process of this machine, under a shim of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from ..session.events import Exit, StopKind
from .attempt_files import (
    ATTEMPT_VARIABLE,
    AttemptSpec,
    CommandProcess,
    claim_if_unclaimed,
    read_exit_record,
    read_identity,
    read_process_record,
    unseen_exit,
)
from .base import CommandStart, NeverStarted, Outcome, Placement
from .orphans import Orphans
from .process_identity import has_ended
from .process_tree import KnownProcesses, descendants
from .shim_channel import ENDED, JOURNALED
from .shim_pool import ShimPool

SIGNALS: Mapping[StopKind, signal.Signals] = {"stop": signal.SIGTERM, "kill": signal.SIGQUIT}
SHIM_DELAYS_S = (0.0, 1.0, 4.0)  # before another shim, where one ended before it could start the command
OVERDUE_S = 5.0  # after SIGKILL; a process that lives longer is stuck in the kernel, or not ours to kill


class LocalAttempt:
    """An attempt as a process of this machine.

    Attributes:
        folder: Folder of the attempt.
        descriptor: Pidfd of a process that keeps the attempt alive; readable once `advance` should be called, -1
            after the end of the shim, too.
        channel: Socket to the shim, readable once `receive` should be called; -1 if there is none.
    """

    def __init__(
        self,
        folder: Path,
        shim_fd: int,
        child: int | None = None,
        shims: ShimPool | None = None,
        channel: int = -1,
    ) -> None:
        self.folder = folder
        self.descriptor = shim_fd
        self.channel = channel
        self._told_end = False  # by the shim, which may be alive until the journal has its record
        self._child = child  # the shim's pid while it is ours to reap
        self._shims = shims  # for another try while no shim has claimed the attempt
        self._tries = 0  # shims that ended before they could do so
        self._next_try: float | None = None  # monotonic time
        self._ready: list[int] = []  # descriptors of later shims, see `take_ready`
        self._delayed = False  # the shim waits until the machine has a process for the command
        self._command: CommandProcess | None = None
        self._known = KnownProcesses(folder)
        self._orphans: Orphans | None = None  # what is left, once the shim is dead
        self._stop: tuple[StopKind, float] | None = None  # a request that the shim may not have lived to carry out
        self._kill_deadline: float | None = None  # monotonic time by which SIGKILL should have ended it
        self._outcome: Outcome | None = None
        self._messages: list[str] = []

    @classmethod
    def start(cls, folder: Path, spec: AttemptSpec, shims: ShimPool) -> tuple[Self, int]:
        """Start an attempt under a shim of the pool.

        Returns:
            The attempt, and a descriptor that reaches its end of file once the command has been started.

        Raises:
            OSError: The folder cannot be written, or no process can be created.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        env = {**spec.env, ATTEMPT_VARIABLE: str(folder)}
        # Not synced: after a power cut there is no process that this file could be about. Nobody reads it before it is
        # complete: its name is given to the shim after that.
        with open(folder / "spec.json", "w", encoding="utf-8", opener=_open_private) as file:
            file.write(json.dumps(spec.record(env)))
        started = shims.assign(folder)
        return cls(folder, started.pidfd, started.pid, shims, started.channel), started.ready

    @classmethod
    def adopt(cls, folder: Path) -> Self:
        """Return the attempt as another engine left it; one that was not started never will be.

        Raises:
            OSError: The folder cannot be written.
        """
        claim_if_unclaimed(folder)
        record = read_process_record(folder)
        identity = read_identity(record, "shim")
        descriptor = identity.open() if identity else None
        attempt = cls(folder, -1 if descriptor is None else descriptor)
        if record is not None and record.get("void"):
            attempt._outcome = NeverStarted()
        attempt.advance()
        return attempt

    @property
    def started(self) -> CommandStart | None:
        """The start of its command; None until the shim has recorded it."""
        return None if self._command is None else CommandStart(self._command.identity.pid, self._command.started)

    @property
    def placement(self) -> Placement | None:
        """None: it runs on this machine."""
        return None

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while anything of it is alive."""
        return self._outcome

    def advance(self) -> None:
        """Read what the shim has recorded, and notice the end; without a shim, do its work."""
        if self._outcome is not None:
            if self.descriptor >= 0 and self._watched_ended():
                self.close()
            return
        if self._command is None:
            self._command = self._read_command()
        if self._told_end:
            self._outcome = read_exit_record(self.folder)
            if self._outcome is not None:
                return
        if self._orphans is not None:
            self._orphans.advance()
        if self._watched_ended():
            if (self.folder / "process.json").exists():
                self._outcome = read_exit_record(self.folder) or self._take_over()
            else:
                self._outcome = self._try_again()
        if self._outcome is not None:
            self.close()

    def find_processes(self) -> frozenset[int]:
        """Return the pids of its processes, and record who they are, in case the shim is killed."""
        if self._orphans is not None:
            found = self._orphans.survivors()
        else:
            shim_process = read_identity(read_process_record(self.folder), "shim")
            found = self._known.add(descendants([shim_process.pid] if shim_process is not None else []))
        return frozenset(identity.pid for identity in found)

    def warnings(self) -> Sequence[str]:
        """Return a warning if SIGKILL has not ended it: it waits for a disk or driver, or may not be signalled."""
        if self._outcome is not None or self._kill_deadline is None or time.monotonic() <= self._kill_deadline:
            return ()
        process = "its shim" if self._command is None else f"pid {self._command.identity.pid}"
        return (f"{process} survives SIGKILL; its slot stays occupied",)

    def withdraw(self) -> None:
        """Do nothing: a process of this machine follows no job."""

    def take_messages(self) -> Sequence[str]:
        """Return what happened since the last call."""
        messages, self._messages = self._messages, []
        return messages

    def request_stop(self, kind: StopKind, grace_s: float) -> None:
        """Request the end of the attempt: gently within `grace_s` seconds, or at once."""
        if self._outcome is not None:
            return
        self._stop = kind, grace_s
        self._kill_deadline = time.monotonic() + OVERDUE_S + (grace_s if kind == "stop" else 0)
        if self._orphans is not None:
            self._orphans.request_stop(kind, grace_s)
        elif self.descriptor >= 0:
            with contextlib.suppress(ProcessLookupError):  # ended meanwhile; `advance` will notice
                signal.pidfd_send_signal(self.descriptor, SIGNALS[kind])
                signal.pidfd_send_signal(self.descriptor, signal.SIGCONT)  # a user may have stopped it

    def receive(self) -> None:
        """Read what the shim says; `advance` then knows it."""
        with contextlib.suppress(OSError):  # it is dead
            self._told_end |= os.read(self.channel, len(ENDED)) == ENDED

    def confirm_end(self) -> None:
        """Tell the shim that the journal has its record on the disk, so that it need not wait for the disk, too."""
        if self.channel >= 0:
            with contextlib.suppress(OSError):  # it is dead
                os.write(self.channel, JOURNALED)

    def take_ready(self) -> list[int]:
        """Return descriptors that reach their end of file once a later shim has started the command, or ends."""
        ready, self._ready = self._ready, []
        return ready

    def close(self) -> None:
        """Close all descriptors; the attempt goes on."""
        self._replace_descriptor(-1)
        self._replace_channel(-1)
        for descriptor in self.take_ready():
            os.close(descriptor)

    def _read_command(self) -> CommandProcess | None:
        record = read_process_record(self.folder)
        identity = read_identity(record, "command")
        if record is None or identity is None:
            if record is not None and "delayed" in record and not self._delayed:
                self._delayed = True
                self._messages.append(f"cannot start the command yet: {record['delayed']}; trying again")
            return None
        return CommandProcess(identity, float(str(record["started"])))

    def _watched_ended(self) -> bool:
        """Return whether the watched process has ended: the shim, or later one that it left behind."""
        if self.descriptor < 0:
            return True
        if not has_ended(self.descriptor):
            return False
        if self._child is not None:
            os.waitpid(self._child, 0)
            self._child = None
        return True

    def _try_again(self) -> Exit | None:
        """Start another shim: the one before ended before it claimed the attempt, so the command has not run.

        Returns:
            None while there is hope.
        """
        now = time.monotonic()
        if self._stop is not None:
            return Exit(ended=time.time(), stop=self._stop[0], error="stopped before it started")
        if self._next_try is None:
            if self._shims is None or self._tries == len(SHIM_DELAYS_S):
                log = self.folder / "shim.log"
                reason = "its shim ended before it could start the command" + (f"; see {log}" if log.exists() else "")
                return Exit(ended=time.time(), unseen=f"never started: {reason}")
            self._next_try = now + SHIM_DELAYS_S[self._tries]
            self._tries += 1
            tries = f"try {self._tries + 1} of {1 + len(SHIM_DELAYS_S)}"
            self._messages.append(f"its shim ended before it could start the command; starting another ({tries})")
        if self._shims is None or now < self._next_try:
            self._replace_descriptor(-1)
            return None
        self._next_try = None
        with contextlib.suppress(OSError):  # no process for a shim: `advance` comes back here
            started = self._shims.assign(self.folder)
            self._replace_descriptor(started.pidfd)
            self._replace_channel(started.channel)
            self._child = started.pid
            self._ready.append(started.ready)
        return None

    def _take_over(self) -> Exit | None:
        """Do the work of the dead shim, which recorded no exit.

        Returns:
            None while a process that it left behind is alive; `descriptor` then watches that process.
        """
        watched_shim = self._orphans is None and self.descriptor >= 0
        if self._orphans is None:
            self._orphans = Orphans(self.folder, self._command or self._read_command(), self._known)
            if self._stop is not None:
                self._orphans.request_stop(*self._stop)
        survivor = self._orphans.survivor_fd()
        if survivor is None:
            # The shim may have died between writing its record and our first attempt to read it.
            return read_exit_record(self.folder) or unseen_exit(self.folder, self._command)
        self._replace_descriptor(survivor)
        if watched_shim:
            self._messages.append("its shim was killed; watching the remaining processes directly")
        return None

    def _replace_descriptor(self, descriptor: int) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = descriptor

    def _replace_channel(self, channel: int) -> None:
        if self.channel >= 0:
            os.close(self.channel)
        self.channel = channel


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
