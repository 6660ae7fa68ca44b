"""The part of the dashboard that reads losses from the logs and chooses which of them are drawn."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path

from textual import work

from ..logs.metric_history import MetricHistories, MetricHistory
from ..plan.schema import RunPlan
from .data.loss_comparison import (
    MAX_CURVES,
    VIEWS,
    Comparison,
    comparable,
    curves_of_attempts,
    curves_of_run,
    curves_of_runs,
    curves_of_sessions,
    earlier_sessions,
    next_view,
)
from .data.session_source import SessionSource
from .run_control import RunControlMixin
from .widgets.loss_plot import LossPlot
from .widgets.runs_table import RunsTable

HISTORY_S = 1.0  # how often the logs are searched for new losses


class LossControlMixin(RunControlMixin):
    """Keeps the histories of the runs in view fresh, and draws what is compared."""

    def __init__(self, source: SessionSource) -> None:
        self._histories = MetricHistories()
        super().__init__(source, RunsTable(self._histories.get))
        self.curve = LossPlot()
        self._view = VIEWS[0]
        self._metric: str | None = None  # None: of validation, where there is one
        self._past: tuple[str, Mapping[str, MetricHistory]] = "", {}  # of which run, by session
        self._look = asyncio.Event()  # read the histories now

    def planned(self, name: str) -> RunPlan | None:
        """What the plan says of a run; None where that is not known."""
        return self.plan.runs.get(name) if self.plan is not None else None

    def look_at_logs(self) -> None:
        """Reads the histories now."""
        self._look.set()

    @work(group="histories")
    async def watch_histories(self) -> None:
        """Reads what is new in the logs of the runs whose losses are on the screen, for ever."""
        while True:
            self._look.clear()
            selected = self.runs.selected
            names = [selected] if selected else []
            names += self.runs.visible_names if self.runs.shows_history else []
            names += self._compared() if self._view == "all runs" else []
            for name in dict.fromkeys(names):
                await self._refresh_history(name)
            if self._view == "sessions" and selected and self._past[0] != selected:
                await self._read_past(selected)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), HISTORY_S)

    async def _refresh_history(self, name: str) -> None:
        planned, run = self.planned(name), self.snapshot.runs.get(name) if self.snapshot else None
        if planned is None or run is None or planned.progress is None or not run.log:
            return
        if await self._histories.refresh(name, Path(run.log), planned.progress):
            self.runs.refresh_run(name)
            if name == self.runs.selected or self._view == "all runs":
                self.show_curve()

    async def _read_past(self, name: str) -> None:
        planned, snapshot = self.planned(name), self.snapshot
        past: Mapping[str, MetricHistory] = {}
        if planned is not None and planned.progress is not None and snapshot is not None:
            logs = Path(snapshot.logs)
            past = await earlier_sessions(logs, snapshot.session, name, planned.progress)
        self._past = name, past
        self.show_curve()

    def _compared(self) -> list[str]:
        """The runs whose losses are drawn together: those marked, or the first that have a loss to tell."""
        names = self.runs.marked or tuple(self.snapshot.runs if self.snapshot else ())
        telling = [name for name in names if (planned := self.planned(name)) is not None and planned.has_metrics]
        return telling[:MAX_CURVES]

    def show_curve(self) -> None:
        """Draws what is compared, as far as it is known."""
        name = self.runs.selected
        if name is not None:
            self.curve.show(self._comparison(name))

    def _comparison(self, name: str) -> Comparison:
        planned, history = self.planned(name), self._histories.get(name)
        metric = self._metric or comparable(history.names if history else ())
        match self._view:
            case "all runs":
                return curves_of_runs({other: self._histories.get(other) for other in self._compared()}, metric)
            case "attempts":
                return curves_of_attempts(name, history, metric)
            case "sessions":
                return curves_of_sessions(name, history, self._past[1] if self._past[0] == name else {}, metric)
        return curves_of_run(name, history, has_pattern=planned is not None and planned.progress is not None)

    def action_compare(self) -> None:
        """Compares the next thing: all runs, attempts, sessions, none."""
        self._view = next_view(self._view)
        self.show_curve()
        self.look_at_logs()
        told = {"attempts": "what earlier attempts lost", "sessions": "the same run in earlier sessions"}
        self.say(f"loss of: {told.get(self._view, self._view)}")

    def action_metric(self) -> None:
        """Compares training losses, or validation losses."""
        self._metric = "train_loss" if self._metric != "train_loss" else None
        self.show_curve()
        self.say(f"comparisons show the {'training' if self._metric else 'validation'} loss (c compares)")

    def action_axis(self) -> None:
        self.say(f"{self.curve.toggle_axis()} axis")

    def action_zoom_epochs(self, steps: int) -> None:
        part = self.curve.zoom_by(steps)
        self.say("all epochs" if part == 1 else f"the last {part:.0%} of the epochs")
