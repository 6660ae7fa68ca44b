"""How well predictions do, as numbers."""

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
    """Of one set of points. Physical units, but `mse_normalised`; shares are between 0 and 1; None: no such points."""

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
    """Of the points whose true value is 0.12 ± 0.02, the share that is predicted there."""


def score(true: Values, predicted: Values, squares: Values) -> PointScores:
    """Figures of physical `true` and `predicted`, `(n,)`; `squares` are the squared errors of z-scores, `(n,)`."""
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


def by_lsp(true: Values, predicted: Values, squares: Values, lsp: NDArray[np.int8]) -> dict[str, PointScores]:
    """The same for the points of each lightest sparticle that occurs; empty where none is known."""
    parts = {name: lsp == place for place, name in enumerate(LSP_CLASSES) if place > 0}
    return {
        name: score(true[chosen], predicted[chosen], squares[chosen]) for name, chosen in parts.items() if chosen.any()
    }


def is_significant(better: Values, worse: Values) -> bool:
    """Whether squared errors `better`, `(n,)`, are smaller on average than `worse` by more than two standard errors."""
    difference = worse - better
    error = float(np.std(difference)) / math.sqrt(len(difference))
    return float(np.mean(difference)) > 2 * error
