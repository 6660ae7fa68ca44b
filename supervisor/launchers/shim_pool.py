"""Shims that have started up before they are needed: Python's start-up is most of the way to a command's exec."""

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
    """A shim that waits on its standard input to be told its attempt's folder; without a word it ends."""

    pid: int
    pidfd: int
    words: int  # write end of its standard input
    ready: int  # ends once its command has been started

    @classmethod
    def spawn(cls) -> Self:
        """A new shim, a child of ours in a process session of its own.

        Raises:
            OSError: no process, or no descriptor, can be had.
        """
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            standard_input, words = os.pipe2(os.O_CLOEXEC)
            theirs.callback(os.close, standard_input)
            ours.callback(os.close, words)
            ready, its_ready = os.pipe2(os.O_CLOEXEC)
            theirs.callback(os.close, its_ready)
            ours.callback(os.close, ready)
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", shim.__file__],
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, standard_input, 0),
                    (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_RDWR, 0),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                    (os.POSIX_SPAWN_DUP2, its_ready, shim.READY),
                ],
                setsid=True,
                setsigmask=shim.OBEYED,  # a signal that comes before the shim is ready waits for it
            )
            waiting = cls(pid, os.pidfd_open(pid), words, ready)
            ours.pop_all()
            return waiting

    def tell(self, folder: Path) -> None:
        """Sends it on its way.

        Raises:
            BrokenPipeError: it was killed while it waited.
        """
        try:
            os.write(self.words, os.fsencode(folder))
        finally:
            os.close(self.words)

    def dismiss(self) -> None:
        """Lets it end."""
        for descriptor in (self.words, self.ready, self.pidfd):
            os.close(descriptor)


class ShimPool:
    """Keeps one shim warm while more attempts are to come."""

    def __init__(self) -> None:
        self._spare: IdleShim | None = None

    def refill(self) -> None:
        """Makes sure that there is a spare.

        Raises:
            OSError: no process, or no descriptor, can be had.
        """
        if self._spare is None:
            self._spare = IdleShim.spawn()

    def send(self, folder: Path) -> IdleShim:
        """A shim that has been told its folder: the spare, or a new one if there is none or it was killed.

        Raises:
            OSError: no process, or no descriptor, can be had.
        """
        spare, self._spare = self._spare, None
        if spare is not None:
            try:
                spare.tell(folder)
            except BrokenPipeError:
                os.waitpid(spare.pid, 0)
                os.close(spare.pidfd)
                os.close(spare.ready)
            else:
                return spare
        fresh = IdleShim.spawn()
        with contextlib.suppress(BrokenPipeError):  # a shim that cannot even run: its end says so
            fresh.tell(folder)
        return fresh

    def close(self) -> None:
        """Lets the spare end."""
        if self._spare is not None:
            self._spare.dismiss()
            self._spare = None
