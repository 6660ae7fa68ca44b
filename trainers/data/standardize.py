"""z-scores with statistics that are precise enough for nearly constant columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]

FLOAT32_STEP = float(np.finfo(np.float32).eps)
FLOAT32_TINY = float(np.finfo(np.float32).tiny)

FEATURE_LIMIT = 8.0
"""Limit of the z-scores of features: shares of particles that are rare in a scan have long tails."""


@dataclass(frozen=True)
class Standardizer:
    """Mean, standard deviation and range of each column, shape (columns,), float64.

    A column is constant if float32 cannot resolve its range; its standard deviation is then 0.

    Attributes:
        mean: Mean.
        std: Standard deviation; 0 for constant columns.
        minimum: Smallest value.
        maximum: Largest value.
    """

    mean: Rows
    std: Rows
    minimum: Rows
    maximum: Rows

    def select(self, columns: slice | Sequence[int]) -> Standardizer:
        """Return the standardizer of some columns."""
        return Standardizer(*(np.asarray(values)[columns] for values in vars(self).values()))

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Standardizer:
        """Return the standardizer that `as_dict` described; other keys are ignored.

        Raises:
            KeyError: A field is missing.
        """
        return cls(*(np.array(saved[field.name], dtype=np.float64) for field in fields(cls)))

    def as_dict(self) -> dict[str, list[float]]:
        """Return the columns for JSON."""
        return {key: value.tolist() for key, value in vars(self).items()}

    def apply(self, rows: Rows) -> Rows:
        """Return the z-scores of `rows`, shape (n, columns); exactly 0 in constant columns."""
        return (rows - self.mean) * self.inverse_std

    @property
    def inverse_std(self) -> Rows:
        """1 / standard deviation, shape (columns,); 0 for constant columns."""
        return np.divide(1.0, self.std, out=np.zeros_like(self.std), where=self.std > 0)


def fit_standardizer(chunks: Callable[[], Iterable[Rows]]) -> Standardizer:
    """Return the standardizer of all rows.

    Args:
        chunks: Function that returns the rows, chunk by chunk. It is called twice: for the means, then for
            the deviations from them.

    Raises:
        ValueError: There are no rows.
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
