"""Output of a session in the foreground: a live display, plain lines, or JSON lines."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..formatting import duration, printable, state_counts
from ..plan.schema import LOCAL
from ..session.events import Event
from ..session.session_log import LogLevel, log_line
from ..session.snapshot import RunView, Snapshot
from ..session.state import ALIVE, RunState
from ..session.summary_tables import page_lines, results_table, runs_table
from .output import ascii_json

MAX_LIVE_RUNS = 8  # runs with a line in the live display
LASTING_S = 5.0  # a reason of a pending run that changes sooner is not reported
LAYOUTS = ((16, False), (8, False), (0, False), (0, True))  # of a live line: cells of its bar, and whether it is brief


@dataclass
class _Wait:
    """Why a run is pending, and since when (monotonic time, s)."""

    reason: str
    since: float
    is_reported: bool = False


class BackgroundPrinter:
    """Printer with a thread of its own: a reader that pauses, as `less` does, must not block the session.

    A block of live lines stays below the printed lines; the next block replaces it.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[str | None, list[str] | None] | None] = queue.SimpleQueue()
        self._block: list[str] = []
        self._thread = threading.Thread(target=self._work, name="printer", daemon=True)
        self._thread.start()

    def print(self, text: str) -> None:
        """Print a text that stays."""
        self._jobs.put((text, None))

    def show(self, block: Sequence[str]) -> None:
        """Show lines below everything else until the next call."""
        self._jobs.put((None, list(block)))

    def finish(self) -> None:
        """Return once everything has been printed."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            text, block = job
            if text is None and block == self._block:
                continue
            up = f"\x1b[{len(self._block)}F\x1b[J" if self._block else ""
            self._block = self._block if block is None else block
            lines = ([] if text is None else [text]) + self._block
            with contextlib.suppress(OSError, ValueError):  # the reader closed the pipe; the session continues
                sys.stdout.write(up + "".join(f"{printable(line)}\n" for line in lines))
                sys.stdout.flush()


class LineReporter:
    """Reporter that prints plain lines: every decision, and at most one line a minute on each run's progress."""

    interval_s = 60.0  # least time between two lines on a run's progress

    def __init__(self, printer: BackgroundPrinter) -> None:
        self.printer = printer
        self._reported: dict[str, tuple[float, Mapping[str, float]]] = {}  # time and values of a run's last progress
        self._waits: dict[str, _Wait] = {}  # by pending run

    def line(self, text: str, level: LogLevel) -> None:
        """Report a line of the session's log."""
        self.printer.print(log_line("supervisor", text, level))

    def warning(self, text: str) -> None:
        """Report what keeps the session from going on, or cannot be known."""
        self.line(text, "warning")

    def event(self, event: Event) -> None:
        """Report an event. Plain output has lines for it already."""

    def snapshot(self, snapshot: Snapshot) -> None:
        """Report what is new in a snapshot."""
        now = time.monotonic()
        for name, run in snapshot.runs.items():
            reported_at, values = self._reported.get(name, (-self.interval_s, {}))
            is_new = "epoch" in run.progress and run.progress != values
            if run.state is RunState.RUNNING and is_new and now - reported_at >= self.interval_s:
                self._reported[name] = now, run.progress
                self.progress(name, run)
            if run.state is not RunState.PENDING:
                self._waits.pop(name, None)
            elif run.pending_reason:
                self._report_wait(name, run, now)

    def _report_wait(self, name: str, run: RunView, now: float) -> None:
        """Report why a run is pending, once for each reason that lasts."""
        wait = self._waits.get(name)
        if wait is None or wait.reason != run.pending_reason:
            self._waits[name] = _Wait(run.pending_reason, now)
        elif not wait.is_reported and now - wait.since >= LASTING_S:
            wait.is_reported = True
            self.pending(name, run)

    def pending(self, name: str, run: RunView) -> None:
        """Report why a run waits in the queue of a batch system."""
        self.line(f"{name}: pending: {run.reason}", "info")

    def progress(self, name: str, run: RunView) -> None:
        """Report the progress of a run."""
        self.line(f"{name}: {progress_text(run)}", "info")

    def summary(self, summary: Mapping[str, Any], folder: Path) -> None:
        """Report the results of the session."""
        results = results_table(summary)
        lines = ["", *runs_table(summary), *(["", *results] if results else []), "", f"files: {folder}"]
        self.printer.print("\n".join([*lines, *page_lines(summary, folder)]))


class LiveReporter(LineReporter):
    """Reporter with a compact display of the running runs, below the lines of the session's log."""

    def snapshot(self, snapshot: Snapshot) -> None:
        """Show the running runs."""
        self.printer.show(live_lines(snapshot, shutil.get_terminal_size().columns - 1))

    def summary(self, summary: Mapping[str, Any], folder: Path) -> None:
        """Replace the display by the results of the session."""
        self.printer.show(())
        super().summary(summary, folder)


