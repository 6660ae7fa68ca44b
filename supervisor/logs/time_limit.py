"""Time limit for user-supplied regular expressions, which may backtrack exponentially.

Python cannot interrupt a search of `re` otherwise.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import NoReturn, TypeVar

LIMIT_S = 0.5  # of CPU time
CHUNK_LINES = 256

T = TypeVar("T")


@contextlib.contextmanager
def regex_time_limit() -> Iterator[None]:
    """Interrupt the `with` block after LIMIT_S seconds of CPU time. For the main thread only.

    Python drops an exception that a signal raises in a finalizer. So the interruption is repeated until the block ends.

    Raises:
        TimeoutError: The block was interrupted.
        ValueError: This is another thread, which receives no signals.
    """
    previous = signal.signal(signal.SIGVTALRM, _raise_timeout)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)


def _raise_timeout(*_: object) -> NoReturn:
    raise TimeoutError


async def in_chunks(lines: Sequence[T]) -> AsyncIterator[Sequence[T]]:
    """Yield a few lines at a time; other tasks of the event loop run in between."""
    import asyncio  # noqa: PLC0415 - `status` of a finished session does without

    for start in range(0, len(lines), CHUNK_LINES):
        yield lines[start : start + CHUNK_LINES]
        await asyncio.sleep(0)
