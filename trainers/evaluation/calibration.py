"""Quality of stated errors: coverage, miscalibration, NLPD, CRPS, ranking of points by their error.

Errors (predicted - true) and widths (standard deviations of a Gaussian) have the shape (n,) and are on one scale.
Widths are positive.

Sources: Kuleshov, Fenner and Ermon, ICML 2018, arXiv:1807.00263 (coverage curve); Gneiting and Raftery, J. Am. Stat.
Assoc. 102 (2007) 359, doi:10.1198/016214506000001437 (NLPD, CRPS); Ilg et al., ECCV 2018, arXiv:1802.07095
(sparsification).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Values = NDArray[np.float64]

LEVELS = np.arange(1, 20) / 20
"""Levels of the coverage curve: 5 % to 95 %."""

REMOVED = np.arange(20) / 20
"""Removed shares of the sparsification curves."""


def gaussian_half_width(level: float | Values) -> Values:
    """Return the half width, in standard deviations, of the central interval with probability `level`."""
    return np.asarray(ndtri((1 + np.asarray(level)) / 2), dtype=np.float64)


def coverage_curve(errors: Values, half_widths: Values) -> Values:
    """Return the share of errors inside the interval of each level.

    Args:
        errors: Shape (n,).
        half_widths: Half widths of the intervals, shape (levels, n).

    Returns:
        Shape (levels,).
    """
    return np.asarray(np.mean(np.abs(errors) <= half_widths, axis=1))


def miscalibration_area(covered: Values, levels: Values = LEVELS) -> float:
    """Return the area between the coverage curve and the diagonal: 0 is perfect, 0.5 the worst.

    Args:
        covered: Covered share at each level, shape (levels,).
        levels: Levels in (0, 1), ascending. The curve passes through (0, 0) and (1, 1).
    """
    x = np.concatenate([[0.0], levels, [1.0]])
    gap = np.concatenate([[0.0], covered - levels, [0.0]])
    left, right, step = gap[:-1], gap[1:], np.diff(x)
    size = np.abs(left) + np.abs(right)
    same_side = step * size / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        crossing = step * (left**2 + right**2) / (2 * size)  # two triangles
    return float(np.where(left * right < 0, crossing, same_side).sum())


def gaussian_nlpd(errors: Values, widths: Values) -> Values:
    """Return the negative logarithm of the predictive density at each true value, in nats."""
    return np.asarray(0.5 * np.log(2 * math.pi * widths**2) + 0.5 * (errors / widths) ** 2)


def gaussian_crps(errors: Values, widths: Values) -> Values:
    """Return the continuous ranked probability score of each Gaussian prediction, in the unit of `errors`."""
    z = errors / widths
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return np.asarray(widths * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi)))


def rank_correlation(first: Values, second: Values) -> float | None:
    """Return Spearman's rank correlation; None if one of the two is constant. Ties have their mean rank."""
    both = np.stack([ranks(first), ranks(second)])
    deviation = both - both.mean(axis=1, keepdims=True)
    norm = math.sqrt(float(np.prod(np.square(deviation).sum(axis=1))))
    return float(deviation[0] @ deviation[1]) / norm if norm > 0 else None


def ranks(values: Values) -> Values:
    """Return the rank of each value, from 1; ties have their mean rank."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[index], dtype=np.float64)


def sparsification_curve(order_by: Values, errors: Values) -> Values:
    """Return the mean |error| of the points that stay when the largest `order_by` are removed.

    Returns:
        Shape (REMOVED,), relative to the mean of all points; ones if all errors are 0.
    """
    size = np.abs(errors)[np.argsort(order_by, kind="stable")]
    kept = np.maximum(1, np.ceil(len(size) * (1 - REMOVED)).astype(int))
    means = np.cumsum(size)[kept - 1] / kept
    return np.asarray(means / means[0]) if means[0] > 0 else np.ones(len(REMOVED))


def sparsification_error(widths: Values, errors: Values) -> float:
    """Return the area between the sparsification curves of the widths and of the errors themselves.

    It is 0 if the widths rank the points as their errors do.
    """
    gap = sparsification_curve(widths, errors) - sparsification_curve(np.abs(errors), errors)
    return float(np.sum((gap[1:] + gap[:-1]) / 2 * np.diff(REMOVED)))


@dataclass(frozen=True)
class CalibrationScores:
    """Quality of the stated errors on one set of points.

    Attributes:
        points: Number of points.
        covered_68: Share of true values inside the 68 % intervals.
        covered_95: Share of true values inside the 95 % intervals.
        miscalibration_area: Area between the coverage curve and the diagonal.
        nlpd: Mean negative logarithm of the predictive density of the target, nats.
        crps: Mean continuous ranked probability score, in standard deviations of the learned values.
        rank_correlation: Rank correlation of width and |error|; None if all widths are equal.
        sparsification_error: Area between the sparsification curves of widths and errors.
        median_width: Median width, in standard deviations of the learned values.
        curve: Covered share at each of LEVELS.
    """

    points: int
    covered_68: float
    covered_95: float
    miscalibration_area: float
    nlpd: float
    crps: float
    rank_correlation: float | None
    sparsification_error: float
    median_width: float
    curve: tuple[float, ...]


def score_calibration(
    errors: Values, widths: Values, half_widths: Values, half_width_68: Values, log_scale: Values
) -> CalibrationScores:
    """Return the quality of stated errors.

    Args:
        errors: Predicted - true, z-scores of the learned values, shape (n,).
        widths: Standard deviations of the Gaussians, z-scores, shape (n,).
        half_widths: Half widths of the intervals at LEVELS, z-scores, shape (levels, n).
        half_width_68: Half widths of the 68 % intervals, shape (n,).
        log_scale: ln |dy/dz| at the true value y, shape (n,).
    """
    curve = coverage_curve(errors, half_widths)
    return CalibrationScores(
        points=len(errors),
        covered_68=float(np.mean(np.abs(errors) <= half_width_68)),
        covered_95=float(curve[-1]),
        miscalibration_area=miscalibration_area(curve),
        nlpd=float(np.mean(gaussian_nlpd(errors, widths) + log_scale)),
        crps=float(np.mean(gaussian_crps(errors, widths))),
        rank_correlation=rank_correlation(widths, np.abs(errors)),
        sparsification_error=sparsification_error(widths, errors),
        median_width=float(np.median(widths)),
        curve=tuple(curve.tolist()),
    )
