"""The tables of the report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..data.lsp import PURE
from ..data.targets import Target
from ..evaluation.scores import PointScores
from ..evaluation.tables import HEADS, percent, score_cells
from ..models.recipes import RECIPES
from .trainings import TrainedRun, normalised_mse

EXPECTED_MIB = {recipe.class_name: recipe.expected_gpu_mib for recipe in RECIPES.values()}


def _row(run: TrainedRun, cells: Sequence[str], *, best: bool = False) -> dict[str, Any]:
    return {"kind": "baseline" if run.baseline else "best" if best else "", "cells": [run.name, *cells]}


def ranking(
    runs: Sequence[TrainedRun], scores: Mapping[str, PointScores], heads: Sequence[str], target: Target
) -> dict[str, Any]:
    """Return the table of all runs, best first."""
    first = next((run.name for run in runs if not run.baseline), "")
    rows = [_row(run, score_cells(scores[run.name])[: len(heads)], best=run.name == first) for run in runs]
    note = (
        f"Errors on the validation points. The ranking is by normalised MSE, of z-scores of {target.learned_label}. "
        "By default, a training minimises it, and chooses its best epoch by it on these same points. All other "
        "columns are in physical units."
    )
    if target.is_logarithmic:
        note += (
            " A few far too large predictions can spoil the physical MSE and R² of a model that predicts "
            f"{target.learned_label} well."
        )
    if len(heads) == len(HEADS):
        note += " 0.12 ± 0.02: share of the points with true values in this range that are also predicted there."
    note += " Baselines are in italics."
    return {"title": "Ranking", "heads": ["", *heads], "rows": rows, "note": note, "aligned": True}


def lsp_tables(
    runs: Sequence[TrainedRun], lsp_scores: Mapping[str, Mapping[str, PointScores]], heads: Sequence[str]
) -> list[dict[str, Any]]:
    """Return one such table per class of the lightest sparticle; none if the class is unknown."""
    kinds = dict.fromkeys(kind for one in lsp_scores.values() for kind in one)
    return [
        {
            "title": f"Lightest sparticle: {kind}",
            "heads": ["", *heads],
            "rows": [_row(run, score_cells(lsp_scores[run.name][kind])[: len(heads)]) for run in runs],
            "note": f"{lsp_scores[runs[0].name][kind].points:,} validation points."
            + (f" Mixed: a neutralino without a component of at least {percent(PURE, 0)}." if kind == "mixed" else ""),
            "aligned": True,
        }
        for kind in kinds
    ]


def seed_table(
    runs: Sequence[TrainedRun], scores: Mapping[str, PointScores], names: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the table of trainings that differ only in their seed: mean ± standard deviation.

    Args:
        runs: Trainings and baselines.
        scores: Scores by the name of the run.
        names: Group of each run, if the session has named it.

    Returns:
        An empty list if there are no such trainings.
    """
    by_kind: dict[str, list[TrainedRun]] = defaultdict(list)
    for run in runs:
        if not run.baseline:
            by_kind[run.kind].append(run)
    several = [group for group in by_kind.values() if len(group) > 1]
    rows = []
    for group in sorted(several, key=lambda group: np.mean([normalised_mse(run) for run in group])):
        group_scores = [scores[run.name] for run in group]
        group_names = {names.get(run.name, "") for run in group}
        cells = [
            (group_names.pop() if len(group_names) == 1 else "") or ", ".join(sorted(run.name for run in group)),
            str(len(group)),
            _spread([one.mse_normalised for one in group_scores], ".4f"),
            _spread([one.r2 for one in group_scores], ".4f"),
            _spread([one.median_relative for one in group_scores], ".1%"),
            _spread([one.within_10 for one in group_scores], ".1%"),
            _spread([one.within_20 for one in group_scores], ".1%"),
            _spread([one.within_50 for one in group_scores], ".1%"),
        ]
        rows.append({"kind": "", "cells": cells})
    heads = ["", "seeds", "normalised MSE", "R²", "median rel. error", "within 10 %", "within 20 %", "within 50 %"]
    note = "Mean ± standard deviation of trainings that differ only in their seed, best first."
    return [{"title": "Seeds taken together", "heads": heads, "rows": rows, "note": note}] if rows else []


def _spread(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "n/a"
    return f"{np.mean(known):{form}} ± {np.std(known, ddof=1):{form}}".replace("%", "", 1).replace("%", " %")


def costs(runs: Sequence[TrainedRun]) -> dict[str, Any]:
    """Return the table of time and memory of each training."""
    heads = ["", "model", "parameters", "epochs", "wall time", "peak memory", "expected GPU memory", "device"]
    rows = []
    for run in runs:
        result, model = run.result, str(run.result.get("model", ""))
        memory, seconds = result.get("peak_memory_mib"), result.get("wall_time_s")
        expected = f"{EXPECTED_MIB[model]} MiB" if EXPECTED_MIB.get(model) else ""
        cells = [
            model,
            f"{result.get('parameters', 0):,}" if result else "",
            str(result.get("epochs", len(run.losses))),
        ]
        cells += [
            f"{seconds:,.0f} s" if seconds is not None else "",
            f"{memory:,.0f} MiB" if memory is not None else "",
        ]
        rows.append(_row(run, [*cells, expected, str(result.get("device", ""))]))
    note = "On a CPU, peak memory is that of the whole process."
    return {"title": "Cost", "heads": heads, "rows": rows, "note": note}
