"""z-scores whose statistics are exact enough for columns that hardly vary."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]

FLOAT32_STEP = float(np.finfo(np.float32).eps)
FLOAT32_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Standardizer:
    """Mean, standard deviation and range of each column, `(columns,)` float64.

    The deviation of a constant column is 0. Constant is a column whose whole range a float32 can't tell apart.
    """

    mean: Rows
    std: Rows
    minimum: Rows
    maximum: Rows

    def apply(self, rows: Rows) -> Rows:
        """z-scores of `rows`, `(n, columns)`; exactly 0 in constant columns."""
        return (rows - self.mean) * self.inverse_std

    @property
    def inverse_std(self) -> Rows:
        """1 / deviation, `(columns,)`; 0 for constant columns."""
        return np.divide(1.0, self.std, out=np.zeros_like(self.std), where=self.std > 0)


def measure(chunks: Callable[[], Iterable[Rows]]) -> Standardizer:
    """Scaling of all rows of `chunks()`, which is gone through twice: means first, then deviations around them.

    Raises ValueError where there is no row.
    """
    count, total = 0, np.float64(0) * np.zeros(1)
    minimum, maximum = np.array([np.inf]), np.array([-np.inf])
    for chunk in chunks():
        if len(chunk):
            count += len(chunk)
            total = total + chunk.sum(axis=0)
            minimum, maximum = np.minimum(minimum, chunk.min(axis=0)), np.maximum(maximum, chunk.max(axis=0))
    if count == 0:
        raise ValueError("no row to measure")
    mean = total / count
    squares = sum((np.square(chunk - mean).sum(axis=0) for chunk in chunks()), np.zeros_like(mean))
    largest = np.maximum(np.abs(minimum), np.abs(maximum))
    constant = maximum - minimum <= np.maximum(FLOAT32_STEP * largest, FLOAT32_TINY)
    return Standardizer(mean, np.where(constant, 0.0, np.sqrt(squares / count)), minimum, maximum)
