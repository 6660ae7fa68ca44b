"""Searches for patterns that people give: some take years for some lines, and cannot be interrupted otherwise."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import NoReturn, TypeVar

LIMIT_S = 0.5
SLICE = 256

T = TypeVar("T")


@contextlib.contextmanager
def regex_time_limit() -> Iterator[None]:
    """Ends what is in it once the process has used `LIMIT_S` of the processor. For the main thread alone.

    Raises:
        TimeoutError: it was ended.
        ValueError: this is another thread, where no signal arrives.
    """
    before = signal.signal(signal.SIGVTALRM, _raise_timeout)
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _raise_timeout(*_: object) -> NoReturn:
    raise TimeoutError


async def in_chunks(lines: Sequence[T]) -> AsyncIterator[Sequence[T]]:
    """Some lines at a time; in between, whatever else there is to do has its turn."""
    import asyncio  # noqa: PLC0415 - `status` of a finished session does without

    for start in range(0, len(lines), SLICE):
        yield lines[start : start + SLICE]
        await asyncio.sleep(0)
