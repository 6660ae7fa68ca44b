"""Points that occur more than once: on both sides of the split they would pass for skill."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_MULTIPLIERS = np.random.default_rng(19).integers(0, 2**64, size=(64, 2), dtype=np.uint64)


def point_keys(parameters: NDArray[np.float64]) -> Keys:
    """128 bits a row, `(n, 2)`, of `parameters` `(n, d ≤ 64)`: the same for points that are the same to a float32.

    Multilinear hashes modulo 2⁶⁴: among ten million points two that differ share a key once in some 10¹⁰ scans.
    """
    single = parameters.astype(np.float32) + np.float32(0)  # -0.0 becomes 0.0
    words = single.view(np.uint32).astype(np.uint64)
    return words @ _MULTIPLIERS[: words.shape[1]]


def first_occurrences(keys: Keys) -> NDArray[np.int64]:
    """For each row, `(n,)`, the first row that has its key; its own number where that is the row itself."""
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
