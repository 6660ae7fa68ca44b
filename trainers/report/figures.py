"""Figures of one model on the validation rows: verdicts, stated errors, second head, and which inputs matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.outcomes import USABLE
from ..data.prepared import PreparedData
from ..data.scan import VAL
from ..evaluation.importance import permutation_importance
from ..evaluation.model_scores import ClassScores, KnownPoints, default_threshold, score_model
from ..evaluation.outcome_scores import OutcomeScores, score_outcomes
from ..inference.scan_rows import scan_rows
from ..inference.surrogate import Surrogate

Values = NDArray[np.float64]


@dataclass(frozen=True)
class ModelFigures:
    """Figures of one model.

    Attributes:
        classes: Scores, verdicts and stated errors by class of the lightest sparticle, "all" first.
        interval_width: Median half width of the 68 % intervals, relative to the prediction; None without intervals.
        outcomes: Quality of the second head by outcome; empty if it has none.
        importance: Growth of the error by permuted parameter, largest first.
    """

    classes: Mapping[str, ClassScores]
    interval_width: float | None
    outcomes: Mapping[str, OutcomeScores]
    importance: Mapping[str, float]


def model_figures(surrogate: Surrogate, prepared: PreparedData, members: Values) -> ModelFigures:
    """Return the figures of a model.

    Args:
        surrogate: The model.
        prepared: Data of the report.
        members: Predictions for the validation points, physical, shape (models, n).
    """
    rows, outcomes = scan_rows(prepared, VAL)
    points = rows[outcomes == USABLE]
    learned = np.asarray(prepared.val_targets, dtype=np.float64) * prepared.scaling.std[-1] + prepared.scaling.mean[-1]
    true = prepared.target.backward(learned, prepared.val_reference)
    threshold, sigma = default_threshold(prepared.target)
    known = KnownPoints(points, true, np.asarray(prepared.val_lsp))
    _, classes = score_model(surrogate, known, members, threshold, sigma or 1.0)
    has_head = surrogate.usability is not None
    return ModelFigures(
        classes,
        interval_width=_interval_width(surrogate, points, members),
        outcomes=score_outcomes(surrogate.outcomes(rows), outcomes) if has_head else {},
        importance=permutation_importance(surrogate, points, true),
    )


def _interval_width(surrogate: Surrogate, points: Values, members: Values) -> float | None:
    if surrogate.calibrated is None:
        return None
    bounds, predicted = surrogate.intervals_of(points, members), members.mean(axis=0)
    widths = (bounds.upper_68 - bounds.lower_68) / 2
    known = np.isfinite(widths) & (predicted != 0)
    return float(np.median(widths[known] / np.abs(predicted[known]))) if known.any() else None
