"""Signals that stop a trainer: immediate outside the training, at the next step inside it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,  # SIGUSR1, SIGUSR2, SIGXCPU: warnings of batch systems before the end of a job
    signal.SIGUSR2,
    signal.SIGXCPU,
)


class Stopped(SystemExit):
    """Exit of the program by a signal, with exit code 128 + its number.

    Args:
        signum: Number of the signal.

    Attributes:
        name: Name of the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.name = signal.Signals(signum).name


class StopRequest:
    """Handler of `STOP_SIGNALS`.

    It raises Stopped at once, or only notes the signal inside `deferred`.

    Attributes:
        signum: Number of the first signal; None before.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._deferred = False

    def install(self) -> StopRequest:
        """Install the handler and return this object."""
        for signum in STOP_SIGNALS:
            signal.signal(signum, self._handle)
        return self

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Only note signals while the block runs; the block checks `signum` when it can stop."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum = signum
        if not self._deferred:
            raise Stopped(self.signum)
