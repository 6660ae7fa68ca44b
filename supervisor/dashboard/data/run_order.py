"""Which runs the table shows, and in which order. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ...session.snapshot import RunView
from ...session.state import RunState

_URGENCY = (
    *(RunState.FAILED, RunState.LOST, RunState.BLOCKED, RunState.STOPPING, RunState.RUNNING),
    *(RunState.STOPPED, RunState.QUEUED, RunState.WAITING, RunState.SUCCEEDED),
)


def _urgency(_: str, run: RunView) -> int:
    return -1 if run.stalled else _URGENCY.index(run.state)


def _val_loss(_: str, run: RunView) -> float:
    return run.progress.get("val_loss", math.inf)


def _eta(_: str, run: RunView) -> float:
    return math.inf if run.eta_s is None else run.eta_s


ORDERS: dict[str, Callable[[str, RunView], Any] | None] = {
    "plan": None,  # as the plan lists them
    "urgency": _urgency,  # what failed, got lost or stalled first
    "val loss": _val_loss,
    "ETA": _eta,
    "name": lambda name, _: name,
}


def next_order(order: str) -> str:
    """The order after this one, round and round."""
    names = list(ORDERS)
    return names[(names.index(order) + 1) % len(names)]


def sort_and_filter(runs: Mapping[str, RunView], order: str, wanted: str) -> list[str]:
    """The names of the runs whose name or state holds every word of `wanted`, in the order asked for."""
    words = wanted.lower().split()
    names = [name for name, run in runs.items() if all(word in f"{name} {run.state}".lower() for word in words)]
    key = ORDERS[order]
    return names if key is None else sorted(names, key=lambda name: key(name, runs[name]))
