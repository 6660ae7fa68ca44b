"""All figures of one model on a holdout, by class of the lightest sparticle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.lsp import LSP_CLASSES
from ..data.targets import RELIC_DENSITY, Target
from ..inference.intervals import level_index
from ..inference.learned_scale import learned_difference
from ..inference.planck import PLANCK, PLANCK_SIGMA
from ..inference.surrogate import Surrogate
from .calibration import LEVELS, CalibrationScores, gaussian_half_width, score_calibration
from .scores import PointScores, score
from .threshold import Verdicts, compare_verdicts

Values = NDArray[np.float64]

ALL = "all"
MIN_WIDTH = 1e-9
"""Smallest width, in z-scores: members that agree by chance would give an infinite density."""


class ClassScores(NamedTuple):
    """Figures of one model on the points of one class; None where they do not apply."""

    scores: PointScores
    verdicts: Verdicts | None
    calibration: CalibrationScores | None


@dataclass(frozen=True)
class StatedErrors:
    """Errors that a model states, in z-scores of the learned values.

    Attributes:
        source: Where they come from.
        widths: Standard deviations, shape (n,).
        half_widths: Half widths of the intervals at LEVELS, shape (levels, n).
        half_width_68: Half widths of the 68 % intervals, shape (n,).
        valid: Points for which the model states an error, shape (n,).
    """

    source: str
    widths: Values
    half_widths: Values
    half_width_68: Values
    valid: NDArray[np.bool_]


class KnownPoints(NamedTuple):
    """Points whose truth is known.

    Attributes:
        points: Physical parameters, shape (n, 19).
        true: True values of the target, physical, shape (n,).
        lsp: Index into LSP_CLASSES, shape (n,).
    """

    points: Values
    true: Values
    lsp: NDArray[np.int8]


def default_threshold(target: Target) -> tuple[float | None, float | None]:
    """Return smallest excluded value and its standard deviation: those of Planck for the relic density, else None."""
    return (PLANCK, PLANCK_SIGMA) if target.branch == RELIC_DENSITY else (None, None)


def score_model(
    surrogate: Surrogate, known: KnownPoints, members: Values, threshold: float | None, sigma: float
) -> tuple[str, Mapping[str, ClassScores]]:
    """Return the source of the stated errors, and the figures by class.

    Args:
        surrogate: The model.
        known: Points and their truth.
        members: Its predictions, shape (models, n).
        threshold: Smallest excluded value; None: no verdicts.
        sigma: Standard deviation of experiment and theory, in the unit of the target.

    Returns:
        An empty text if the model states no errors; figures by name of the class, "all" first.
    """
    predicted = np.asarray(members.mean(axis=0))
    target, std = surrogate.target, float(surrogate.scaling.std[-1])
    member_errors = learned_difference(target, known.true, members) / std
    errors = learned_difference(target, known.true, predicted) / std
    squares = np.square(member_errors).mean(axis=0)
    log_scale = np.log(std) + (np.log(known.true) if target.transform != "none" else np.zeros(len(errors)))
    stated = stated_errors(surrogate, known.points, members)
    classes = {ALL: np.ones(len(errors), dtype=np.bool_)}
    classes |= {name: known.lsp == index for index, name in enumerate(LSP_CLASSES) if index > 0}
    result = {}
    for name, chosen in classes.items():
        if not chosen.any():
            continue
        truth, prediction = known.true[chosen], predicted[chosen]
        calibration = None
        if stated is not None and (rows := chosen & stated.valid).any():
            calibration = score_calibration(errors[rows], stated.widths[rows], stated.half_widths[:, rows],
                                            stated.half_width_68[rows], log_scale[rows])  # fmt: skip
        result[name] = ClassScores(
            score(truth, prediction, squares[chosen]),
            None if threshold is None else compare_verdicts(truth, prediction, threshold, sigma),
            calibration,
        )
    return stated.source if stated is not None else "", result


def stated_errors(surrogate: Surrogate, points: Values, members: Values) -> StatedErrors | None:
    """Return the errors that a model states: by calibrated intervals, else by the spread of an ensemble.

    Args:
        surrogate: The model.
        points: Physical parameters, shape (n, 19).
        members: Predictions, shape (models, n).

    Returns:
        None for a single model without intervals.
    """
    if surrogate.calibrated is not None:
        half_widths = surrogate.half_widths(points, members)
        half_width_68 = half_widths[level_index(0.68)]
        widths = half_width_68 / gaussian_half_width(0.68)
        curve = half_widths[[level_index(level) for level in LEVELS]]
        return StatedErrors("calibrated intervals", widths, curve, half_width_68, np.isfinite(widths) & (widths > 0))
    if len(members) == 1:
        return None
    widths = np.maximum(surrogate.spread_of(members), MIN_WIDTH)
    half_widths = gaussian_half_width(LEVELS)[:, None] * widths
    valid = np.ones(len(widths), dtype=np.bool_)
    return StatedErrors("spread of the ensemble", widths, half_widths, gaussian_half_width(0.68) * widths, valid)
