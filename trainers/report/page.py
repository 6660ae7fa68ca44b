"""`report`: one page and its plots, from the folder of a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..data.prepared import load_prepared
from ..data.targets import Target
from ..evaluation.model_scores import ALL
from ..evaluation.page import render_page, write_page
from ..evaluation.plots import (
    confusion_plot,
    coverage_plot,
    error_label,
    importance_plot,
    reliability_plot,
    true_against_predicted,
)
from ..evaluation.scores import PointScores, is_significant, score, score_by_lsp
from ..evaluation.tables import HEADS, Table, outcome_tables, percent, tables_of
from ..log import LOGGER
from .plots import loss_curves, residuals
from .tables import costs, lsp_tables, ranking, seed_table
from .trainings import TrainedRun, baselines, find_runs, normalised_mse, physical, run_groups, values

MOST_IMPORTANT = 6
"""Parameters in the table of importance; the plot shows all."""


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
    runs = sorted((run for run in [*trained, *baselines(prepared)] if run.predicted is not None), key=normalised_mse)
    scores = {run.name: score(true, *values(run)) for run in runs}
    lsp_scores = {run.name: score_by_lsp(true, *values(run), np.asarray(prepared.val_lsp)) for run in runs}
    sentence = recommendation(runs, scores, target)
    heads = HEADS if target.branch == "MO_Omega" else HEADS[:-1]  # Planck has measured the relic density only
    inputs = np.asarray(prepared.val_inputs[:, : len(prepared.meta["parameters"])], dtype=np.float64)
    points = inputs * prepared.scaling.std[:-1] + prepared.scaling.mean[:-1]
    varied = [column for column, std in enumerate(prepared.scaling.std[:-1]) if std > 0]
    names = [prepared.meta["parameters"][column] for column in varied]
    plots = {"Loss curves": {"loss_curves": loss_curves(trained)}} if any(run.losses for run in trained) else {}
    plots |= _coverage_plots(runs)
    for run in (run for run in runs if not run.baseline):
        plots[run.name] = {
            f"{run.name}_true_vs_predicted": true_against_predicted(run.name, values(run)[0], true, target),
            f"{run.name}_residuals": residuals(run, true, points[:, varied], names, target),
            **_figure_plots(run, target),
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
            *figure_tables(runs, target),
            costs(trained),
        ],
        plots=plots,
    )
    write_page(output, "report.html", html, plots)
    LOGGER.info("%s", sentence)
    LOGGER.info("Report in %s", output / "report.html")


def _coverage_plots(runs: Sequence[TrainedRun]) -> dict[str, dict[str, bytes]]:
    """Return the plot of the coverage curves of all models that state an error; none if no model does."""
    curves = {
        run.name: np.array(calibration.curve)
        for run in runs
        if run.figures is not None and (calibration := run.figures.classes[ALL].calibration) is not None
    }
    return {"Coverage of intervals": {"coverage": coverage_plot(curves)}} if curves else {}


def _figure_plots(run: TrainedRun, target: Target) -> dict[str, bytes]:
    """Return confusion matrix, reliability and importance of one model, as far as they apply."""
    if run.figures is None:
        return {}
    plots, verdicts = {}, run.figures.classes[ALL].verdicts
    if verdicts is not None:
        plots[f"{run.name}_confusion"] = confusion_plot(run.name, verdicts)
    if run.figures.outcomes:
        plots[f"{run.name}_reliability"] = reliability_plot(run.name, run.figures.outcomes)
    if run.figures.importance:
        plots[f"{run.name}_importance"] = importance_plot(run.name, run.figures.importance, target)
    return plots


def figure_tables(runs: Sequence[TrainedRun], target: Target) -> list[Table]:
    """Return the tables of verdicts, stated errors, usable points, and of the inputs that matter."""
    figures = {run.name: run.figures for run in runs if run.figures is not None}
    if not figures:
        return []
    _scores, *tables = tables_of({name: one.classes for name, one in figures.items()}, target)
    tables += outcome_tables({name: one.outcomes for name, one in figures.items()})
    rows = [
        {"kind": "", "cells": [name, ", ".join(f"{key.removeprefix('IN_')} {value:.3g}" for key, value in top)]}
        for name, one in figures.items()
        if (top := list(one.importance.items())[:MOST_IMPORTANT])
    ]
    note = (
        f"Growth of the mean absolute error of {error_label(target)} if the values of one parameter are permuted "
        f"among the validation points; the {MOST_IMPORTANT} largest."
    )
    heads = ["", "parameters"]
    return [*tables, {"title": "Which inputs matter", "heads": heads, "rows": rows, "note": note}] if rows else tables


def choose_model(models: Sequence[TrainedRun]) -> TrainedRun:
    """Return the model to recommend.

    It is the one with the smallest error. If others are as good within the statistical error, and all of them have
    calibrated intervals, it is the one with the narrowest intervals.

    Args:
        models: Trainings with a model, best first.
    """
    best = models[0]
    equal = [best, *(one for one in models[1:] if not is_significant(values(best)[1], values(one)[1]))]
    widths = [one.figures.interval_width if one.figures is not None else None for one in equal]
    known = [width for width in widths if width is not None]
    return equal[widths.index(min(known))] if len(known) == len(equal) else best


def recommendation(runs: Sequence[TrainedRun], scores: Mapping[str, PointScores], target: Target) -> str:
    """Return a sentence that recommends one of `runs`, which are sorted, best first."""
    models = [run for run in runs if not run.baseline]
    if not models:
        return "No training left a model, so there is none to use."
    best = choose_model(models)
    error, within = scores[best.name].mse_normalised, percent(scores[best.name].within_20, 0)
    if best is models[0]:
        reason = f"the smallest normalised error of {target.learned_label} ({error:.4f})"
    else:
        reason = (
            f"its normalised error of {target.learned_label} ({error:.4f}) is that of {models[0].name} within the "
            "statistical error, and its intervals are the narrowest"
        )
    text = f"Use {best.name}: {reason}, {within} of the validation points within 20 %"
    width = best.figures.interval_width if best.figures is not None else None
    text += "." if width is None else f", 68 % intervals of ± {percent(width)} (median)."
    if best is models[0] and len(models) > 1 and not is_significant(values(best)[1], values(models[1])[1]):
        text += f" Its lead over {models[1].name} is within the statistical error of these points."
    better_baselines = [run for run in runs if run.baseline and normalised_mse(run) <= normalised_mse(best)]
    if better_baselines:
        baseline = better_baselines[0].name
        text += f" But {baseline} does as well or better ({scores[baseline].mse_normalised:.4f}): "
        text += "train longer, or take a better model."
    return text
