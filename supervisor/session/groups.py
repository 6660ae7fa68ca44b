"""Mean ± standard deviation of the results of runs that repeat one measurement, such as three seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

GroupMetrics = dict[str, dict[str, float | int]]
"""`mean`, `deviation` and `count` of each metric."""


def group_metrics(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, GroupMetrics]:
    """Return mean, sample standard deviation and count of each metric, for each group of two or more results.

    Integers that are equal in all runs are left out: they are settings, not measurements.

    Args:
        runs: The runs of a summary, each with its `group` and `result`.
    """
    members: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs.values():
        if run.get("group") and run["result"]:
            members.setdefault(run["group"], []).append(run["result"])
    return {group: _metrics(results) for group, results in members.items() if len(results) > 1}


def _metrics(results: Sequence[Mapping[str, Any]]) -> GroupMetrics:
    from statistics import fmean, stdev  # noqa: PLC0415 - slow to import, and most sessions have no groups

    metrics: GroupMetrics = {}
    for key in dict.fromkeys(key for result in results for key in result):
        values = [value for result in results if (value := _number(result.get(key))) is not None]
        constant = len(set(values)) == 1 and all(isinstance(result.get(key), int) for result in results)
        if len(values) > 1 and not constant:
            metrics[key] = {"mean": fmean(values), "deviation": stdev(values), "count": len(values)}
    return metrics


def _number(value: object) -> float | None:
    """Return a finite number whose square is finite, too; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and abs(value) < 1e100 else None
