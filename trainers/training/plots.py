"""The two plots at the end of a training, drawn without a display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..data.targets import Target
from ..files import write_atomic
from ..png import png_file
from .epoch_metrics import EpochMetrics
from .evaluation import Scores

DPI = 120


def loss_curve(path: Path, title: str, rows: Sequence[EpochMetrics], best_epoch: int, target: Target) -> None:
    """Plot training and validation error against the epoch.

    The normalised errors share one axis; the validation error in physical units has its own.

    Args:
        path: PNG file to write.
        title: Title of the plot.
        rows: Metrics of all epochs.
        best_epoch: Epoch that is marked.
        target: Target that was learned.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    epochs = [row.epoch for row in rows]
    marker = "." if len(rows) < 50 else ""
    axes.plot(epochs, [row.train_mse for row in rows], marker=marker, label="training")
    axes.plot(epochs, [row.val_mse for row in rows], marker=marker, label="validation")
    axes.axvline(best_epoch, color="grey", linestyle=":", label=f"best: epoch {best_epoch}")
    axes.set(xlabel="epoch", ylabel="MSE (normalised)", yscale="log", title=title)
    physical = axes.twinx()
    physical.plot(epochs, [row.val_mse_physical for row in rows], color="tab:orange", linestyle="--", linewidth=0.8)
    physical.set(ylabel=f"validation MSE of {target.label} (dashed)", yscale="log")
    axes.legend()
    _write(figure, path)


def true_vs_predicted(path: Path, title: str, scores: Scores, target: Target) -> None:
    """Plot predicted against true values of the validation points as a 2D histogram.

    If the logarithm was learned, the axes are logarithmic and span the true values; points outside are
    drawn at the edge.

    Args:
        path: PNG file to write.
        title: Title of the plot.
        scores: True and predicted values in physical units.
        target: Target that was learned.
    """
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.add_subplot()
    low, high, scale = float(scores.true.min()), float(scores.true.max()), "linear"
    if target.is_logarithmic and 0 < low < high:
        scale, edges = "log", np.geomspace(low, high, 121)
    else:
        low, high = min(low, float(scores.predicted.min()), 0), max(high, float(scores.predicted.max()), low + 1e-6)
        edges = np.linspace(low, high, 121)
    true, predicted = (np.clip(values, edges[0], edges[-1]) for values in (scores.true, scores.predicted))
    counts, _, _ = np.histogram2d(true, predicted, bins=[edges, edges])
    shown = np.ma.masked_equal(counts.T, 0)
    mesh = axes.pcolormesh(edges, edges, shown, norm="log", rasterized=True)
    axes.plot([low, high], [low, high], color="grey", linewidth=0.8)
    figure.colorbar(mesh, ax=axes, label="points")
    r2 = "R² undefined" if scores.r2 is None else f"R² = {scores.r2:.3f}"
    if target.is_logarithmic and scores.r2_normalised is not None:
        r2 += f", of the logarithm {scores.r2_normalised:.3f}"
    axes.set(xscale=scale, yscale=scale, aspect="equal", title=f"{title}\n{r2}",
             xlabel=f"true {target.label}", ylabel=f"predicted {target.label}")  # fmt: skip
    _write(figure, path)


def _write(figure: Figure, path: Path) -> None:
    write_atomic(path, lambda file: file.write(png_file(figure, DPI)))
