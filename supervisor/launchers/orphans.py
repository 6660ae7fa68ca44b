"""Processes that outlived their shim: watch them and end them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from ..session.events import StopKind
from .attempt_files import ATTEMPT_VARIABLE, CommandProcess
from .process_identity import ProcessIdentity, find_by_environment, session_members


class Orphans:
    """The remaining processes of an attempt whose shim was killed.

    They are found by `ATTEMPT_VARIABLE` in their environment, and by the process session of the command.
    """

    def __init__(self, folder: Path, command: CommandProcess | None) -> None:
        self._folder = folder
        self._command = command
        self._kill_at: float | None = None  # monotonic time

    def survivor_fd(self) -> int | None:
        """Return a pidfd of a process that is still alive, or None where there is none."""
        for identity in self._survivors():
            descriptor = identity.open()
            if descriptor is not None:
                return descriptor
        return None

    def request_stop(self, kind: StopKind, grace_s: float) -> None:
        """Send SIGTERM now and SIGKILL after the grace period, or SIGKILL now.

        Args:
            kind: `stop` or `kill`.
            grace_s: Length of the grace period, in seconds; a second `stop` does not lengthen it.
        """
        if kind == "kill":
            self._kill_at = time.monotonic()
        elif self._kill_at is None:
            self._kill_at = time.monotonic() + grace_s
            self._send(signal.SIGTERM)
            self._send(signal.SIGCONT)
        self.advance()

    def advance(self) -> None:
        """Send SIGKILL if the grace period is over."""
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._send(signal.SIGKILL)

    def _survivors(self) -> list[ProcessIdentity]:
        found = list(find_by_environment(ATTEMPT_VARIABLE, str(self._folder)))
        if self._command is not None:  # a child may have removed the variable
            found += [self._command.identity, *session_members(self._command.identity)]
        return list(dict.fromkeys(found))

    def _send(self, number: signal.Signals) -> None:
        for identity in self._survivors():
            descriptor = identity.open()
            if descriptor is not None:
                try:
                    signal.pidfd_send_signal(descriptor, number)
                except OSError:
                    pass  # ended meanwhile
                finally:
                    os.close(descriptor)
