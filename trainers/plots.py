"""The two pictures at the end of a training, drawn without a screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .data.targets import Target
from .evaluate import Scores
from .files import write_atomically
from .metrics import EpochRow


def loss_curve(path: Path, title: str, rows: Sequence[EpochRow], best_epoch: int) -> None:
    """Nothing; `path` shows both errors, normalised, against the epoch, and marks the best one."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    epochs = [row.epoch for row in rows]
    marker = "." if len(rows) < 50 else ""
    axes.plot(epochs, [row.train_mse for row in rows], marker=marker, label="training")
    axes.plot(epochs, [row.val_mse for row in rows], marker=marker, label="validation")
    axes.axvline(best_epoch, color="grey", linestyle=":", label=f"best: epoch {best_epoch}")
    axes.set(xlabel="epoch", ylabel="MSE (normalised)", yscale="log", title=title)
    axes.legend()
    _write(figure, path)


def true_vs_predicted(path: Path, title: str, scores: Scores, target: Target) -> None:
    """Nothing; `path` shows predicted against true values of the validation points as counts per bin, physical."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.add_subplot()
    low = float(min(scores.true.min(), scores.predicted.min(), 0))
    high = float(max(scores.true.max(), scores.predicted.max(), low + 1e-6))
    edges = np.linspace(low, high, 121)
    counts, _, _ = np.histogram2d(scores.true, scores.predicted, bins=[edges, edges])
    shown = np.ma.masked_equal(counts.T, 0)
    mesh = axes.pcolormesh(edges, edges, shown, norm="log", rasterized=True)
    axes.plot([low, high], [low, high], color="grey", linewidth=0.8)
    figure.colorbar(mesh, ax=axes, label="points")
    r2 = "R² undefined" if scores.r2 is None else f"R² = {scores.r2:.3f}"
    axes.set(xlabel=f"true {target.label}", ylabel=f"predicted {target.label}", title=f"{title}: {r2}", aspect="equal")
    _write(figure, path)


def _write(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=120))
