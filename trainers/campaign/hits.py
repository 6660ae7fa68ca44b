"""Hits: simulated points whose relic density is the measured one, within a tolerance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..inference.planck import PLANCK

TOLERANCE = 0.1
"""Largest relative deviation of a hit from the measured value."""


def is_hit(values: NDArray[np.float64], center: float = PLANCK, tolerance: float = TOLERANCE) -> NDArray[np.bool_]:
    """Return which values are within the relative `tolerance` of `center`, in the shape of `values`."""
    return np.asarray(np.abs(values - center) <= tolerance * center)


def hit_count(values: NDArray[np.float64], center: float = PLANCK, tolerance: float = TOLERANCE) -> int:
    """Return how many values are hits."""
    return int(is_hit(values, center, tolerance).sum())
