"""Runs that repeat one measurement, such as a training with three seeds: their results as mean ± standard deviation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from ..formatting import table

Figures = dict[str, dict[str, float | int]]


def group_metrics(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, Figures]:
    """For each group of two results or more, each figure's mean, (sample) standard deviation and count.

    `runs`: those of a summary, each with its `group` and `result`. Whole numbers that are the same everywhere are left
    out: they are settings, not measurements.
    """
    members: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs.values():
        if run.get("group") and run["result"]:
            members.setdefault(run["group"], []).append(run["result"])
    return {group: _metrics(results) for group, results in members.items() if len(results) > 1}


def _metrics(results: Sequence[Mapping[str, Any]]) -> Figures:
    figures: Figures = {}
    for key in dict.fromkeys(key for result in results for key in result):
        values = [value for result in results if (value := _number(result.get(key))) is not None]
        settled = len(set(values)) == 1 and all(isinstance(result.get(key), int) for result in results)
        if len(values) > 1 and not settled:
            figures[key] = {"mean": fmean(values), "deviation": stdev(values), "count": len(values)}
    return figures


def _number(value: object) -> float | None:
    """A number whose square is one, too."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and abs(value) < 1e100 else None


def groups_table(groups: Mapping[str, Figures]) -> list[str]:
    """The lines of a table, one row a figure and one column a group; none where there are no groups."""
    keys = dict.fromkeys(key for figures in groups.values() for key in figures)
    rows = [[key.replace("_", " "), *(_cell(figures.get(key)) for figures in groups.values())] for key in keys]
    return table(["mean ± deviation", *groups], rows) if rows else []


def _cell(figure: Mapping[str, float | int] | None) -> str:
    return "" if figure is None else f"{figure['mean']:.4g} ± {figure['deviation']:.2g} ({figure['count']})"
