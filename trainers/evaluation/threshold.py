"""Verdicts "allowed" (below a threshold) and "excluded" (at or above it): the confusion matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Verdicts:
    """Confusion matrix of the verdicts on one set of points.

    Rates are None if no point qualifies. In weighted rates, a point counts as much as its true verdict is certain:
    erf(d / √2), where d is its distance from the threshold in standard deviations. So a wrong verdict close to the
    threshold counts little.

    Attributes:
        threshold: Smallest excluded value.
        sigma: Standard deviation of experiment and theory together.
        allowed_as_allowed: Number of points.
        allowed_as_excluded: Number of points.
        excluded_as_allowed: Number of points.
        excluded_as_excluded: Number of points.
        accuracy: Share of right verdicts.
        false_exclusion: Share of the allowed points that are predicted as excluded.
        false_acceptance: Share of the excluded points that are predicted as allowed.
        weighted_false_exclusion: The same, weighted.
        weighted_false_acceptance: The same, weighted.
        farthest_error: Largest distance from the threshold of a point with a wrong verdict, in standard deviations.
    """

    threshold: float
    sigma: float
    allowed_as_allowed: int
    allowed_as_excluded: int
    excluded_as_allowed: int
    excluded_as_excluded: int
    accuracy: float
    false_exclusion: float | None
    false_acceptance: float | None
    weighted_false_exclusion: float | None
    weighted_false_acceptance: float | None
    farthest_error: float | None


def compare_verdicts(true: Values, predicted: Values, threshold: float, sigma: float) -> Verdicts:
    """Return the confusion matrix of `predicted`, shape (n,), against `true`, shape (n,)."""
    excluded, predicted_excluded = true >= threshold, predicted >= threshold
    wrong = excluded != predicted_excluded
    distance = np.abs(true - threshold) / sigma
    weight = np.asarray(erf(distance / math.sqrt(2)), dtype=np.float64)
    ones = np.ones(len(true))
    return Verdicts(
        threshold=threshold,
        sigma=sigma,
        allowed_as_allowed=int((~excluded & ~wrong).sum()),
        allowed_as_excluded=int((~excluded & wrong).sum()),
        excluded_as_allowed=int((excluded & wrong).sum()),
        excluded_as_excluded=int((excluded & ~wrong).sum()),
        accuracy=float(np.mean(~wrong)),
        false_exclusion=_share(wrong, ~excluded, ones),
        false_acceptance=_share(wrong, excluded, ones),
        weighted_false_exclusion=_share(wrong, ~excluded, weight),
        weighted_false_acceptance=_share(wrong, excluded, weight),
        farthest_error=float(distance[wrong].max()) if wrong.any() else None,
    )


def _share(wrong: NDArray[np.bool_], among: NDArray[np.bool_], weight: Values) -> float | None:
    total = float(weight[among].sum())
    return float(weight[wrong & among].sum()) / total if total > 0 else None
