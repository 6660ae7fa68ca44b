"""`report`: one page and its plots, from the folder of a session."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.lsp import PURE
from ..data.prepared import load_prepared
from ..data.targets import Target
from ..evaluation.page import render_page, write_page
from ..evaluation.plots import true_against_predicted
from ..evaluation.scores import PointScores, Values, is_significant, score, score_by_lsp
from ..evaluation.tables import HEADS, percent, score_cells
from ..log import LOGGER
from ..models.recipes import RECIPES
from .plots import loss_curves, residuals
from .trainings import TrainedRun, baselines, find_runs, physical, run_groups

EXPECTED_MIB = {recipe.class_name: recipe.expected_gpu_mib for recipe in RECIPES.values()}


def build_report(session: Path, data: Path, output: Path) -> None:
    """Write report.html, which needs no other file, and its plots as PNG files.

    The page lists trainings without a model as problems.

    Args:
        session: Folder with one folder per training.
        data: Folder that `prepare` wrote.
        output: Folder for the report.

    Raises:
        NotPreparedError: `data` contains no prepared arrays.
    """
    prepared = load_prepared(data)
    target, true_scores = prepared.target, np.asarray(prepared.val_targets, dtype=np.float64)
    true = physical(true_scores, prepared)
    trained = find_runs(session, prepared, output)
    LOGGER.info("%d trainings found, computing the baselines", len(trained))
    runs = sorted((run for run in [*trained, *baselines(prepared)] if run.predicted is not None), key=_normalised_mse)
    scores = {run.name: score(true, *_values(run)) for run in runs}
    lsp_scores = {run.name: score_by_lsp(true, *_values(run), np.asarray(prepared.val_lsp)) for run in runs}
    sentence = recommendation(runs, scores, target)
    heads = HEADS if target.branch == "MO_Omega" else HEADS[:-1]  # Planck has measured the relic density only
    inputs = np.asarray(prepared.val_inputs[:, : len(prepared.meta["parameters"])], dtype=np.float64)
    points = inputs * prepared.scaling.std[:-1] + prepared.scaling.mean[:-1]
    varied = [column for column, std in enumerate(prepared.scaling.std[:-1]) if std > 0]
    names = [prepared.meta["parameters"][column] for column in varied]
    plots = {"Loss curves": {"loss_curves": loss_curves(trained)}} if any(run.losses for run in trained) else {}
    for run in (run for run in runs if not run.baseline):
        plots[run.name] = {
            f"{run.name}_true_vs_predicted": true_against_predicted(run.name, _values(run)[0], true, target),
            f"{run.name}_residuals": residuals(run, true, points[:, varied], names, target),
        }
    html = render_page(
        title=f"Surrogates of {target.label}",
        subtitle=f"{session.name}: {len(true):,} validation points, {len(prepared.train_targets):,} training points",
        sentence=sentence,
        problems=[f"{run.name}: {run.problem}" for run in trained if run.problem],
        tables=[
            ranking(runs, scores, heads, target),
            *seed_table(runs, scores, run_groups(session)),
            *lsp_tables(runs, lsp_scores, heads),
            costs(trained),
        ],
        plots=plots,
    )
    write_page(output, "report.html", html, plots)
    LOGGER.info("%s", sentence)
    LOGGER.info("Report in %s", output / "report.html")


def _values(run: TrainedRun) -> tuple[Values, Values]:
    assert run.predicted is not None and run.squares is not None
    return run.predicted, run.squares


def _normalised_mse(run: TrainedRun) -> float:
    return float(np.mean(_values(run)[1]))


def recommendation(runs: Sequence[TrainedRun], scores: Mapping[str, PointScores], target: Target) -> str:
    """Return a sentence that recommends one of `runs`, which are sorted, best first."""
    models = [run for run in runs if not run.baseline]
    if not models:
        return "No training left a model, so there is none to use."
    best = models[0]
    best_scores = scores[best.name]
    text = (
        f"Use {best.name}: the smallest normalised error of {target.learned_label} ({best_scores.mse_normalised:.4f}), "
    )
    text += f"{percent(best_scores.within_20, 0)} of the validation points within 20 %."
    if len(models) > 1 and not is_significant(_values(best)[1], _values(models[1])[1]):
        text += f" Its lead over {models[1].name} is within the statistical error of these points."
    better_baselines = [run for run in runs if run.baseline and _normalised_mse(run) <= _normalised_mse(best)]
    if better_baselines:
        baseline = better_baselines[0].name
        text += f" But {baseline} does as well or better ({scores[baseline].mse_normalised:.4f}): "
        text += "train longer, or take a better model."
    return text


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
        "The trainings minimised it, and it chose the best epoch of each training, on these same points. All other "
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
    for group in sorted(several, key=lambda group: np.mean([_normalised_mse(run) for run in group])):
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
