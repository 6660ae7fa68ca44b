"""How a session in the foreground tells of itself: a live display, plain lines, or JSON lines."""

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
from pathlib import Path
from typing import Any

from ..formatting import duration, state_counts
from ..session.events import Event
from ..session.session_log import LogLevel, log_line
from ..session.snapshot import RunView, Snapshot
from ..session.state import ALIVE, RunState
from ..session.summary import page_lines, results_table, runs_table

MAX_LIVE = 8  # runs of which the live display has a line
SHAPES = ((16, False), (8, False), (0, False), (0, True))  # cells of a live line's bar, and whether it is brief


class BackgroundPrinter:
    """Prints from a thread of its own: a reader that pauses, as `less` does, must not hold up the session.

    A block of live lines stays below what is printed, and is replaced by the next one.
    """

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[tuple[str | None, list[str] | None] | None] = queue.SimpleQueue()
        self._block: list[str] = []
        self._thread = threading.Thread(target=self._work, name="printer", daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """Prints a text for good."""
        self._orders.put((text, None))

    def show(self, block: Sequence[str]) -> None:
        """Shows lines below everything else until the next call."""
        self._orders.put((None, list(block)))

    def finish(self) -> None:
        """Returns once all has been printed."""
        self._orders.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            text, block = order
            if text is None and block == self._block:
                continue
            up = f"\x1b[{len(self._block)}F\x1b[J" if self._block else ""
            self._block = self._block if block is None else block
            lines = ([] if text is None else [text]) + self._block
            with contextlib.suppress(OSError):  # nobody reads any more; the runs go on all the same
                sys.stdout.write(up + "".join(f"{line}\n" for line in lines))
                sys.stdout.flush()


class LineReporter:
    """Plain lines: every decision, and at most one line a minute on the progress of each run."""

    interval_s = 60.0  # between two lines on a run's progress

    def __init__(self, printer: BackgroundPrinter) -> None:
        self.printer = printer
        self._told: dict[str, tuple[float, Mapping[str, float]]] = {}  # when a run's progress was told, and what

    def line(self, text: str, level: LogLevel) -> None:
        """Tells a line of the session's log."""
        self.printer.say(log_line("supervisor", text, level))

    def note(self, text: str) -> None:
        """Tells what keeps the session from going on, or cannot be known."""
        self.line(text, "warning")

    def event(self, event: Event) -> None:
        """Tells of an event; its lines say it already."""

    def picture(self, snapshot: Snapshot) -> None:
        """Tells what is new in a picture of the session."""
        now = time.monotonic()
        for name, run in snapshot.runs.items():
            told_at, told = self._told.get(name, (-self.interval_s, {}))
            is_new = "epoch" in run.progress and run.progress != told
            if run.state is RunState.RUNNING and is_new and now - told_at >= self.interval_s:
                self._told[name] = now, run.progress
                self.progress(name, run)

    def progress(self, name: str, run: RunView) -> None:
        """Tells how far a run is."""
        self.line(f"{name}: {progress_text(run)}", "info")

    def end(self, summary: Mapping[str, Any], folder: Path) -> None:
        """Tells what became of the session."""
        lines = ["", *runs_table(summary), "", *results_table(summary), "", f"files: {folder}"]
        self.printer.say("\n".join([*lines, *page_lines(summary, folder)]))


class LiveReporter(LineReporter):
    """A compact display of what runs, below the lines of the session's log."""

    def picture(self, snapshot: Snapshot) -> None:
        self.printer.show(live_lines(snapshot, shutil.get_terminal_size().columns - 1))

    def end(self, summary: Mapping[str, Any], folder: Path) -> None:
        self.printer.show(())
        super().end(summary, folder)


class JsonReporter(LineReporter):
    """One JSON object a line: the journal's events as they happen, progress, and the summary at the end."""

    interval_s = 1.0

    def line(self, text: str, level: LogLevel) -> None:
        """Says nothing: the events say it already."""

    def event(self, event: Event) -> None:
        self.printer.say(event.model_dump_json(exclude_none=True))

    def note(self, text: str) -> None:
        self.printer.say(json.dumps({"kind": "note", "at": time.time(), "note": text}))

    def progress(self, name: str, run: RunView) -> None:
        told = {"kind": "progress", "at": time.time(), "run": name, **run.progress, "eta_s": run.eta_s}
        self.printer.say(json.dumps(told))

    def end(self, summary: Mapping[str, Any], folder: Path) -> None:
        self.printer.say(json.dumps({"kind": "summary", "at": time.time(), "folder": str(folder), **summary}))


def make_reporter(*, as_json: bool) -> LineReporter:
    """The voice for standard output."""
    if as_json:
        return JsonReporter(BackgroundPrinter())
    is_live = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    return (LiveReporter if is_live else LineReporter)(BackgroundPrinter())


def live_lines(snapshot: Snapshot, width: int) -> list[str]:
    """The session in a few lines of at most `width` cells: one a living run, then how many are in which state."""
    alive = {name: run for name, run in snapshot.runs.items() if run.state in ALIVE}
    shown = [(_short(name, width // 4), run) for name, run in list(alive.items())[:MAX_LIVE]]
    longest = max((len(name) for name, _ in shown), default=0)
    lines: list[str] = []
    for bar, brief in SHAPES:
        lines = [f"{name:<{longest}}  {_live_text(run, bar, brief)}" for name, run in shown]
        if all(len(line) <= width for line in lines):
            break
    more = f"; {len(alive) - MAX_LIVE} more are running" if len(alive) > MAX_LIVE else ""
    elapsed = duration(snapshot.taken_at - snapshot.started) if snapshot.started else ""
    states = state_counts(run.state for run in snapshot.runs.values())
    lines.append(f"{elapsed}  {states}{more}")
    return [line[:width] for line in lines]


def _short(name: str, width: int) -> str:
    """The name by its beginning and its end: of a sweep's runs the end is what tells them apart."""
    kept = max(2, width - 2)
    return name if len(name) <= width else f"{name[: kept - kept // 2]}..{name[-(kept // 2) :]}"


def _live_text(run: RunView, bar: int, brief: bool) -> str:
    place = "CPU  " if run.gpu is None else f"GPU {run.gpu}"
    epoch, epochs = run.progress.get("epoch"), run.progress.get("epochs")
    filled = round(bar * min(1.0, epoch / epochs)) if epoch is not None and epochs else 0
    drawn = f" [{'#' * filled}{'.' * (bar - filled)}]" if bar else ""
    state = "stalled" if run.stalled else "" if run.state is RunState.RUNNING else run.state
    return "  ".join(filter(None, (place + drawn, state, progress_text(run, brief=brief))))


def progress_text(run: RunView, *, brief: bool = False) -> str:
    """`epoch 12/2000, train_loss 0.123, val_loss 0.234, 1:02:03 to go`; of the values, `val_loss` alone if brief."""
    values = dict(run.progress)
    epoch, epochs = values.pop("epoch", None), values.pop("epochs", None)
    parts = [f"epoch {epoch}" + (f"/{epochs}" if epochs is not None else "")] if epoch is not None else []
    parts += [f"{key} {value:.6g}" for key, value in values.items() if key == "val_loss" or not brief]
    parts += [f"{duration(run.eta_s)} to go"] if run.eta_s is not None else []
    return ", ".join(parts)