class JsonReporter(LineReporter):
    """Reporter of JSON objects, one a line: events of the journal, progress, and the summary at the end."""

    interval_s = 1.0

    def line(self, text: str, level: LogLevel) -> None:
        """Print nothing: the events contain the same."""

    def event(self, event: Event) -> None:
        """Print an event as the journal has it."""
        self.printer.print(ascii_json(event.model_dump_json(exclude_none=True)))

    def warning(self, text: str) -> None:
        """Print an object of the kind `note`."""
        self.printer.print(json.dumps({"kind": "note", "at": time.time(), "note": text}))

    def progress(self, name: str, run: RunView) -> None:
        """Print an object of the kind `progress`."""
        values = {"kind": "progress", "at": time.time(), "run": name, **run.progress, "eta_s": run.eta_s}
        self.printer.print(json.dumps(values))

    def pending(self, name: str, run: RunView) -> None:
        """Print an object of the kind `pending`."""
        values = {"run": name, "job_id": run.job_id, "reason": run.pending_reason, "expected_start": run.expected_start}
        self.printer.print(ascii_json(json.dumps({"kind": "pending", "at": time.time(), **values})))

    def summary(self, summary: Mapping[str, Any], folder: Path) -> None:
        """Print an object of the kind `summary`."""
        self.printer.print(json.dumps({"kind": "summary", "at": time.time(), "folder": str(folder), **summary}))


def make_reporter(*, as_json: bool) -> LineReporter:
    """Return the reporter for standard output: JSON, live on a terminal, or plain lines."""
    if as_json:
        return JsonReporter(BackgroundPrinter())
    is_live = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return (LiveReporter if is_live else LineReporter)(BackgroundPrinter())


def live_lines(snapshot: Snapshot, width: int) -> list[str]:
    """Return the session in a few lines of at most `width` cells: one per running run, then the count of each state."""
    alive = {name: run for name, run in snapshot.runs.items() if run.state in ALIVE - {RunState.PENDING}}
    shown = [(_short(name, width // 4), run) for name, run in list(alive.items())[:MAX_LIVE_RUNS]]
    longest = max((len(name) for name, _ in shown), default=0)
    lines: list[str] = []
    for bar, brief in LAYOUTS:
        lines = [f"{name:<{longest}}  {_live_text(run, bar, brief)}" for name, run in shown]
        if all(len(line) <= width for line in lines):
            break
    more = f"; {len(alive) - MAX_LIVE_RUNS} more are running" if len(alive) > MAX_LIVE_RUNS else ""
    elapsed = duration(snapshot.taken_at - snapshot.started) if snapshot.started else ""
    states = state_counts(run.state for run in snapshot.runs.values())
    lines.append(f"{elapsed}  {states}{more}")
    return [line[:width] for line in lines]


def _short(name: str, width: int) -> str:
    """Return beginning and end of a name: the runs of a sweep differ at the end."""
    kept = max(2, width - 2)
    return name if len(name) <= width else f"{name[: kept - kept // 2]}..{name[-(kept // 2) :]}"


def _live_text(run: RunView, bar: int, brief: bool) -> str:
    place = f"{run.node} " if run.node else ""
    slot = "CPU  " if run.gpu is None else f"GPU {run.gpu}"
    device = f"{place}{slot}" if run.launcher == LOCAL else run.node or "job"
    epoch, epochs = run.progress.get("epoch"), run.progress.get("epochs")
    filled = round(bar * min(1.0, epoch / epochs)) if epoch is not None and epochs else 0
    drawn = f" [{'#' * filled}{'.' * (bar - filled)}]" if bar else ""
    state = "stalled" if run.stalled else "" if run.state is RunState.RUNNING else run.state
    return "  ".join(filter(None, (device + drawn, state, progress_text(run, brief=brief))))


def progress_text(run: RunView, *, brief: bool = False) -> str:
    """Return `epoch 12/2000, train_loss 0.123, val_loss 0.234, 1:02:03 to go`.

    A run that reports no losses is no training: `progress 2/3`. If brief, `val_loss` is the only loss.
    """
    values = dict(run.progress)
    epoch, epochs = values.pop("epoch", None), values.pop("epochs", None)
    unit = "epoch" if values else "progress"
    parts = [f"{unit} {epoch}" + (f"/{epochs}" if epochs is not None else "")] if epoch is not None else []
    parts += [f"{key} {value:.6g}" for key, value in values.items() if key == "val_loss" or not brief]
    parts += [f"{duration(run.eta_s)} to go"] if run.eta_s is not None else []
    return ", ".join(parts)
