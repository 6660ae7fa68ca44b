"""Calibrated intervals of a model: conformal quantiles by class of the lightest sparticle as predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.lsp import LSP_CLASSES
from ..data.standardize import FLOAT32_TINY
from .conformal import mondrian_quantiles
from .predicted_lsp import predict_lsp

Values = NDArray[np.float64]

LEVELS: Values = np.sort(np.append(np.arange(1, 20) / 20, 0.68))
"""Levels whose quantiles a model keeps: 68 %, and each 5 % for coverage curves."""

SHOWN = (0.68, 0.95)


class PredictionIntervals(NamedTuple):
    """Intervals of predictions, in the unit of the target, each of shape (n,); nan without a guarantee."""

    lower_68: Values
    upper_68: Values
    lower_95: Values
    upper_95: Values


@dataclass(frozen=True)
class CalibratedIntervals:
    """Half widths of intervals at LEVELS, in z-scores of the learned values.

    The half width at a point is a quantile of its class times its difficulty, which is `offset` + the spread of the
    ensemble.

    Attributes:
        quantiles: Shape (len(LSP_CLASSES), len(LEVELS)).
        offset: Part of the difficulty that is equal for all points.
        counts: Calibration points of each class, shape (len(LSP_CLASSES),).
    """

    quantiles: Values
    offset: float
    counts: NDArray[np.int64]

    def half_widths(self, points: Values, spread: Values) -> Values:
        """Return the half widths.

        Args:
            points: Physical parameters, shape (n, 19).
            spread: Spread of the ensemble, z-scores, shape (n,); 0 for a single model.

        Returns:
            Shape (len(LEVELS), n).
        """
        return np.asarray(self.quantiles[predict_lsp(points)].T * (spread + self.offset))

    def to_saved(self) -> dict[str, Any]:
        """Return tensors and numbers for `torch.save`."""
        return {
            "levels": torch.from_numpy(LEVELS.copy()),
            "quantiles": torch.from_numpy(self.quantiles.copy()),
            "offset": self.offset,
            "counts": torch.from_numpy(self.counts.copy()),
        }

    @classmethod
    def from_saved(cls, saved: dict[str, Any]) -> CalibratedIntervals:
        """Return the intervals that `to_saved` described.

        Raises:
            KeyError: A part is missing.
            TypeError: The levels or classes are those of another version.
        """
        quantiles = saved["quantiles"].numpy()
        if quantiles.shape != (len(LSP_CLASSES), len(LEVELS)) or not np.allclose(saved["levels"].numpy(), LEVELS):
            raise TypeError("the intervals are those of another version")
        return cls(quantiles, float(saved["offset"]), saved["counts"].numpy())


def level_index(level: float) -> int:
    """Return the index of a level in LEVELS."""
    return int(np.abs(LEVELS - level).argmin())


def calibrate(points: Values, errors: Values, spread: Values | None) -> CalibratedIntervals:
    """Return intervals from the errors of points that the training did not use.

    The difficulty of an ensemble is its spread + the median spread. Without the second term, members that agree by
    chance would give intervals of no width; a few members often do.

    Args:
        points: Physical parameters, shape (n, 19).
        errors: Errors of the predictions, z-scores of the learned values, shape (n,).
        spread: Spread of the ensemble, z-scores, shape (n,); None for a single model.
    """
    offset = 1.0 if spread is None else max(float(np.median(spread)), FLOAT32_TINY)
    difficulty = offset + (0.0 if spread is None else spread)
    classes = predict_lsp(points)
    quantiles = mondrian_quantiles(np.abs(errors) / difficulty, classes, LEVELS, len(LSP_CLASSES))
    return CalibratedIntervals(quantiles, offset, np.bincount(classes, minlength=len(LSP_CLASSES)))
