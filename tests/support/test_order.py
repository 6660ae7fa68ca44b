"""Order of the tests for workers of which each begins with a part of the list, and takes from others later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def order_for_workers(tests: Sequence[T], duration: Callable[[T], float], workers: int) -> list[T]:
    """Return the tests in an order in which long ones are the first of each worker's part.

    `--dist worksteal` gives each worker an equal, contiguous part of the list. The other tests keep their order.

    Args:
        tests: Tests in their usual order.
        duration: Seconds of a long test, 0 for others.
        workers: Number of workers; with one, the order stays.
    """
    if workers < 2:
        return list(tests)
    long = sorted((test for test in tests if duration(test)), key=duration, reverse=True)
    others = iter([test for test in tests if not duration(test)])
    ordered: list[T] = []
    for worker in range(workers):
        first = long[worker::workers]
        size = (len(tests) - len(ordered)) // (workers - worker)
        ordered += first
        ordered += islice(others, max(0, size - len(first)))
    return [*ordered, *others]
