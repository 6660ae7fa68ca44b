"""Scores of predictions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.lsp import LSP_CLASSES

Values = NDArray[np.float64]

PLANCK, PLANCK_WIDTH = 0.12, 0.02


@dataclass(frozen=True)
class PointScores:
    """Scores on one set of points, in physical units except `mse_normalised`.

    Shares are between 0 and 1. None means that no point qualifies.

    Attributes:
        points: Number of points.
        mse_normalised: Mean squared error of z-scores.
        mse: Mean squared error.
        r2: R²; None for a constant target.
        mae: Mean absolute error.
        median_relative: Median relative error of the points whose true value is not 0.
        within_10: Share of points predicted within 10 %.
        within_20: Share of points predicted within 20 %.
        within_50: Share of points predicted within 50 %.
        planck: Of the points whose true value is 0.12 ± 0.02, the share that is predicted there.
    """

    points: int
    mse_normalised: float
    mse: float
    r2: float | None
    mae: float
    median_relative: float | None
    within_10: float
    within_20: float
    within_50: float
    planck: float | None


def score(true: Values, predicted: Values, squares: Values) -> PointScores:
    """Return the scores of predictions.

    Args:
        true: True values, physical, shape (n,).
        predicted: Predicted values, physical, shape (n,).
        squares: Squared errors of z-scores, shape (n,).
    """
    error, size = np.abs(predicted - true), np.abs(true)
    relative = error[size > 0] / size[size > 0]
    variance, mse = float(np.var(true)), float(np.mean(np.square(error)))
    band = np.abs(true - PLANCK) <= PLANCK_WIDTH
    return PointScores(
        points=len(true),
        mse_normalised=float(np.mean(squares)),
        mse=mse,
        r2=1 - mse / variance if variance > 0 else None,
        mae=float(np.mean(error)),
        median_relative=float(np.median(relative)) if len(relative) else None,
        within_10=float(np.mean(error <= 0.1 * size)),
        within_20=float(np.mean(error <= 0.2 * size)),
        within_50=float(np.mean(error <= 0.5 * size)),
        planck=float(np.mean(np.abs(predicted[band] - PLANCK) <= PLANCK_WIDTH)) if band.any() else None,
    )


def score_by_lsp(true: Values, predicted: Values, squares: Values, lsp: NDArray[np.int8]) -> dict[str, PointScores]:
    """Return the scores for the points of each class of the lightest sparticle that occurs.

    Args:
        true: True values, physical, shape (n,).
        predicted: Predicted values, physical, shape (n,).
        squares: Squared errors of z-scores, shape (n,).
        lsp: Index into LSP_CLASSES, shape (n,).

    Returns:
        Scores by the name of the class; empty if no class is known.
    """
    parts = {name: lsp == index for index, name in enumerate(LSP_CLASSES) if index > 0}
    return {
        name: score(true[chosen], predicted[chosen], squares[chosen]) for name, chosen in parts.items() if chosen.any()
    }


def is_significant(better: Values, worse: Values) -> bool:
    """Return whether `better` is smaller than `worse` by more than two standard errors.

    Args:
        better: Squared errors of one model, shape (n,).
        worse: Squared errors of another model, shape (n,).
    """
    difference = worse - better
    error = float(np.std(difference)) / math.sqrt(len(difference))
    return float(np.mean(difference)) > 2 * error
