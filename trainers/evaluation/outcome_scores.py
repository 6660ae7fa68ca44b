"""Quality of the second head: how well its probabilities separate the outcomes, and whether they hold.

Sources: Hanley and McNeil, Radiology 143 (1982) 29 (area under the curve from ranks); Brier, Mon. Weather Rev. 78
(1950) 1; Naeini, Cooper and Hauskrecht, AAAI 2015 (expected calibration error).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.outcomes import OUTCOMES
from ..inference.usability import OutcomeProbabilities
from .calibration import ranks

Values = NDArray[np.float64]

BINS = 10
"""Bins of the reliability curve: 0 to 10 %, and so on."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows whose probability is in one bin.

    Attributes:
        rows: Number of rows.
        predicted: Mean probability.
        observed: Share of rows with the outcome.
    """

    rows: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class OutcomeScores:
    """Quality of the probabilities of one outcome.

    Attributes:
        rows: Number of rows with the outcome.
        observed: Share of rows with the outcome.
        predicted: Mean probability.
        auc: Probability that a row with the outcome has a larger probability than one without.
        brier: Mean squared difference of probability and outcome.
        calibration_error: Mean difference of probability and share in the bins, weighted by their rows.
        curve: Bins that contain rows, ascending.
    """

    rows: int
    observed: float
    predicted: float
    auc: float
    brier: float
    calibration_error: float
    curve: Sequence[ReliabilityBin]


def score_outcomes(probabilities: OutcomeProbabilities, outcomes: NDArray[np.int8]) -> dict[str, OutcomeScores]:
    """Return the scores of each outcome that some rows have and others have not, by its name.

    Args:
        probabilities: Probabilities of n rows; rows where they are nan do not count.
        outcomes: Index into OUTCOMES, shape (n,).
    """
    known = np.isfinite(probabilities.usable)
    outcomes = outcomes[known]
    result = {}
    for index, name in enumerate(OUTCOMES):
        has_outcome = outcomes == index
        if has_outcome.any() and not has_outcome.all():
            result[name] = _score(probabilities[index][known], has_outcome)
    return result


def _score(probability: Values, has_outcome: NDArray[np.bool_]) -> OutcomeScores:
    curve = reliability_curve(probability, has_outcome)
    gaps = [abs(one.predicted - one.observed) * one.rows for one in curve]
    return OutcomeScores(
        rows=int(has_outcome.sum()),
        observed=float(has_outcome.mean()),
        predicted=float(probability.mean()),
        auc=area_under_curve(probability, has_outcome),
        brier=float(np.mean((probability - has_outcome) ** 2)),
        calibration_error=sum(gaps) / len(probability),
        curve=curve,
    )


def area_under_curve(probability: Values, has_outcome: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve; both outcomes must occur. Ties count one half."""
    count = int(has_outcome.sum())
    above = float(ranks(probability)[has_outcome].sum()) - count * (count + 1) / 2
    return above / (count * (len(probability) - count))


def reliability_curve(probability: Values, has_outcome: NDArray[np.bool_]) -> list[ReliabilityBin]:
    """Return the bins that contain rows."""
    bins = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    return [
        ReliabilityBin(int(chosen.sum()), float(probability[chosen].mean()), float(has_outcome[chosen].mean()))
        for chosen in (bins == index for index in range(BINS))
        if chosen.any()
    ]
