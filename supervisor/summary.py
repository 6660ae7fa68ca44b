"""The result of a session: summary.json, and the same as a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .files import read_object, write_atomic
from .logs import clean_line
from .plan import Plan
from .sessions import SessionFolder
from .state import Run, SessionState, run_states

RESULT_FILE = "result.json"  # a flat JSON object that a run may leave in its output folder
MAX_RESULT_KEYS = 64
COLUMNS = 4  # runs side by side in the table of results

Scalar = str | int | float | bool | None


def write_summary(folder: SessionFolder, plan: Plan, state: SessionState) -> None:
    """Writes summary.json: each run's state, times, resources, and what it left in its result.json."""
    states = run_states(plan, state)
    summary = {
        "session": folder.stamp,
        "name": plan.session.name,
        "mode": state.mode,
        "started": state.started,
        "runs": {
            name: {"state": states[name], **_facts(run), "result": _result(folder, name)}
            for name, run in state.runs.items()
        },
    }
    write_atomic(folder.summary, json.dumps(summary, indent=2) + "\n")


def _facts(run: Run) -> dict[str, Scalar]:
    last = run.last
    exits = [attempt.exit for attempt in run.attempts if attempt.exit is not None]
    peaks = [ended.max_rss_mib for ended in exits if ended.max_rss_mib is not None]
    return {
        "attempts": len(run.attempts),
        "exit_code": last.exit.exit_code if last and last.exit else None,
        "signal": last.exit.signal if last and last.exit else None,
        "gpu": last.slot.gpu_index if last and last.slot else None,
        "wall_time_s": sum(attempt.exit.ended - attempt.started for attempt in run.attempts if attempt.exit),
        "peak_rss_mib": max(peaks, default=None),
    }


def _result(folder: SessionFolder, run: str) -> dict[str, Scalar]:
    """The scalars of the run's result.json; it is the run's word, so sizes are bounded and texts cleaned."""
    path = folder.run_folder(run) / RESULT_FILE
    try:
        if path.stat().st_size > 1 << 16:
            return {}
    except OSError:
        return {}
    found = read_object(path) or {}
    scalars = {clean_line(key.encode()): value for key, value in list(found.items())[:MAX_RESULT_KEYS]}
    return {
        key: clean_line(value.encode("utf-8", "replace")) if isinstance(value, str) else value
        for key, value in scalars.items()
        if isinstance(value, str | int | float | bool)
    }


def summary_table(summary: Mapping[str, Any]) -> list[str]:
    """The lines of two tables: what became of each run, and the results that runs left, run by run."""
    runs: Mapping[str, Any] = summary["runs"]
    head = ["run", "state", "exit", "attempts", "gpu", "wall time", "peak memory"]
    body = [
        [
            name,
            run["state"],
            _exit(run),
            str(run["attempts"]),
            "" if run["gpu"] is None else str(run["gpu"]),
            duration(run["wall_time_s"]),
            "" if run["peak_rss_mib"] is None else f"{run['peak_rss_mib']:.0f} MiB",
        ]
        for name, run in runs.items()
    ]
    lines = _table(head, body)
    with_result = [name for name, run in runs.items() if run["result"]]
    for first in range(0, len(with_result), COLUMNS):
        names = with_result[first : first + COLUMNS]
        keys = dict.fromkeys(key for name in names for key in runs[name]["result"])
        rows = [[key.replace("_", " "), *(_cell(runs[name]["result"].get(key)) for name in names)] for key in keys]
        lines += ["", *_table(["", *names], rows)]
    return lines


def duration(seconds: float | None) -> str:
    """`1:02:03`, `2:03` or `4.5 s`."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def _exit(run: Mapping[str, Any]) -> str:
    return f"signal {run['signal']}" if run["signal"] else "" if run["exit_code"] is None else str(run["exit_code"])


def _cell(value: Scalar) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.1f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in (head, *body)) for at in range(len(head))]
    rows = [head, ["─" * width for width in widths], *body]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
