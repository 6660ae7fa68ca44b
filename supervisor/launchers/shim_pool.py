"""Shims that are started before they are needed: most of the time to a command's exec is Python's start-up."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from . import shim


@dataclass(frozen=True)
class IdleShim:
    """A shim that waits on its standard input for an attempt's folder; without one it exits.

    Attributes:
        pid: Its pid; it is our child.
        pidfd: Becomes readable when it ends.
        stdin: Write end of its standard input.
        ready: Reaches its end of file once the command has been started.
    """

    pid: int
    pidfd: int
    stdin: int
    ready: int

    @classmethod
    def spawn(cls) -> Self:
        """Start a shim as a child process, in a process session of its own.

        Raises:
            OSError: No process can be created, or no descriptor is left.
        """
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            its_stdin, stdin = os.pipe2(os.O_CLOEXEC)
            theirs.callback(os.close, its_stdin)
            ours.callback(os.close, stdin)
            ready, its_ready = os.pipe2(os.O_CLOEXEC)
            theirs.callback(os.close, its_ready)
            ours.callback(os.close, ready)
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", shim.__file__],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, its_stdin, 0),
                    (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_RDWR, 0),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                    (os.POSIX_SPAWN_DUP2, its_ready, shim.READY),
                ],
                setsid=True,
                setsigmask=shim.HANDLED,  # a signal that arrives before the shim is ready stays pending
            )
            idle = cls(pid, os.pidfd_open(pid), stdin, ready)
            ours.pop_all()
            return idle

    def assign(self, folder: Path) -> None:
        """Start an attempt: send its folder to the shim.

        Raises:
            BrokenPipeError: The shim was killed while it waited.
        """
        try:
            os.write(self.stdin, os.fsencode(folder))
        finally:
            os.close(self.stdin)

    def terminate(self) -> None:
        """Close its standard input, at which it exits, and all other descriptors."""
        for descriptor in (self.stdin, self.ready, self.pidfd):
            os.close(descriptor)


class ShimPool:
    """One spare shim, ready while more attempts are to come."""

    def __init__(self) -> None:
        self._spare: IdleShim | None = None

    def refill(self) -> None:
        """Start a spare shim unless there is one.

        Raises:
            OSError: No process can be created, or no descriptor is left.
        """
        if self._spare is None:
            self._spare = IdleShim.spawn()

    def assign(self, folder: Path) -> IdleShim:
        """Start an attempt under the spare shim, or under a new one if there is none or it was killed.

        Raises:
            OSError: No process can be created, or no descriptor is left.
        """
        spare, self._spare = self._spare, None
        if spare is not None:
            try:
                spare.assign(folder)
            except BrokenPipeError:
                os.waitpid(spare.pid, 0)
                os.close(spare.pidfd)
                os.close(spare.ready)
            else:
                return spare
        fresh = IdleShim.spawn()
        with contextlib.suppress(BrokenPipeError):  # a shim that cannot even run: its exit shows it
            fresh.assign(folder)
        return fresh

    def close(self) -> None:
        """Terminate the spare shim."""
        if self._spare is not None:
            self._spare.terminate()
            self._spare = None
