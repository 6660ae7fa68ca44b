"""Which inputs matter: the error of a model after the values of one parameter are permuted among the points.

Sources: Breiman, Mach. Learn. 45 (2001) 5; Fisher, Rudin and Dominici, J. Mach. Learn. Res. 20 (2019) 177,
arXiv:1801.01489.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..inference.learned_scale import learned_difference
from ..inference.surrogate import Surrogate

Values = NDArray[np.float64]

MAX_POINTS = 2_000
"""Largest number of points: a transformer on one core then needs some 10 seconds."""


def permutation_importance(surrogate: Surrogate, points: Values, true: Values) -> dict[str, float]:
    """Return by how much the mean absolute error grows, on the learned scale, by parameter, largest first.

    Physics features are computed again from the permuted points. Parameters that were constant in the training are
    left out, because they have no influence.

    Args:
        surrogate: The model.
        points: Physical parameters, shape (n, 19).
        true: True values of the target, physical, shape (n,).
    """
    random = np.random.default_rng(0)
    chosen = random.permutation(len(points))[:MAX_POINTS]
    points, true = points[chosen], true[chosen]
    before = _error(surrogate, points, true)
    result = {}
    for column in np.flatnonzero(surrogate.scaling.std[:-1] > 0):
        changed = points.copy()
        changed[:, column] = random.permutation(points[:, column])
        result[surrogate.parameters[column]] = _error(surrogate, changed, true) - before
    return dict(sorted(result.items(), key=lambda item: -item[1]))


def _error(surrogate: Surrogate, points: Values, true: Values) -> float:
    predicted = surrogate.predict_members(points, warn=False).mean(axis=0)
    return float(np.mean(np.abs(learned_difference(surrogate.target, true, predicted))))
