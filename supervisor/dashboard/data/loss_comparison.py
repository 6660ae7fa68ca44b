"""Curves that belong in one plot. Pure, except for reading the logs of earlier sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...logs.metric_history import MetricHistory, MetricHistoryReader, Points
from ...session.folder import list_sessions

VIEWS = ("this run", "all runs", "attempts", "sessions")
MAX_CURVES = 9
MAX_SESSIONS = 6  # earlier sessions that are compared


@dataclass(frozen=True)
class Curve:
    """One curve with its name."""

    name: str
    points: Points
    dotted: bool = False


@dataclass(frozen=True)
class Comparison:
    """Curves of one plot.

    Attributes:
        title: Name of the metric.
        curves: Curves in drawing order.
        subject: Compared runs, attempts or sessions, in words.
        best: Epoch and value of the point to mark; None for no mark.
        empty: Text shown if there is no curve.
        is_single: The curves are different losses of one run.
    """

    title: str
    curves: tuple[Curve, ...]
    subject: str = ""
    best: tuple[float, float] | None = None
    empty: str = "no losses in the log yet"
    is_single: bool = False


def curves_of_run(name: str, history: MetricHistory | None, *, has_pattern: bool) -> Comparison:
    """Return the training loss (dotted) and the validation loss of a run."""
    history = history or MetricHistory()
    metrics = history.names
    main = main_metric(metrics)
    curves = tuple(Curve(metric, history.points(metric), dotted=metric != main) for metric in metrics)
    empty = "no losses in the log yet" if has_pattern else "the plan has no progress pattern for this run"
    title = "loss" if main.endswith("loss") else main
    return Comparison(title, curves, name, history.best(main), empty, is_single=True)


def curves_of_runs(histories: Mapping[str, MetricHistory | None], metric: str) -> Comparison:
    """Return one loss of several runs."""
    curves = [Curve(name, history.points(metric)) for name, history in histories.items() if history]
    return Comparison(metric, _drawable(curves), "all runs", empty=f"no run has reported {metric} yet")


def curves_of_attempts(name: str, history: MetricHistory | None, metric: str) -> Comparison:
    """Return one loss of a run, now and as earlier attempts had it before a resume replaced their last epochs."""
    history = history or MetricHistory()
    earlier = [Curve(f"earlier {number}", tail) for number, tail in enumerate(history.superseded_points(metric), 1)]
    curves = [Curve("now", history.points(metric)), *reversed(earlier)]
    return Comparison(metric, _drawable(curves), f"attempts of {name}")


def curves_of_sessions(
    name: str, history: MetricHistory | None, earlier: Mapping[str, MetricHistory], metric: str
) -> Comparison:
    """Return one loss of a run, and of the runs with that name in earlier sessions."""
    curves = [Curve("now", (history or MetricHistory()).points(metric))]
    curves += [Curve(stamp, other.points(metric)) for stamp, other in earlier.items()]
    return Comparison(metric, _drawable(curves), f"{name} in earlier sessions", empty="no session has reported a loss")


def _drawable(curves: Iterable[Curve]) -> tuple[Curve, ...]:
    return tuple(curve for curve in curves if curve.points)[:MAX_CURVES]


async def earlier_sessions(logs: Path, session: str, run: str, pattern: str) -> dict[str, MetricHistory]:
    """Read the histories of a run in other sessions of the logs folder.

    Args:
        logs: The logs folder.
        session: Stamp of the session that is left out.
        run: Name of the run.
        pattern: Progress pattern of the run.

    Returns:
        Histories by stamp, the newest session first; at most `MAX_SESSIONS`, each with at least one epoch.
    """
    found: dict[str, MetricHistory] = {}
    for folder in reversed(await asyncio.to_thread(list_sessions, logs)):
        path = folder.run_log(run)
        if folder.stamp == session or not path.exists():
            continue
        reader = await asyncio.to_thread(MetricHistoryReader, path, pattern)
        await reader.read()
        if len(reader.history):
            found[folder.stamp] = reader.history
        if len(found) == MAX_SESSIONS:
            break
    return found


def next_view(view: str) -> str:
    """Return the comparison after this one; the first one follows the last."""
    return VIEWS[(VIEWS.index(view) + 1) % len(VIEWS)]


def main_metric(metrics: Sequence[str]) -> str:
    """Return the metric to compare: the validation loss, which trainers report last."""
    return metrics[-1] if metrics else "val_loss"
