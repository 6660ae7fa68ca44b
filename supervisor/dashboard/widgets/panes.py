"""Panes of the main screen: layout, display of the session, zoom."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widget import Widget

from ...logs.metric_history import MetricHistory
from ..data.current_session import CurrentSession
from ..data.resource_history import ResourceHistory
from ..data.run_order import initial_selection
from ..rendering.run_columns import unused_columns
from .filter_input import FilterInput
from .gpu_table import GpuTable
from .key_bar import KeyBar
from .log_panel import LogPanel
from .loss_plot import LossPlot
from .run_summary import RunSummary
from .runs_table import RunsTable
from .session_header import SessionHeader


class Panes:
    """All panes of the main screen.

    Args:
        session: The session that they show.
        clock: Returns the current time, unix seconds.
        history_of: Returns the losses read from a run's log, if any.

    Attributes:
        header: State of the session.
        runs: Table of runs.
        filter: Filter of the table.
        summary: State of the selected run.
        gpus: Table of GPUs.
        plot: Plot of losses.
        log: Log of the selected run, or of all runs.
        key_bar: Keys and messages.
        resources: History of the resource use.
    """

    def __init__(
        self,
        session: CurrentSession,
        clock: Callable[[], float],
        history_of: Callable[[str], MetricHistory | None],
    ) -> None:
        self._session = session
        self.resources = ResourceHistory()
        self.header = SessionHeader(clock)
        self.runs = RunsTable(history_of)
        self.filter = FilterInput()
        self.summary = RunSummary(clock)
        self.gpus = GpuTable(clock, self.resources.gpus)
        self.plot = LossPlot()
        self.log = LogPanel()
        self.key_bar = KeyBar()

    def compose(self) -> ComposeResult:
        """Yield the panes from top to bottom."""
        yield self.header
        yield self.runs
        yield self.filter
        yield self.summary
        with Horizontal(id="middle"):
            yield self.gpus
            yield self.plot
        yield self.log
        yield self.key_bar

    def draw_times(self) -> None:
        """Update all times at once, because each repaint of the screen costs time."""
        for pane in (self.header, self.summary, self.gpus):
            pane.draw()

    def show_unreachable(self, reason: str) -> None:
        """Show why the engine does not answer."""
        self.header.show(self._session.snapshot, reason)

    def show_session(self) -> None:
        """Show the newest snapshot in all panes."""
        snapshot = self._session.snapshot
        if snapshot is None:
            return
        self.header.show(snapshot, None)
        plan = self._session.plan
        self.runs.show(snapshot.runs, initial_selection(snapshot, plan), unused_columns(plan, snapshot.runs),
                       self._session.lines)  # fmt: skip
        self.resources.add_snapshot(snapshot)
        self.gpus.show(snapshot)
        self.show_selected()

    def show_selected(self) -> None:
        """Show state and log of the selected run."""
        name, snapshot = self.runs.selected or "", self._session.snapshot
        run = self._session.run(name)
        if snapshot is not None and run is not None:
            self.summary.show(name, run, self._session.run_plan(name), snapshot.runs)
            self.log.open(name, run.log, self._session.logs(), run.node)

    def zoom(self, screen: Screen[object]) -> str:
        """Zoom the focused pane or the log, then the loss, then none, and return a message about it.

        Args:
            screen: The screen with the panes; its classes select the zoomed pane in the style sheet.
        """
        zoomable: tuple[Widget, ...] = (self.log, self.plot, self.gpus)
        zoomed = next((pane for pane in zoomable if screen.has_class(f"zoom-{pane.id}")), None)
        focused = next((pane for pane in zoomable if pane.has_focus_within), self.log)
        pane = focused if zoomed is None else self.plot if zoomed is self.log else None
        for other in zoomable:
            screen.set_class(other is pane, f"zoom-{other.id}")
        screen.set_class(pane is not None, "zoomed")
        return "all panes" if pane is None else f"zoomed: {pane.id}; z continues"
