"""A limit for code of others that cannot be interrupted otherwise, such as a search for a user's pattern."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import NoReturn


@contextlib.contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Ends what is in it once it has used that much of the processor. Only in the main thread, where signals arrive.

    Raises:
        TimeoutError: it was ended.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _give_up(*_: object) -> NoReturn:
    raise TimeoutError
