"""Processes that outlived their shim: watch them and end them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

from ..session.events import StopKind
from .attempt_files import ATTEMPT_VARIABLE, CommandProcess, StopRecord, read_stop_record
from .process_identity import ProcessIdentity, find_by_environment, session_members
from .process_tree import KnownProcesses, descendants
from .shim_files import boot_id


class Orphans:
    """The remaining processes of an attempt whose shim was killed.

    They are found by `ATTEMPT_VARIABLE` in their environment, by the process session of the command, among the
    descendants of those, and in the record of the processes that were seen while the shim lived.
    """

    def __init__(self, folder: Path, command: CommandProcess | None, known: KnownProcesses) -> None:
        self._folder = folder
        self._command = command
        self._known = known
        self._kill_at: float | None = None  # monotonic time

    def survivors(self) -> frozenset[ProcessIdentity]:
        """Return all processes that are alive."""
        found = {*find_by_environment(ATTEMPT_VARIABLE, str(self._folder)), *self._known.living()}
        if self._command is not None:  # a child may have removed the variable
            found |= {self._command.identity, *session_members(self._command.identity)}
        living = self._known.add(found)
        return self._known.add(descendants(identity.pid for identity in living))

    def survivor_fd(self) -> int | None:
        """Return a pidfd of a process that is still alive, or None where there is none."""
        for identity in self.survivors():
            descriptor = identity.open()
            if descriptor is not None:
                return descriptor
        return None

    def request_stop(self, kind: StopKind, grace_s: float) -> None:
        """Send SIGTERM now and SIGKILL after the grace period, or SIGKILL now.

        A stop that the shim or an earlier engine has begun goes on: who has had SIGTERM does not get another one.

        Args:
            kind: `stop` or `kill`.
            grace_s: Length of the grace period, in seconds; a second `stop` does not lengthen it.
        """
        if kind == "kill":
            self._kill_at = time.monotonic()
        elif self._kill_at is None:
            begun = read_stop_record(self._folder)
            self._kill_at = time.monotonic() + grace_s
            if begun is not None:
                self._kill_at = min(begun.kill_at, self._kill_at)
            survivors = self.survivors()
            told = set(begun.signalled) if begun is not None else set()
            untold = [identity for identity in survivors if identity not in told]
            _send(untold, signal.SIGTERM)
            _send(untold, signal.SIGCONT)
            with contextlib.suppress(OSError):  # a full disk: the next engine sends SIGTERM once more
                StopRecord(kill_at=self._kill_at, signalled=tuple(survivors), boot_id=boot_id()).write(self._folder)
        self.advance()

    def advance(self) -> None:
        """Send SIGKILL if the grace period is over."""
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            _send(self.survivors(), signal.SIGKILL)


def _send(identities: Iterable[ProcessIdentity], number: signal.Signals) -> None:
    for identity in identities:
        descriptor = identity.open()
        if descriptor is not None:
            try:
                signal.pidfd_send_signal(descriptor, number)
            except OSError:
                pass  # ended meanwhile
            finally:
                os.close(descriptor)
