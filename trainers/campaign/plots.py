"""Plots of a campaign, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from ..evaluation.plots import DPI
from ..png import png_file
from .figures import ArmFigures

Values = NDArray[np.float64]

CORNER_POINTS = 1_000
"""Largest number of points of an arm in the corner plot; more would hide each other."""

CORNER_PARAMETERS = 9
"""Largest number of parameters in the corner plot."""


def curves_by_round(arms: Sequence[ArmFigures], attribute: str, label: str) -> bytes:
    """Plot a figure of each arm by round: the mean over the seeds, and their range as a band.

    Args:
        arms: Figures.
        attribute: `rates`, `accuracy` or `accuracy_near`, of shape (seeds, rounds).
        label: Label of the vertical axis.

    Returns:
        Contents of a PNG file.
    """
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.add_subplot()
    for arm in arms:
        values: Values = getattr(arm, attribute)
        present = ~np.isnan(values).all(axis=0)
        if not present.any():
            continue
        rounds, values = np.flatnonzero(present) + 1, values[:, present]
        (line,) = axes.plot(rounds, np.nanmean(values, axis=0), marker=".", label=arm.name)
        axes.fill_between(
            rounds, np.nanmin(values, axis=0), np.nanmax(values, axis=0), alpha=0.2, color=line.get_color()
        )
    axes.set(xlabel="round", ylabel=label, ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", title="mean and range of the seeds", title_fontsize="small")
    return png_file(figure, DPI)


def corner_plot(accepted: Mapping[str, Values], names: Sequence[str]) -> bytes:
    """Plot the accepted points of each arm for all pairs of parameters, with histograms on the diagonal.

    Args:
        accepted: Points by arm, each of shape (n, 19).
        names: Names of the 19 parameters.

    Returns:
        Contents of a PNG file.
    """
    everything = np.concatenate(list(accepted.values()))
    varied: list[int] = np.flatnonzero(np.ptp(everything, axis=0) > 0).tolist() if len(everything) else []
    shown = varied[-CORNER_PARAMETERS:]
    size = max(1, len(shown))
    figure = Figure(figsize=(1.3 * size + 0.6, 1.3 * size + 0.4), layout="constrained")
    grid = figure.subplots(size, size, squeeze=False)
    for row in range(size):
        for column in range(size):
            axes: Axes = grid[row][column]
            if column > row or not shown:
                axes.set_axis_off()
                continue
            _draw_pair(axes, accepted, everything, shown[column], shown[row])
            axes.tick_params(labelsize=5, labelbottom=row == size - 1, labelleft=0 == column != row)
            axes.set_xlabel(names[shown[column]] if row == size - 1 else "", fontsize=7)
            axes.set_ylabel(names[shown[row]] if 0 == column != row else "", fontsize=7)
    handles = [Line2D([], [], color=f"C{number}", marker=".", linestyle="", label=name)
               for number, name in enumerate(accepted)]  # fmt: skip
    figure.legend(handles=handles, loc="upper right", fontsize="small")
    return png_file(figure, DPI)


def _draw_pair(axes: Axes, accepted: Mapping[str, Values], everything: Values, x: int, y: int) -> None:
    largest_first = sorted(enumerate(accepted.values()), key=lambda item: -len(item[1]))
    for number, points in largest_first:  # so that the few points of an arm are not hidden
        if x == y:
            edges = np.linspace(everything[:, x].min(), everything[:, x].max(), 21)
            axes.hist(points[:, x], bins=edges.tolist(), density=len(points) > 0, histtype="step",
                      color=f"C{number}")  # fmt: skip
            axes.set_ylim(bottom=0)
        else:
            axes.plot(points[:CORNER_POINTS, x], points[:CORNER_POINTS, y], ".", markersize=1.2, alpha=0.6,
                      color=f"C{number}")  # fmt: skip
