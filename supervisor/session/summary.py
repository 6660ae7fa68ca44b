"""Summary of a session: summary.json. `summary_tables` shows it to people."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterable, Mapping
from typing import Any

from ..files import read_object, write_atomic
from ..logs.sanitize import sanitize_line
from ..plan.schema import Plan
from .folder import SessionFolder
from .groups import group_metrics
from .run_states import run_states
from .state import Run, RunState, SessionState

RESULT_FILE = "result.json"  # a flat JSON object that a run may write to its output folder
MAX_RESULT_BYTES = 1 << 16
MAX_RESULT_KEYS = 64
BLOCK = 64  # runs whose text `SummaryWriter` keeps together

Scalar = str | int | float | bool | None


def build_summary(folder: SessionFolder, plan: Plan, state: SessionState) -> dict[str, Any]:
    """Return states, times, resources and results of all runs, and of groups of runs, ready for JSON."""
    states = run_states(plan, state)
    runs = {name: summary_of_run(folder, plan, state, name, states[name]) for name in state.runs}
    return {**summary_head(folder, plan, state), "runs": runs, "groups": group_metrics(runs)}


def summary_head(folder: SessionFolder, plan: Plan, state: SessionState) -> dict[str, Any]:
    """Return what a summary says of the session as a whole."""
    return {"session": folder.stamp, "name": plan.session.name, "mode": state.mode, "started": state.started}


def summary_of_run(
    folder: SessionFolder, plan: Plan, state: SessionState, name: str, run_state: RunState
) -> dict[str, Any]:
    """Return what a summary says of one run."""
    return {
        "state": run_state,
        "group": plan.runs[name].group,
        "line": plan.runs[name].line,
        **_resources(state.runs[name]),
        "result": _result(folder, name),
    }


def write_summary(folder: SessionFolder, plan: Plan, state: SessionState, *, sync: bool = True) -> None:
    """Write summary.json once; arguments and errors as of `SummaryWriter.write`."""
    SummaryWriter(folder, plan).write(state, run_states(plan, state), plan.runs, sync=sync)


class SummaryWriter:
    """Writer of summary.json that keeps the text of what has not changed: long plans write it at many starts.

    Args:
        folder: The session.
        plan: Its plan.
    """

    def __init__(self, folder: SessionFolder, plan: Plan) -> None:
        self._folder = folder
        self._plan = plan
        self._names = tuple(plan.runs)
        self._block_of = {name: position // BLOCK for position, name in enumerate(self._names)}
        self._runs: dict[str, Mapping[str, Any]] = {}
        self._texts: dict[str, str] = {}
        self._blocks: dict[int, str] = {}
        self._members: dict[str, list[str]] = {}
        for name, run in plan.runs.items():
            if run.group is not None:
                self._members.setdefault(run.group, []).append(name)
        self._groups: dict[str, Mapping[str, Any]] = {}

    def write(self, state: SessionState, states: Mapping[str, RunState], changed: Iterable[str], *, sync: bool) -> None:
        """Write summary.json.

        Args:
            state: State of the session.
            states: State of each run.
            changed: Runs that may have changed since the last call; all at the first one.
            sync: Whether it survives a power cut; the journal, from which it can be written again, does.

        Raises:
            OSError: It could not be written.
        """
        self._update(state, states, set(changed))
        head = json.dumps(summary_head(self._folder, self._plan, state), indent=2).removesuffix("\n}")
        runs = ",\n".join(self._blocks[number] for number in sorted(self._blocks))
        groups = json.dumps(self._groups, indent=2).replace("\n", "\n  ")
        text = f'{head},\n  "runs": {{\n{runs}\n  }},\n  "groups": {groups}\n}}\n'
        write_atomic(self._folder.summary, text, sync=sync)

    def _update(self, state: SessionState, states: Mapping[str, RunState], changed: set[str]) -> None:
        for name in changed:
            self._runs[name] = summary_of_run(self._folder, self._plan, state, name, states[name])
            self._texts[name] = f"    {json.dumps(name)}: {json.dumps(self._runs[name])}"
        for number in {self._block_of[name] for name in changed}:
            members = self._names[number * BLOCK : (number + 1) * BLOCK]
            self._blocks[number] = ",\n".join(self._texts[name] for name in members)
        groups = {self._plan.runs[name].group for name in changed}
        for group in self._members.keys() & groups:
            metrics = group_metrics({name: self._runs[name] for name in self._members[group]})
            self._groups.pop(group, None)
            self._groups.update(metrics)
        self._groups = {group: self._groups[group] for group in self._members if group in self._groups}


def _resources(run: Run) -> dict[str, Scalar]:
    """Return how a run ended and what it used."""
    last = run.last
    exits = [attempt.exit for attempt in run.attempts if attempt.exit is not None]
    peaks = [ended.max_rss_mib for ended in exits if ended.max_rss_mib is not None]
    return {
        "attempts": len(run.attempts),
        "exit_code": last.exit.exit_code if last and last.exit else None,
        "signal": last.exit.signal if last and last.exit else None,
        "gpu": last.slot.gpu_index if last and last.slot else None,
        "wall_time_s": sum(each.duration_s or 0.0 for each in run.attempts),
        "wall_time_measured": all(each.is_duration_certain for each in run.attempts),
        "peak_rss_mib": max(peaks, default=None),
    }


def _result(folder: SessionFolder, run: str) -> dict[str, Scalar]:
    """Return the scalars of the run's result.json, which is untrusted: sizes are limited and texts sanitized."""
    path = folder.run_folder(run) / RESULT_FILE
    try:
        status = path.stat()
    except OSError:
        return {}
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_RESULT_BYTES:
        return {}
    found = read_object(path) or {}
    return {
        _sanitize(key): _sanitize(value) if isinstance(value, str) else value
        for key, value in list(found.items())[:MAX_RESULT_KEYS]
        if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
    }


def _sanitize(text: str) -> str:
    return sanitize_line(text.encode("utf-8", "replace"))


def read_summary(folder: SessionFolder) -> Mapping[str, Any]:
    """Read summary.json; it has no runs before the first one has ended."""
    return read_object(folder.summary) or {"runs": {}}
