"""Predictions for all candidates of a pool: ln Ωh² and its uncertainty."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..inference.surrogate import Surrogate
from .strategies import SMALLEST_SIGMA

Values = NDArray[np.float64]

CHUNK = 65_536
UNKNOWN_SIGMA = 1.0
"""Standard deviation of ln Ωh² where a model with intervals states none: outside its training range."""

SMALLEST_VALUE = 1e-30


class Predictions(NamedTuple):
    """Predictions of n points, each of shape (n,).

    Attributes:
        log_mean: Mean of ln Ωh² over the members of the ensemble.
        sigma: Its standard deviation: from the calibrated intervals if the model has them, else from the ensemble.
    """

    log_mean: Values
    sigma: Values

    def rows(self, chosen: NDArray[np.int64]) -> Predictions:
        """Return the predictions of some points."""
        return Predictions(self.log_mean[chosen], self.sigma[chosen])


def predict_pool(surrogate: Surrogate, points: Values, *, uncertain: bool) -> Predictions:
    """Return the predictions of all points.

    Args:
        surrogate: Trained model of a positive target.
        points: Shape (n, 19).
        uncertain: Whether the uncertainty is needed.

    Raises:
        OptionError: The uncertainty is needed, and the model states none.
    """
    if uncertain and len(surrogate.models) == 1 and surrogate.calibrated is None:
        raise OptionError("--strategy: the model states no uncertainty; train it with --ensemble 3, prepare its data "
                          "with --calibration 0.1, or use --strategy tolerance")  # fmt: skip
    parts = [_predict(surrogate, points[start : start + CHUNK]) for start in range(0, len(points), CHUNK)]
    return Predictions(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _predict(surrogate: Surrogate, points: Values) -> Predictions:
    members = surrogate.predict_members(points, warn=False)
    logarithms = np.log(np.maximum(members, SMALLEST_VALUE))
    if surrogate.calibrated is None:
        sigma = logarithms.std(axis=0)
    else:
        intervals = surrogate.intervals_of(points, members)
        ends = np.log(np.maximum([intervals.lower_68, intervals.upper_68], SMALLEST_VALUE))
        sigma = np.nan_to_num((ends[1] - ends[0]) / 2, nan=UNKNOWN_SIGMA, posinf=UNKNOWN_SIGMA)
    return Predictions(logarithms.mean(axis=0), np.maximum(sigma, SMALLEST_SIGMA))
