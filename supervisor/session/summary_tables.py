"""Tables of a summary, for people. Pure, but for `page_lines`.

The rounds of a run are one row, and those that ended badly have rows of their own. Results are those of the newest
round alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..formatting import duration, filled_columns, state_counts, table
from .state import ENDED_BADLY, RunState
from .summary import Scalar

PAGE_FILE = "report.html"  # an HTML page that a run may write into its output folder
MAX_COLUMNS = 4  # runs side by side in the table of results
TERMINAL_WIDTH = 80  # characters; the table of the three built-in trainings fits

RUNS_HEAD = ("run", "state", "exit", "attempts", "gpu", "wall time", "peak memory")

RunSummary = Mapping[str, Any]
"""What a summary says of one run, see `summary.summary_of_run`."""


def page_lines(summary: Mapping[str, Any], folder: Path) -> list[str]:
    """Return a line for each HTML page that a run of the session in `folder` has written."""
    succeeded = [name for name, run in summary["runs"].items() if run["state"] == RunState.SUCCEEDED]
    pages = {name: folder / name / PAGE_FILE for name in succeeded}
    return [f"{name}: {page}" for name, page in pages.items() if page.is_file()]


def runs_table(summary: Mapping[str, Any]) -> list[str]:
    """Return the lines of a table of how each run ended."""
    body: list[list[str]] = []
    for line, runs in _by_line(summary).items():
        if len(runs) == 1:
            body += [_run_row(name, run) for name, run in runs.items()]
        else:
            body.append(_rounds_row(line, list(runs.values())))
            bad = {name: run for name, run in runs.items() if run["state"] in ENDED_BADLY and run["attempts"]}
            body += [_run_row(name, run) for name, run in bad.items()]
    return table(*filled_columns(RUNS_HEAD, body))


def results_table(summary: Mapping[str, Any]) -> list[str]:
    """Return the lines of a table of results, run beside run, and of groups of runs; none without results."""
    newest = [_newest_result(runs) for runs in _by_line(summary).values()]
    results = {name: summary["runs"][name]["result"] for name in newest if name is not None}
    shown = {summary["runs"][name].get("group") for name in results}
    groups = {group: metrics for group, metrics in summary.get("groups", {}).items() if group in shown}
    tables = [*_side_by_side("", results, _cell), *_side_by_side("mean ± deviation", groups, _group_cell)]
    return [line for lines in tables for line in ("", *lines)][1:]


def _side_by_side(
    title: str, columns: Mapping[str, Mapping[str, Any]], cell: Callable[[Any], str]
) -> Iterator[list[str]]:
    """Yield the lines of tables with a row for each key, and as many columns in each as a terminal has room for."""
    names = list(columns)
    while names:
        for count in range(min(MAX_COLUMNS, len(names)), 0, -1):
            shown = names[:count]
            keys = dict.fromkeys(key for name in shown for key in columns[name])
            rows = [[key.replace("_", " "), *(cell(columns[name].get(key)) for name in shown)] for key in keys]
            lines = table([title, *shown], rows, within=TERMINAL_WIDTH)
            if len(lines[1]) <= TERMINAL_WIDTH:
                break
        yield lines
        names = names[count:]


def _by_line(summary: Mapping[str, Any]) -> dict[str, dict[str, RunSummary]]:
    """Return the runs by the name that their rounds share; a run without rounds has its own."""
    lines: dict[str, dict[str, RunSummary]] = {}
    for name, run in summary["runs"].items():
        lines.setdefault(run.get("line") or name, {})[name] = run
    return lines


def _newest_result(runs: Mapping[str, RunSummary]) -> str | None:
    return next((name for name in reversed(list(runs)) if runs[name]["result"]), None)


def _run_row(name: str, run: RunSummary) -> list[str]:
    gpu = "" if run["gpu"] is None else str(run["gpu"])
    return [name, run["state"], _exit(run), str(run["attempts"]), gpu, *_resources([run])]


def _rounds_row(line: str, runs: Sequence[RunSummary]) -> list[str]:
    attempts = str(sum(run["attempts"] for run in runs))
    states = state_counts(run["state"] for run in runs)
    return [f"{line} ({len(runs)} rounds)", states, "", attempts, "", *_resources(runs)]


def _resources(runs: Sequence[RunSummary]) -> tuple[str, str]:
    """Return the wall time of all runs together, and the largest peak memory."""
    about = "" if all(run.get("wall_time_measured", True) for run in runs) else "~"
    peaks = [run["peak_rss_mib"] for run in runs if run["peak_rss_mib"] is not None]
    peak = f"{max(peaks):.0f} MiB" if peaks else ""
    return about + duration(sum(run["wall_time_s"] for run in runs)), peak


def _exit(run: RunSummary) -> str:
    return f"signal {run['signal']}" if run["signal"] else "" if run["exit_code"] is None else str(run["exit_code"])


def _cell(value: Scalar) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.1f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)


def _group_cell(metric: Mapping[str, float | int] | None) -> str:
    return "" if metric is None else f"{metric['mean']:.4g} ± {metric['deviation']:.2g} ({metric['count']})"
