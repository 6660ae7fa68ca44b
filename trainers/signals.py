"""SIGTERM and SIGINT: at once outside the training, at the next step inside it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(SystemExit):
    """Somebody asked the program to stop; exits with 128 + the signal's number."""

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.name = signal.Signals(signum).name


class StopRequest:
    """Whether somebody asked to stop. Raises Stopped at once, or notes it while `deferred()`."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self._deferred = False

    def listen(self) -> StopRequest:
        """Itself, hearing SIGTERM and SIGINT from now on."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._heard)
        return self

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """A block in which a signal only sets `signum`; the block looks at it where stopping is cheap."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def _heard(self, signum: int, _frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum = signum
        if not self._deferred:
            raise Stopped(self.signum)
