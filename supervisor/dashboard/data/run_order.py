"""Order and filter of the runs table, and the run selected at first. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ...plan.schema import Plan
from ...session.snapshot import RunView, Snapshot
from ...session.state import ALIVE, ENDED, RunState

_URGENCY = (
    *(RunState.FAILED, RunState.LOST, RunState.BLOCKED, RunState.STOPPING, RunState.RUNNING),
    *(RunState.STOPPED, RunState.PENDING, RunState.QUEUED, RunState.WAITING, RunState.SUCCEEDED),
    RunState.SKIPPED,
)


def _urgency(_: str, run: RunView) -> int:
    return -1 if run.stalled else _URGENCY.index(run.state)


def _val_loss(_: str, run: RunView) -> float:
    return run.progress.get("val_loss", math.inf)


def _eta(_: str, run: RunView) -> float:
    return math.inf if run.eta_s is None else run.eta_s


ORDERS: dict[str, Callable[[str, RunView], Any] | None] = {
    "plan": None,  # as the plan lists them
    "urgency": _urgency,  # stalled, failed and lost runs first
    "val loss": _val_loss,
    "ETA": _eta,
    "name": lambda name, _: name,
}


def next_order(order: str) -> str:
    """Return the order after this one; the first one follows the last."""
    names = list(ORDERS)
    return names[(names.index(order) + 1) % len(names)]


def sort_and_filter(runs: Mapping[str, RunView], order: str, query: str) -> list[str]:
    """Return the names of the matching runs in a given order.

    Args:
        runs: Runs by name, in the plan's order.
        order: A key of `ORDERS`.
        query: Words, each of which must occur in a run's name or state; case is ignored.
    """
    words = query.lower().split()
    names = [name for name, run in runs.items() if all(word in f"{name} {run.state}".lower() for word in words)]
    key = ORDERS[order]
    return names if key is None else sorted(names, key=lambda name: key(name, runs[name]))


def initial_selection(snapshot: Snapshot, plan: Plan | None) -> str | None:
    """Return the run to select at first: a running training, else a failed run, else a pending training."""
    states = {name: run.state for name, run in snapshot.runs.items()}
    plans = {name: plan.runs.get(name) if plan is not None else None for name in states}
    trainings = [name for name, run in plans.items() if run is None or run.wants_gpu or run.has_metrics]
    alive = [name for name in trainings if states[name] in ALIVE]
    failed = [name for name in states if states[name] in (RunState.FAILED, RunState.LOST)]
    pending = [name for name in trainings if states[name] not in ENDED]
    return next(iter(alive or failed or pending or states), None)
