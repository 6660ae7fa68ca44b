"""Textual app of the dashboard: layout, display of snapshots, services for the controls."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.filter import LineFilter

from ..logs.metric_history import MetricHistories
from ..session.snapshot import Snapshot
from .actions import DashboardActions
from .bindings import app_bindings
from .config import DashboardConfig
from .data.current_session import CurrentSession
from .data.session_source import EngineUnreachable, SessionSource, watch_snapshots
from .loss_control import LossControl
from .preferences import Preferences
from .rendering.ascii_filter import to_ascii
from .rendering.control_filter import ControlFilter
from .run_control import RunControl
from .screens.confirm import Confirmation, ConfirmScreen
from .screens.run_details import RunDetailsScreen
from .terminal import TerminalStatus, copy_through_tmux, ended_runs_message, stopped_runs_message
from .widgets.panes import Panes
from .widgets.runs_table import RunsTable


class Dashboard(DashboardActions):
    """The dashboard. Its result is a message to print after it has closed.

    Args:
        source: Gives snapshots and takes commands.
        clock: Returns the current time, unix seconds.
        settings: The user's settings.
        read_only: Reject every command.
    """

    CSS_PATH = Path(__file__).with_name("dashboard.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        *app_bindings(),
        Binding("ctrl+z", "suspend_process", show=False, priority=True),  # also in dialogs and while typing
    ]
    ENABLE_COMMAND_PALETTE = False
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012 - Textual declares it

    def __init__(
        self,
        source: SessionSource,
        clock: Callable[[], float] = time.time,
        settings: DashboardConfig | None = None,
        *,
        read_only: bool = False,
    ) -> None:
        # With NO_COLOR, only the terminal's own two colours; Textual would still draw greys.
        super().__init__(ansi_color=True if os.environ.get("NO_COLOR") else None)
        self.animation_level = "none"
        self._source = source
        self._clock = clock
        self._read_only = read_only
        self._reconnect = asyncio.Event()  # contact the engine now
        self._session = CurrentSession()
        self._terminal = TerminalStatus(self._write_to_terminal)
        histories = MetricHistories()
        self.panes = Panes(self._session, clock, histories.get)
        self.losses = LossControl(self._session, histories, self.panes.runs, self.panes.plot)
        self.run_control = RunControl(self, self._session, source, read_only=read_only)
        self.preferences = Preferences(self, settings or DashboardConfig())
        self.preferences.apply()
        self.panes.key_bar.remapped, self.panes.key_bar.read_only = self.preferences.keymap, read_only

    def compose(self) -> ComposeResult:
        """Yield the panes from top to bottom."""
        yield from self.panes.compose()

    def on_mount(self) -> None:
        """Focus the runs, and connect to the engine once the empty screen is drawn."""
        self.panes.runs.focus()
        self.set_interval(1.0, self.panes.draw_times)
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))  # after Ctrl+Z and `fg`
        self.call_after_refresh(self._start_workers)

    def on_unmount(self) -> None:
        """Restore the terminal's title."""
        self._terminal.restore_title()

    def _start_workers(self) -> None:
        self._watch_engine()
        self.run_worker(self.losses.watch(), group="histories")

    # Snapshots

    @work(group="engine")
    async def _watch_engine(self) -> None:
        was_unreachable = False
        async for update in watch_snapshots(self._source, self._reconnect):
            if isinstance(update, EngineUnreachable):
                self.panes.show_unreachable(update.reason)
                self.set_class(True, "stale")
                was_unreachable = self._session.snapshot is not None
            else:
                await self._show(update)
                if was_unreachable and update.engine_pid is not None:
                    self.show_message("reconnected to the engine")
                was_unreachable = False

    async def _show(self, snapshot: Snapshot) -> None:
        previous = await self._session.update(snapshot)
        self.run_control.withdraw_outdated_confirmation()
        self._announce_changes(previous, snapshot)
        self.set_class(False, "stale")
        self.panes.show_session()

    def _announce_changes(self, previous: Snapshot | None, snapshot: Snapshot) -> None:
        self._terminal.show_progress(snapshot)
        if ended := ended_runs_message(previous, snapshot):
            self.show_message(ended, bad="failed" in ended or "lost" in ended)
            if self.preferences.notify:
                self._terminal.notify(ended)
        elif stopped := stopped_runs_message(previous, snapshot, self._session.plan):
            self.show_message(stopped)

    @on(RunsTable.Selected)
    def _on_selected(self) -> None:
        self.panes.show_selected()
        self.losses.draw()
        self.losses.read_now()

    # Services for the controls

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the runs that a key applies to: the marked ones or the selected one; in the details that run."""
        marked = () if isinstance(self.screen, RunDetailsScreen) else self.panes.runs.marked
        return marked or ((self.panes.runs.selected,) if self.panes.runs.selected else ())

    def open_confirmation(self, confirmation: Confirmation, on_answer: Callable[[bool | None], None]) -> None:
        """Open a confirmation; `on_answer` gets the answer, None if it was withdrawn."""
        self.push_screen(ConfirmScreen(confirmation), on_answer)

    def withdraw_confirmation(self) -> None:
        """Close the open confirmation, if any."""
        if isinstance(self.screen, ConfirmScreen):
            self.screen.dismiss(None)

    def refresh_now(self) -> None:
        """Contact the engine now."""
        self._reconnect.set()

    def copy_to_clipboard(self, text: str) -> None:
        """Copy a text to the clipboard of the terminal, and through tmux if that is in between."""
        super().copy_to_clipboard(text)
        self.run_worker(copy_through_tmux(text), group="tmux")

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return the filters of every drawn line."""
        return [*super().get_line_filters(), *self.preferences.line_filters, ControlFilter()]

    def _write_to_terminal(self, sequence: str) -> None:
        if self._driver is not None and not self.is_headless:
            self._driver.write(to_ascii(sequence) if self.preferences.ascii else sequence)
