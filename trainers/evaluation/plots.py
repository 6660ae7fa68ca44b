"""Plots of models on points whose truth is known, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..data.targets import Target
from ..png import png_file
from .calibration import LEVELS
from .outcome_scores import OutcomeScores
from .threshold import Verdicts

Values = NDArray[np.float64]

SCATTERED = 5_000
"""Largest number of points in a scatter plot; more would hide each other."""

DPI = 180
"""A plot as wide as an A4 page is printed with about 200 dots per inch."""


def true_against_predicted(name: str, predicted: Values, true: Values, target: Target) -> bytes:
    """Plot predicted against true values: some points, and all points as a 2D histogram.

    If the logarithm was learned, the axes are logarithmic. Points outside the axes are drawn at the edge.

    Returns:
        Contents of a PNG file.
    """
    figure = Figure(figsize=(9.2, 4.2), layout="constrained")
    scatter, histogram = figure.subplots(1, 2)
    low = float(min(true.min(), np.quantile(predicted, 0.001)))
    high = float(max(true.max(), np.quantile(predicted, 0.999)))
    if target.transform != "none":
        scale, edges = "log", np.geomspace(low, max(high, low * 1.01), 101)
    else:
        scale, edges = "linear", np.linspace(low, max(high, low + 1e-9), 101)
    low, high = float(edges[0]), float(edges[-1])
    shown = np.clip(predicted, low, high)
    scatter.plot(true[:SCATTERED], shown[:SCATTERED], ".", markersize=2, alpha=0.4)
    counts, _, _ = np.histogram2d(np.clip(true, low, high), shown, bins=[edges, edges])
    mesh = histogram.pcolormesh(edges, edges, np.ma.masked_equal(counts.T, 0), norm="log", rasterized=True)
    figure.colorbar(mesh, ax=histogram, label="points")
    for axes in (scatter, histogram):
        axes.plot([low, high], [low, high], color="grey", linewidth=0.8)
        axes.set(xscale=scale, yscale=scale, xlabel=f"true {target.label}", ylabel=f"predicted {target.label}",
                 xlim=(low, high), ylim=(low, high), aspect="equal")  # fmt: skip
    figure.suptitle(name)
    return png_file(figure, DPI)


def coverage_plot(curves: Mapping[str, Values]) -> bytes:
    """Plot the covered share against the level, one curve of shape (LEVELS,) by name.

    Returns:
        Contents of a PNG file.
    """
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for name, covered in curves.items():
        axes.plot([0, *LEVELS, 1], [0, *covered, 1], marker=".", label=name)
    axes.set(xlabel="level of the interval", ylabel="share of true values inside", aspect="equal")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return png_file(figure, DPI)


def confusion_plot(name: str, verdicts: Verdicts) -> bytes:
    """Plot the confusion matrix; colours are shares of each row.

    Returns:
        Contents of a PNG file.
    """
    counts = np.array([
        [verdicts.allowed_as_allowed, verdicts.allowed_as_excluded],
        [verdicts.excluded_as_allowed, verdicts.excluded_as_excluded],
    ])  # fmt: skip
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    figure = Figure(figsize=(4.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(2, 2):
        text = f"{counts[row, column]:,}\n{100 * shares[row, column]:.2f} %"
        axes.text(column, row, text, ha="center", va="center", color="white" if shares[row, column] > 0.5 else "black")
    words = ["allowed", "excluded"]
    axes.set(xticks=[0, 1], yticks=[0, 1], xticklabels=words, yticklabels=words, xlabel="predicted", ylabel="true",
             title=f"{name}: threshold {verdicts.threshold:g}")  # fmt: skip
    return png_file(figure, DPI)


def reliability_plot(name: str, outcomes: Mapping[str, OutcomeScores]) -> bytes:
    """Plot the share of rows with an outcome against its probability, one curve by outcome.

    The bars are the standard errors that the shares have if the probabilities hold.

    Returns:
        Contents of a PNG file.
    """
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for outcome, one in outcomes.items():
        predicted, observed, rows = np.array([(each.predicted, each.observed, each.rows) for each in one.curve]).T
        expected_error = np.sqrt(predicted * (1 - predicted) / rows)
        axes.errorbar(predicted, observed, expected_error, marker=".", capsize=2, linewidth=0.9,
                      label=f"{outcome}: AUC {one.auc:.4f}")  # fmt: skip
    axes.set(xlabel="probability", ylabel="share of rows", aspect="equal", title=f"{name}: all rows")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return png_file(figure, DPI)


def importance_plot(name: str, importance: Mapping[str, float], target: Target) -> bytes:
    """Plot by how much the error grows when a parameter is permuted, as bars, largest first.

    Returns:
        Contents of a PNG file.
    """
    figure = Figure(figsize=(6, 0.28 * len(importance) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    axes.barh([parameter.removeprefix("IN_") for parameter in importance], list(importance.values()))
    axes.invert_yaxis()
    axes.set(xlabel=f"growth of the mean absolute error of {error_label(target)}", title=f"{name}: which inputs matter")
    axes.grid(alpha=0.3, axis="x")
    return png_file(figure, DPI)


def error_label(target: Target) -> str:
    """Return the name of the scale of `learned_difference`, on which the reference of a logarithm cancels."""
    return f"ln {target.label}" if target.is_logarithmic else target.label
