"""Fingerprints of the points that a training has used, to recognise them later.

A fingerprint is 64 bits of the point's float32 z-scores. The model keeps its normalisation, so the same point gives
the same z-scores again. Parameters that were constant in the training do not count: their z-score is always 0.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..data.columns import PARAMETERS
from ..data.duplicates import point_keys
from ..data.standardize import Standardizer

Fingerprints = NDArray[np.int64]

CHUNK = 100_000
"""Rows hashed at once: the hash needs 300 bytes a row."""


def fingerprints(parts: Iterable[NDArray[np.float32]]) -> Fingerprints:
    """Return the sorted fingerprints of all rows.

    Args:
        parts: z-scores, each of shape (k, 19 or more); columns after the 19 parameters do not count.
    """
    return np.unique(np.concatenate([_each(part) for part in parts]))


def is_known(known: Fingerprints, scaling: Standardizer, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points have one of the `known` fingerprints.

    Args:
        known: Result of `fingerprints`.
        scaling: Normalisation of the training.
        points: Physical parameters, shape (n, 19).

    Returns:
        Shape (n,).
    """
    width = len(PARAMETERS)
    scaled = (points - scaling.mean[:width]) * scaling.inverse_std[:width]
    return np.isin(_each(scaled.astype(np.float32)), known)


def _each(scaled: NDArray[np.float32]) -> Fingerprints:
    """Return the fingerprint of each row of z-scores, shape (n,)."""
    result = np.empty(len(scaled), dtype=np.int64)
    for start in range(0, len(scaled), CHUNK):
        rows = np.asarray(scaled[start : start + CHUNK, : len(PARAMETERS)], dtype=np.float64)
        result[start : start + CHUNK] = point_keys(rows)[:, 0].view(np.int64)
    return result
