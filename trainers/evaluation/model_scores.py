"""All figures of one model on a holdout, by class of the lightest sparticle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.lsp import LSP_CLASSES
from ..data.targets import Target
from ..inference.surrogate import Surrogate
from .calibration import LEVELS, CalibrationScores, gaussian_half_width, score_calibration
from .holdout import Holdout
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


def score_model(
    surrogate: Surrogate, holdout: Holdout, threshold: float | None, sigma: float
) -> tuple[Values, str, Mapping[str, ClassScores]]:
    """Return the predictions, the source of the stated errors, and the figures by class.

    Args:
        surrogate: The model.
        holdout: Points and their truth.
        threshold: Smallest excluded value; None: no verdicts.
        sigma: Standard deviation of experiment and theory, in the unit of the target.

    Returns:
        Predictions of shape (n,); an empty text if the model states no errors; figures by name of the class, "all"
        first.
    """
    members = surrogate.predict_members(holdout.points, warn=False)
    predicted = np.asarray(members.mean(axis=0))
    target, std = surrogate.target, float(surrogate.scaling.std[-1])
    member_errors = learned_error(target, holdout.true, members) / std
    errors = learned_error(target, holdout.true, predicted) / std
    squares = np.square(member_errors).mean(axis=0)
    log_scale = np.log(std) + (np.log(holdout.true) if target.transform != "none" else np.zeros(len(errors)))
    stated = stated_errors(member_errors)
    classes = {ALL: np.ones(len(errors), dtype=np.bool_)}
    classes |= {name: holdout.lsp == index for index, name in enumerate(LSP_CLASSES) if index > 0}
    result = {}
    for name, chosen in classes.items():
        if not chosen.any():
            continue
        truth, prediction = holdout.true[chosen], predicted[chosen]
        calibration = None
        if stated is not None and (rows := chosen & stated.valid).any():
            calibration = score_calibration(errors[rows], stated.widths[rows], stated.half_widths[:, rows],
                                            stated.half_width_68[rows], log_scale[rows])  # fmt: skip
        result[name] = ClassScores(
            score(truth, prediction, squares[chosen]),
            None if threshold is None else compare_verdicts(truth, prediction, threshold, sigma),
            calibration,
        )
    return predicted, stated.source if stated is not None else "", result


def learned_error(target: Target, true: Values, predicted: Values) -> Values:
    """Return predicted - true on the learned scale; a reference value of a ratio cancels."""
    return np.asarray(predicted - true if target.transform == "none" else np.log(predicted / true))


def stated_errors(member_errors: Values) -> StatedErrors | None:
    """Return the errors that the spread of an ensemble states; None for a single model.

    Args:
        member_errors: z-scores, shape (models, n).
    """
    if len(member_errors) == 1:
        return None
    widths = np.maximum(member_errors.std(axis=0), MIN_WIDTH)
    return StatedErrors(
        "spread of the ensemble",
        widths,
        gaussian_half_width(LEVELS)[:, None] * widths,
        gaussian_half_width(0.68) * widths,
        np.ones(len(widths), dtype=np.bool_),
    )
