"""Scores of candidates: how much a simulation of a point is worth. Pure.

All formulas take the predicted ln Ωh² as Gaussian, with the uncertainty of the model as its standard deviation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from .hits import Goal

Values = NDArray[np.float64]

SMALLEST_SIGMA = 0.01
"""Standard deviation of ln Ωh² below which a model is not believed."""

WIDTH = 2.0
"""Half width, in standard deviations, of the band in which `expected-improvement` looks for the target."""


Score = Callable[[Values, Values, Goal], Values]
"""Function of ln Ωh², its standard deviation, and the goal; larger is better."""


def hit_probability(log_mean: Values, sigma: Values, goal: Goal) -> Values:
    """Return the probability that a point is within the tolerance, shape (n,)."""
    low, high = goal.log_ends
    return np.asarray(ndtr((high - log_mean) / sigma) - ndtr((low - log_mean) / sigma))


def log_likelihood(log_mean: Values, sigma: Values, goal: Goal) -> Values:
    """Return the logarithm of the likelihood of the wanted value, up to a constant, shape (n,).

    A Gaussian in ln Ωh² with the variances of the model and of the tolerance, which is half the length of its interval.
    """
    low, high = goal.log_ends
    return np.asarray(-0.5 * (log_mean - np.log(goal.center)) ** 2 / (sigma**2 + ((high - low) / 2) ** 2))


def contour_entropy(log_mean: Values, sigma: Values, goal: Goal) -> Values:
    """Return the entropy of the answer to "is it above the wanted value?", bits, shape (n,).

    It is largest where the model cannot tell on which side of the contour a point lies.
    """
    above = ndtr((log_mean - np.log(goal.center)) / sigma)
    return np.asarray(-(_x_log_x(above) + _x_log_x(1 - above)) / np.log(2))


def _x_log_x(values: Values) -> Values:
    return np.asarray(values * np.log(np.maximum(values, np.finfo(np.float64).tiny)))


def disagreement(_log_mean: Values, sigma: Values, _goal: Goal) -> Values:
    """Return the uncertainty itself: it is largest where the members of an ensemble disagree."""
    return sigma


def expected_improvement(log_mean: Values, sigma: Values, goal: Goal) -> Values:
    """Return the expected improvement of the contour, shape (n,).

    The improvement is ε² - (y - a)² inside the band |y - a| < ε = 2 σ around the contour a, else 0. Source: Ranjan,
    Bingham and Michailidis, Technometrics 50 (2008) 527.
    """
    difference = (log_mean - np.log(goal.center)) / sigma  # in standard deviations
    low, high = -WIDTH - difference, WIDTH - difference
    inside = (WIDTH**2 - 1 - difference**2) * (ndtr(high) - ndtr(low))
    edges = (high + 2 * difference) * _density(high) - (low + 2 * difference) * _density(low)
    return np.asarray(sigma**2 * (inside + edges))


def _density(values: Values) -> Values:
    return np.asarray(np.exp(-0.5 * values**2) / np.sqrt(2 * np.pi))


STRATEGIES: dict[str, Score] = {
    "tolerance": hit_probability,
    "entropy": contour_entropy,
    "disagreement": disagreement,
    "expected-improvement": expected_improvement,
}
"""Scores by the name for `--strategy`; `random` needs none."""
