"""Loss curves: reads losses from the logs and chooses the curves of the plot."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path

from ..logs.metric_history import MetricHistories, MetricHistory
from .data.current_session import CurrentSession
from .data.loss_comparison import (
    MAX_CURVES,
    VIEWS,
    Comparison,
    curves_of_attempts,
    curves_of_run,
    curves_of_runs,
    curves_of_sessions,
    earlier_sessions,
    main_metric,
    next_view,
)
from .widgets.loss_plot import LossPlot
from .widgets.runs_table import RunsTable

POLL_S = 1.0  # how often the logs are searched for new losses


class LossControl:
    """Keeps the losses of the runs in view up to date, and draws the selected comparison.

    Args:
        session: The session on the screen.
        histories: Losses of all runs, which the table shows as well.
        table: The runs table: which runs are selected, marked, in view.
        plot: The plot to draw in.
    """

    def __init__(self, session: CurrentSession, histories: MetricHistories, table: RunsTable, plot: LossPlot) -> None:
        self._session = session
        self._histories = histories
        self._table = table
        self._plot = plot
        self._view = VIEWS[0]
        self._metric: str | None = None  # None: the validation loss, or the only metric
        self._earlier: tuple[str, Mapping[str, MetricHistory]] = "", {}  # run; its history by session
        self._wake = asyncio.Event()  # read the logs now

    def read_now(self) -> None:
        """Read the logs now instead of at the next poll."""
        self._wake.set()

    async def watch(self) -> None:
        """Read new losses from the logs of all runs on the screen, until cancelled."""
        while True:
            self._wake.clear()
            selected = self._table.selected
            names = [selected] if selected else []
            names += self._table.visible_names if self._table.shows_history else []
            names += self._compared_runs() if self._view == "all runs" else []
            for name in dict.fromkeys(names):
                await self._read_log(name)
            if self._view == "sessions" and selected and self._earlier[0] != selected:
                await self._read_earlier_sessions(selected)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()

    async def _read_log(self, name: str) -> None:
        run_plan, run = self._session.run_plan(name), self._session.run(name)
        if run_plan is None or run is None or run_plan.progress is None or not run.log:
            return
        if await self._histories.refresh(name, Path(run.log), run_plan.progress):
            self._table.refresh_run(name)
            if name == self._table.selected or self._view == "all runs":
                self.draw()

    async def _read_earlier_sessions(self, name: str) -> None:
        run_plan, snapshot = self._session.run_plan(name), self._session.snapshot
        earlier: Mapping[str, MetricHistory] = {}
        if run_plan is not None and run_plan.progress is not None and snapshot is not None:
            earlier = await earlier_sessions(Path(snapshot.logs), snapshot.session, name, run_plan.progress)
        self._earlier = name, earlier
        self.draw()

    def _compared_runs(self) -> list[str]:
        """Return the runs in one plot: the marked ones, or the first ones that report a loss."""
        snapshot = self._session.snapshot
        names = self._table.marked or tuple(snapshot.runs if snapshot else ())
        plans = {name: self._session.run_plan(name) for name in names}
        return [name for name, run_plan in plans.items() if run_plan is not None and run_plan.has_metrics][:MAX_CURVES]

    def draw(self) -> None:
        """Draw the selected comparison with the losses read so far."""
        name = self._table.selected
        if name is not None:
            self._plot.show(self._comparison(name))

    def _comparison(self, name: str) -> Comparison:
        run_plan, history = self._session.run_plan(name), self._histories.get(name)
        metric = self._metric or main_metric(history.names if history else ())
        match self._view:
            case "all runs":
                return curves_of_runs({other: self._histories.get(other) for other in self._compared_runs()}, metric)
            case "attempts":
                return curves_of_attempts(name, history, metric)
            case "sessions":
                return curves_of_sessions(name, history, self._earlier[1] if self._earlier[0] == name else {}, metric)
        return curves_of_run(name, history, has_pattern=run_plan is not None and run_plan.progress is not None)

    def next_comparison(self) -> str:
        """Show the next comparison, and return a message about it."""
        self._view = next_view(self._view)
        self.draw()
        self.read_now()
        described = {"attempts": "earlier attempts of the run", "sessions": "the same run in earlier sessions"}
        return f"loss of: {described.get(self._view, self._view)}"

    def next_metric(self) -> str:
        """Switch comparisons between training and validation loss, and return a message about it."""
        self._metric = "train_loss" if self._metric != "train_loss" else None
        self.draw()
        return f"comparisons show the {'training' if self._metric else 'validation'} loss (c compares)"

    def toggle_axis(self) -> str:
        """Switch between linear and logarithmic axis, and return a message about it."""
        return f"{self._plot.toggle_axis()} axis"

    def zoom_epochs(self, steps: int) -> str:
        """Show fewer epochs (`steps` > 0) or more, and return a message about it."""
        fraction = self._plot.zoom_by(steps)
        return "all epochs" if fraction == 1 else f"the last {fraction:.0%} of the epochs"
