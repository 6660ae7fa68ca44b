"""Cells of the tables of `report` and `evaluate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..data.targets import Target
from .calibration import CalibrationScores
from .model_scores import ClassScores
from .outcome_scores import OutcomeScores
from .scores import PointScores
from .threshold import Verdicts

Table = Mapping[str, Any]

HEADS = (
    "normalised MSE",
    "MSE",
    "R²",
    "MAE",
    "median rel. error",
    "within 10 %",
    "within 20 %",
    "within 50 %",
    "0.12 ± 0.02",
)
"""Heads of `score_cells`; the last one is for the relic density alone."""


VERDICT_HEADS = (
    "accuracy",
    "false exclusion",
    "false acceptance",
    "weighted false exclusion",
    "weighted false acceptance",
    "farthest error",
)
CALIBRATION_HEADS = (
    "68 % interval",
    "95 % interval",
    "miscalibration area",
    "NLPD",
    "CRPS",
    "rank correlation",
    "sparsification error",
    "median width",
)


OUTCOME_HEADS = ("rows", "share of rows", "mean probability", "AUC", "Brier score", "calibration error")


def score_cells(one: PointScores) -> list[str]:
    """Return the scores as texts, one per head of HEADS."""
    shares = (one.within_10, one.within_20, one.within_50, one.planck)
    numbers = [f"{one.mse_normalised:.4f}", f"{one.mse:.3e}", number(one.r2), f"{one.mae:#.4g}"]
    return [*numbers, percent(one.median_relative), *map(percent, shares)]


def number(value: float | None, digits: int = 4) -> str:
    """Return a number with fixed digits, or n/a."""
    return "n/a" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"  # no -0.0000


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share in percent, or n/a."""
    return "n/a" if value is None else f"{100 * value:.{digits}f} %"


def verdict_cells(one: Verdicts) -> list[str]:
    """Return the rates as texts, one per head of VERDICT_HEADS."""
    rates = (one.accuracy, one.false_exclusion, one.false_acceptance, one.weighted_false_exclusion)
    farthest = "none" if one.farthest_error is None else f"{one.farthest_error:.1f} σ"
    return [*(percent(rate, 2) for rate in (*rates, one.weighted_false_acceptance)), farthest]


def calibration_cells(one: CalibrationScores) -> list[str]:
    """Return the figures as texts, one per head of CALIBRATION_HEADS."""
    return [
        percent(one.covered_68),
        percent(one.covered_95),
        number(one.miscalibration_area),
        f"{one.nlpd:.4g}",
        *(number(value) for value in (one.crps, one.rank_correlation, one.sparsification_error, one.median_width)),
    ]


def tables_of(models: Mapping[str, Mapping[str, ClassScores]], target: Target) -> list[Table]:
    """Return the tables of scores, verdicts and stated errors, each with one row per model and class.

    Args:
        models: Figures by class, by the name of the model.
        target: Target of all models.
    """
    heads = HEADS if target.branch == "MO_Omega" else HEADS[:-1]
    rows = [(name, kind, figures) for name, classes in models.items() for kind, figures in classes.items()]
    scores = [
        [name, kind, f"{one.scores.points:,}", *score_cells(one.scores)[: len(heads)]] for name, kind, one in rows
    ]
    verdicts = [[name, kind, *verdict_cells(one.verdicts)] for name, kind, one in rows if one.verdicts is not None]
    stated = [
        [name, kind, *calibration_cells(one.calibration)] for name, kind, one in rows if one.calibration is not None
    ]
    tables = [_table("Scores", ("points", *heads), scores, "Normalised MSE: of z-scores of what each model learned.")]
    if verdicts:
        first = next(one.verdicts for _, _, one in rows if one.verdicts is not None)
        note = (
            f"A point is excluded if {target.label} is at least {first.threshold:g}. False exclusion: share of the "
            "allowed points that are predicted as excluded; false acceptance: share of the excluded points that are "
            "predicted as allowed. Weighted: a point counts as much as its true verdict is certain, erf(d / √2), "
            f"where d is its distance from the threshold in units of σ = {first.sigma:.3g} (experiment and theory). "
            "Farthest error: largest d of a wrong verdict."
        )
        tables.append(_table("Verdicts", VERDICT_HEADS, verdicts, note))
    if stated:
        note = (
            "Shares of true values in the intervals; area between the coverage curve and the diagonal; mean negative "
            "logarithm of the predictive density of the target (NLPD, nats); mean continuous ranked probability score "
            "(CRPS) and median width in standard deviations of what the model learned; rank correlation of width and "
            "error; sparsification error (0: widths rank the points as their errors do)."
        )
        tables.append(_table("Stated errors", CALIBRATION_HEADS, stated, note))
    return tables


def outcome_tables(models: Mapping[str, Mapping[str, OutcomeScores]]) -> list[Table]:
    """Return the table of the second heads, with one row per model and outcome; none if no model has one.

    Args:
        models: Scores by outcome, by the name of the model.
    """
    rows = [[name, outcome, *outcome_cells(one)] for name, each in models.items() for outcome, one in each.items()]
    note = (
        "All rows with finite parameters, also those that are cut. AUC: probability that a row with the outcome has a "
        "larger probability than one without (1: perfect, 0.5: chance). Brier score: mean squared difference of "
        "probability and outcome. Calibration error: mean difference of probability and share, in ten bins."
    )
    return [_table("Usable points", OUTCOME_HEADS, rows, note, kind="outcome")] if rows else []


def outcome_cells(one: OutcomeScores) -> list[str]:
    """Return the figures as texts, one per head of OUTCOME_HEADS."""
    scores = (f"{one.auc:.4f}", f"{one.brier:.4f}", percent(one.calibration_error, 2))
    return [f"{one.rows:,}", percent(one.observed), percent(one.predicted), *scores]


def _table(
    title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], note: str, kind: str = "lightest sparticle"
) -> Table:
    return {
        "title": title,
        "heads": ["model", kind, *heads],
        "rows": [{"kind": "best" if row[1] == "all" else "", "cells": row} for row in rows],
        "note": note,
    }


def text_lines(table: Table) -> list[str]:
    """Return a table as lines of text with aligned columns."""
    cells = [table["heads"], *(row["cells"] for row in table["rows"])]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        aligned = [cell.ljust(width) if i < 2 else cell.rjust(width)
                   for i, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        lines.append("  ".join(aligned).rstrip())
    return [table["title"], *lines]
