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
    """What is left of an attempt whose shim was killed: found by its mark, ended by us."""

    def __init__(self, folder: Path, command: CommandProcess | None) -> None:
        self._folder = folder
        self._command = command
        self._kill_at: float | None = None

    def survivor_fd(self) -> int | None:
        """A pidfd of something that still lives."""
        for identity in self._survivors():
            descriptor = identity.open()
            if descriptor is not None:
                return descriptor
        return None

    def end(self, how: StopKind, grace_s: float) -> None:
        """SIGTERM now and SIGKILL after the grace, or SIGKILL now."""
        if how == "kill":
            self._kill_at = time.monotonic()
        elif self._kill_at is None:
            self._kill_at = time.monotonic() + grace_s
            self._send(signal.SIGTERM)
            self._send(signal.SIGCONT)
        self.tick()

    def tick(self) -> None:
        """SIGKILL once the grace is over."""
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._send(signal.SIGKILL)

    def _survivors(self) -> list[ProcessIdentity]:
        found = list(find_by_environment(ATTEMPT_VARIABLE, str(self._folder)))
        if self._command is not None:
            found += [
                self._command.identity,
                *session_members(self._command.identity),
            ]  # a child may have dropped the mark
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
