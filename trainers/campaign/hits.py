"""Hits: simulated points whose relic density is the measured one, within a tolerance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..inference.planck import PLANCK


@dataclass(frozen=True)
class Goal:
    """The interval to find.

    Attributes:
        center: Wanted value, positive.
        tolerance: Largest relative deviation of a hit, between 0 and 1.
    """

    center: float = PLANCK
    tolerance: float = 0.1

    def hits(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which values are hits, in the shape of `values`."""
        return np.asarray(np.abs(values - self.center) <= self.tolerance * self.center)

    @property
    def log_ends(self) -> tuple[float, float]:
        """The natural logarithms of the ends of the interval."""
        low, high = self.center * (1 - self.tolerance), self.center * (1 + self.tolerance)
        return float(np.log(low)), float(np.log(high))
