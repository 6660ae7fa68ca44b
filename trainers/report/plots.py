"""The plots of the report, drawn without a display."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..data.targets import Target
from ..evaluation.plots import DPI
from ..png import png_file
from .trainings import TrainedRun

Values = NDArray[np.float64]


def loss_curves(runs: Sequence[TrainedRun]) -> bytes:
    """Plot training (dotted) and validation MSE of z-scores of all trainings by epoch.

    Returns:
        Contents of a PNG file.
    """
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for number, run in enumerate(run for run in runs if run.losses):
        epochs, train, val = zip(*run.losses, strict=True)
        marker = "." if len(epochs) < 30 else ""
        axes.plot(epochs, val, marker=marker, color=f"C{number}", label=run.name)
        axes.plot(epochs, train, color=f"C{number}", linestyle=":", linewidth=0.9)
    axes.set(xlabel="epoch", ylabel="MSE (normalised)", yscale="log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(title="validation; dotted: training", fontsize="small", title_fontsize="small")
    return png_file(figure, DPI)


def residuals(run: TrainedRun, true: Values, points: Values, names: Sequence[str], target: Target) -> bytes:
    """Plot median and central 68 % of predicted - true in bins of each parameter.

    If the logarithm was learned, the plot shows predicted / true.

    Args:
        run: Trained run with predictions.
        true: True values, physical, shape (n,).
        points: Parameters, physical, shape (n, names).
        names: Names of the parameters.
        target: Target that was learned.

    Returns:
        Contents of a PNG file.
    """
    assert run.predicted is not None
    is_log = target.is_logarithmic
    rows = max(1, -(-len(names) // 5))
    height = 2.1 * rows + 0.5
    figure = Figure(figsize=(11, height))  # fixed margins: computing them would draw the panels twice
    figure.subplots_adjust(0.07, 0.45 / height, 0.99, 1 - 0.45 / height, wspace=0.06, hspace=0.35)
    panels = figure.subplots(rows, 5, squeeze=False, sharey=True).ravel()
    error = run.predicted / true if is_log else run.predicted - true
    for axes, name, column in zip(panels, names, points.T, strict=False):
        edges = np.unique(np.quantile(column, np.linspace(0, 1, 21)))
        edges = edges if len(edges) > 1 else np.array([edges[0], edges[0] + 1])  # all points have the same value
        bins = np.clip(np.searchsorted(edges, column, side="right") - 1, 0, len(edges) - 2)
        filled = [index for index in range(len(edges) - 1) if (bins == index).any()]
        bands = np.array([np.quantile(error[bins == index], [0.16, 0.5, 0.84]) for index in filled])
        middles = [(edges[index] + edges[index + 1]) / 2 for index in filled]
        axes.fill_between(middles, bands[:, 0], bands[:, 2], alpha=0.3)
        axes.plot(middles, bands[:, 1])
        axes.axhline(1 if is_log else 0, color="grey", linewidth=0.8)
        axes.set_xlabel(name.removeprefix("IN_"), labelpad=1)
        axes.tick_params(labelsize="small")
        axes.xaxis.set_major_locator(MaxNLocator(4, prune="both"))  # no overlap with the labels of the neighbour
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    panels[0].set_yscale("log" if is_log else "linear")
    quantity = f"predicted / true {target.label}" if is_log else f"predicted - true {target.label}"
    figure.suptitle(f"{run.name}: {quantity}, median and central 68 %")
    return png_file(figure, DPI)
