"""Points that a user gives: their shape, the order of their columns, and the training range."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.standardize import FLOAT32_STEP, Standardizer


def validated_points(points: ArrayLike, parameters: Sequence[str]) -> NDArray[np.float64]:
    """Return points as an array of shape (n, parameters), float64.

    Raises:
        ValueError: Wrong shape, or the columns of the table have other names or another order.
    """
    names = [str(name).removeprefix("IN_") for name in getattr(points, "columns", ())]
    if any(not name.isdigit() for name in names) and names != [one.removeprefix("IN_") for one in parameters]:
        raise ValueError("the columns of points must be the surrogate's parameters, in that order; give "
                         "points[list(surrogate.parameters)]")  # fmt: skip
    rows = np.asarray(points, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != len(parameters):
        raise ValueError(f"points must be (n, {len(parameters)}), not {rows.shape}")
    return rows


def outside_range(rows: NDArray[np.float64], scaling: Standardizer) -> NDArray[np.bool_]:
    """Return which parameters lie outside the range of the training, shape (n, 19).

    nan lies outside. Values that float32 cannot distinguish from the end of the range lie inside.

    Args:
        rows: Physical parameters, shape (n, 19).
        scaling: Standardizer of the training; its last column is the target.
    """
    low, high = range_with_tolerance(scaling)
    return ~((rows >= low) & (rows <= high))


def range_with_tolerance(scaling: Standardizer) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of the training range, each of shape (19,), wider by what float32 cannot distinguish."""
    low, high = scaling.minimum[:-1], scaling.maximum[:-1]
    return low - FLOAT32_STEP * np.abs(low), high + FLOAT32_STEP * np.abs(high)
