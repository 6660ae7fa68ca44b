"""Differences on the scale on which a target is learned, from physical values.

On a logarithmic scale a difference is the logarithm of a ratio, so the reference value cancels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..data.targets import MAX_LOG, Target

Values = NDArray[np.float64]


def learned_difference(target: Target, first: Values, second: Values) -> Values:
    """Return second - first on the learned scale; shapes are broadcast."""
    return np.asarray(second - first if target.transform == "none" else np.log(second / first))


def shifted(target: Target, values: Values, difference: Values) -> Values:
    """Return `values` shifted by `difference` on the learned scale; not below the lower cut of the target."""
    if target.transform != "none":
        return np.asarray(values * np.exp(np.clip(difference, -MAX_LOG, MAX_LOG)))
    result = values + difference
    return np.asarray(result if target.above is None else np.maximum(result, target.above))
