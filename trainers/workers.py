"""Threads that share the cores of a CPU by rows of the batch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import pairwise
from typing import TypeVar

import torch

Result = TypeVar("Result")


LEAST_ROWS = 64
"""That a thread of its own is worth."""


class Workers:
    """`count` threads, each computing on a core of its own, or on `cores` of them.

    PyTorch's threads share every single operation and wait for each other after each, several hundred times a step;
    these share the rows and wait once.
    """

    def __init__(self, count: int = 1, cores: int = 1) -> None:
        self.count, self.cores = count, cores
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="rows") if count > 1 else None
        torch.set_num_threads(cores)

    @classmethod
    def sharing(cls, cores: int, rows: int) -> Workers:
        """Those for batches of `rows` on so many cores."""
        count = min(cores, max(1, rows // LEAST_ROWS))
        return cls(count, cores // count)

    def each(self, task: Callable[[int], Result]) -> list[Result]:
        """`[task(0), task(1), …]`, one call a worker. Raises what the first of them raised, once all have ended."""
        if self._pool is None:
            return [task(0)]
        calls: list[Future[Result]] = [self._pool.submit(task, number) for number in range(self.count)]
        wait(calls)
        return [call.result() for call in calls]


def split(rows: int, parts: int, largest: int | None = None) -> list[list[slice]]:
    """For each part its share of `range(rows)`, in slices of at most `largest`, all nearly of one size."""
    bounds = [rows * part // parts for part in range(parts + 1)]
    shares = []
    for start, end in pairwise(bounds):
        pieces = -(-(end - start) // largest) if largest else min(1, end - start)
        cuts = [start + (end - start) * piece // max(pieces, 1) for piece in range(pieces + 1)]
        shares.append([slice(*pair) for pair in pairwise(cuts)])
    return shares
