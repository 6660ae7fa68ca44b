"""Find duplicate points, which would leak from training into validation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_MULTIPLIERS = np.random.default_rng(19).integers(0, 2**64, size=(64, 2), dtype=np.uint64)


def point_keys(parameters: NDArray[np.float64]) -> Keys:
    """Return 128 bits per row that are equal for points with equal float32 parameters.

    Multilinear hashes modulo 2⁶⁴: for ten million points, two different points share a key in one of some
    10¹⁰ scans.

    Args:
        parameters: Shape (n, d), d ≤ 64.

    Returns:
        Shape (n, 2).
    """
    single = parameters.astype(np.float32) + np.float32(0)  # -0.0 becomes 0.0
    words = single.view(np.uint32).astype(np.uint64)
    return words @ _MULTIPLIERS[: words.shape[1]]


def first_occurrences(keys: Keys) -> NDArray[np.int64]:
    """Return for each row the first row with the same key.

    Args:
        keys: Shape (n, 2).

    Returns:
        Shape (n,); its own index for a row without an earlier duplicate.
    """
    if not len(keys):
        return np.empty(0, dtype=np.int64)
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: of equal keys the first row comes first
    is_new = np.zeros(len(keys), dtype=np.bool_)
    is_new[0] = True
    for half in keys.T:
        ordered = half[order]
        is_new[1:] |= ordered[1:] != ordered[:-1]
    first = np.empty(len(keys), dtype=np.int64)
    first[order] = order[is_new][np.cumsum(is_new) - 1]
    return first
