"""Candidates from a Markov chain that follows a likelihood within ranges. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .pool import Points, Ranges, latin_hypercube

LogLikelihood = Callable[[Points], NDArray[np.float64]]

BURN_IN, STEPS = 50, 50
"""Steps of each walker that are forgotten, and those after them that are kept."""

START_POOL = 50
"""The walkers start among `START_POOL` times as many points of a Latin hypercube."""

JUMP_EVERY = 10
"""After so many steps, walkers move by the whole difference of two others, which leads from one mode to another."""


def markov_chain(log_likelihood: LogLikelihood, ranges: Ranges, count: int, random: np.random.Generator) -> Points:
    """Return points whose density is that of the likelihood, each once.

    Many walkers move by differences of others: DE-MC, ter Braak, Stat. Comput. 16 (2006) 239. Here the others are of
    the other half of the walkers, so that half of them move at the same time. The walkers start at points of a Latin
    hypercube, drawn with the likelihood as weight.

    Args:
        log_likelihood: Maps points, shape (n, 19), to the logarithm of their likelihood, shape (n,).
        ranges: Ranges; a step that leads out of one is reflected at its end.
        count: Number of states of the chain; repeated ones are one point.
        random: Source of all random numbers.

    Returns:
        Shape (at most count, 19).
    """
    dimensions = int(ranges.varies.sum())
    walkers = 2 * max(dimensions + 2, math.ceil(count / STEPS / 2))
    start = latin_hypercube(START_POOL * walkers, ranges, random)
    weights = log_likelihood(start)
    drawn = np.argsort(-(weights + random.gumbel(size=len(weights))))[:walkers]  # without replacement
    states, values = start[drawn], weights[drawn]
    kept = []
    for step in range(BURN_IN + STEPS):
        factor = 1.0 if step % JUMP_EVERY == 0 else 2.38 / math.sqrt(2 * max(1, dimensions))
        order = random.permutation(walkers)
        for movers, others in ((order[::2], order[1::2]), (order[1::2], order[::2])):
            _move(states, values, movers, others, factor=factor, likelihood=log_likelihood, ranges=ranges,
                  random=random)  # fmt: skip
        if step >= BURN_IN:
            kept.append(states.copy())
    return np.unique(np.concatenate(kept)[:count], axis=0)


def _move(
    states: Points,
    values: NDArray[np.float64],
    movers: NDArray[np.int64],
    others: NDArray[np.int64],
    *,
    factor: float,
    likelihood: LogLikelihood,
    ranges: Ranges,
    random: np.random.Generator,
) -> None:
    """Move some walkers in place, by the rule of Metropolis."""
    first = random.integers(len(others), size=len(movers))
    second = (first + random.integers(1, len(others), size=len(movers))) % len(others)
    steps = factor * (states[others[first]] - states[others[second]])
    steps += 1e-6 * (ranges.high - ranges.low) * random.standard_normal(steps.shape)
    proposed = _reflected(states[movers] + steps, ranges)
    found = likelihood(proposed)
    accepted = np.log(random.random(len(movers))) < found - values[movers]
    states[movers[accepted]], values[movers[accepted]] = proposed[accepted], found[accepted]


def _reflected(points: Points, ranges: Ranges) -> Points:
    """Return points inside the ranges; each step and its reverse stay equally probable."""
    width = np.where(ranges.varies, ranges.high - ranges.low, 1.0)
    places = np.mod((points - ranges.low) / width, 2.0)
    return np.asarray(np.clip(ranges.low + width * np.minimum(places, 2.0 - places), ranges.low, ranges.high))
