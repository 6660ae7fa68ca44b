"""The plots of the report, drawn without a display."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..data.targets import Target
from .trainings import TrainedRun

Values = NDArray[np.float64]

SCATTERED = 5_000
"""Largest number of points in a scatter plot; more would hide each other."""

DPI = 180
"""A plot as wide as an A4 page is printed with about 200 dots per inch."""


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
    return _png(figure)


def true_against_predicted(run: TrainedRun, true: Values, target: Target) -> bytes:
    """Plot predicted against true values: some points, and all points as a 2D histogram.

    If the logarithm was learned, the axes are logarithmic. Points outside the axes are drawn at the edge.

    Returns:
        Contents of a PNG file.
    """
    assert run.predicted is not None
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    scatter, histogram = figure.subplots(1, 2)
    low = float(min(true.min(), np.quantile(run.predicted, 0.001)))
    high = float(max(true.max(), np.quantile(run.predicted, 0.999)))
    if target.is_logarithmic:
        scale, edges = "log", np.geomspace(low, max(high, low * 1.01), 101)
    else:
        scale, edges = "linear", np.linspace(low, max(high, low + 1e-9), 101)
    low, high = float(edges[0]), float(edges[-1])
    predicted = np.clip(run.predicted, low, high)
    scatter.plot(true[:SCATTERED], predicted[:SCATTERED], ".", markersize=2, alpha=0.4)
    counts, _, _ = np.histogram2d(np.clip(true, low, high), predicted, bins=[edges, edges])
    mesh = histogram.pcolormesh(edges, edges, np.ma.masked_equal(counts.T, 0), norm="log", rasterized=True)
    figure.colorbar(mesh, ax=histogram, label="points")
    for axes in (scatter, histogram):
        axes.plot([low, high], [low, high], color="grey", linewidth=0.8)
        axes.set(xscale=scale, yscale=scale, xlabel=f"true {target.label}", ylabel=f"predicted {target.label}",
                 xlim=(low, high), ylim=(low, high), aspect="equal")  # fmt: skip
    figure.suptitle(run.name)
    return _png(figure)


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
    return _png(figure)


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()
