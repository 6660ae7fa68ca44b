"""Log lines about a long task, so that nobody waits without a word."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .log import LOGGER

FIRST_LINE_S = 1.0
LONGEST_PAUSE_S = 30.0


class Progress:
    """Description of the task in progress.

    Attributes:
        task: What is being done, such as `Reading scan.csv`; the log adds the time.
    """

    def __init__(self) -> None:
        self.task = ""


@contextmanager
def log_progress() -> Iterator[Progress]:
    """Log the task in progress after one second, and then after pauses that double up to half a minute.

    A thread does it: a library may need minutes for one call.

    Yields:
        Object whose `task` the block sets.
    """
    progress, done = Progress(), threading.Event()

    def log() -> None:
        start, pause_s = time.monotonic(), FIRST_LINE_S
        while not done.wait(pause_s):
            LOGGER.info("%s, %.0f s so far", progress.task, time.monotonic() - start)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    thread = threading.Thread(target=log, name="progress", daemon=True)
    thread.start()
    try:
        yield progress
    finally:
        done.set()
        thread.join()
