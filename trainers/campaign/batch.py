"""A batch of points that differ from each other and from those simulated before. Pure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..data.duplicates import point_keys

Points = NDArray[np.float64]
Indices = NDArray[np.int64]

SHORTLIST = 4
"""The batch of n points is chosen among the best `SHORTLIST * n` candidates."""

BLOCK = 4096


def is_simulated(candidates: Points, simulated: Points) -> NDArray[np.bool_]:
    """Return which candidates, shape (n, 19), equal a simulated point in float32; shape (n,)."""
    known = point_keys(simulated)
    keys = point_keys(candidates)
    pair = np.dtype([("a", np.uint64), ("b", np.uint64)])
    return np.asarray(np.isin(_as_records(keys, pair), _as_records(known, pair)))


def _as_records(keys: NDArray[np.uint64], pair: np.dtype[np.void]) -> NDArray[np.void]:
    return np.ascontiguousarray(keys).view(pair).ravel()


def shortlist(
    scores: NDArray[np.float64], count: int, is_accepted: Callable[[Indices], NDArray[np.bool_]] | None = None
) -> Indices:
    """Return the `SHORTLIST * count` accepted candidates with the largest scores, the best first.

    Args:
        scores: Shape (n,).
        count: Number of points of the batch.
        is_accepted: Condition on candidates; it is asked about the best ones first, and only as long as needed.

    Returns:
        Indices; fewer if there are not so many.
    """
    order = np.argsort(-scores, kind="stable")
    wanted = min(SHORTLIST * count, len(order))
    if is_accepted is None:
        return np.asarray(order[:wanted])
    accepted, start, size = order[:0], 0, 2 * wanted
    while len(accepted) < wanted and start < len(order):
        block = order[start : start + size]
        accepted = np.concatenate([accepted, block[is_accepted(block)]])
        start, size = start + size, 2 * size
    return np.asarray(accepted[:wanted])


def equal_shares(classes: NDArray[np.int8], count: int, choose: Callable[[Indices, int, Indices], Indices]) -> Indices:
    """Choose about as many candidates of each class; a class that has too few leaves its share to the others.

    Args:
        classes: Class of each candidate, shape (n,).
        count: Number of candidates to choose.
        choose: Return at most so many of some candidates, as indices: its arguments are the candidates of a class,
            their number to choose, and what was chosen of other classes.

    Returns:
        Indices; fewer than `count` if the last class has too few.
    """
    kinds, sizes = np.unique(classes, return_counts=True)
    chosen = np.empty(0, dtype=np.int64)
    for done, kind in enumerate(kinds[np.argsort(sizes, kind="stable")]):
        share = (count - len(chosen)) // (len(kinds) - done)
        chosen = np.concatenate([chosen, choose(np.flatnonzero(classes == kind), share, chosen)])
    return chosen


def diverse_batch(candidates: Points, count: int, taken: Points) -> Indices:
    """Return the candidates that are farthest from each other and from the points in `taken`.

    Each step takes the candidate whose nearest point, taken or chosen, is farthest away (k-center, Gonzalez, Theor.
    Comput. Sci. 38 (1985) 293).

    Args:
        candidates: The best first, shape (n, d), in units of the range of each parameter.
        count: Number of points to choose, at most n.
        taken: Points simulated before, shape (m, d); may be empty.

    Returns:
        Indices in the order of choice, shape (count,).
    """
    distance = _nearest(candidates, taken)
    chosen = np.empty(count, dtype=np.int64)
    for position in range(count):
        best = int(distance.argmax())
        chosen[position] = best
        np.minimum(distance, ((candidates - candidates[best]) ** 2).sum(axis=1), out=distance)
        distance[best] = -1.0  # once only, even where all distances are 0
    return chosen


def _nearest(candidates: Points, taken: Points) -> NDArray[np.float64]:
    """Return the squared distance of each candidate to the nearest of `taken`; infinite without any."""
    nearest = np.full(len(candidates), np.inf)
    squares = (candidates**2).sum(axis=1)
    for start in range(0, len(taken), BLOCK):
        block = taken[start : start + BLOCK]
        products = squares[:, None] + (block**2).sum(axis=1) - 2 * candidates @ block.T
        np.minimum(nearest, products.min(axis=1), out=nearest)
    return np.asarray(np.maximum(nearest, 0.0))
