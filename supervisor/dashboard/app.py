"""Textual app of the dashboard: layout, display of snapshots, and one action per key."""

from __future__ import annotations

import asyncio
import os
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.filter import LineFilter
from textual.widgets import Input

from ..logs.metric_history import MetricHistories
from ..session.snapshot import Snapshot
from .bindings import app_bindings, details_help, main_help
from .config import DashboardConfig
from .data.current_session import CurrentSession
from .data.session_source import EngineUnreachable, SessionSource, watch_snapshots
from .loss_control import LossControl
from .preferences import Preferences
from .rendering.control_filter import ControlFilter
from .rendering.format import plain_text
from .run_control import RunControl
from .screens.confirm import Confirmation, ConfirmScreen
from .screens.help import HelpScreen
from .screens.run_details import RunContext, RunDetailsScreen
from .terminal import TerminalStatus, copy_through_tmux, ended_runs_message, stopped_runs_message
from .widgets.filter_input import FilterInput
from .widgets.key_bar import KeyBar
from .widgets.line_view import LineView
from .widgets.panes import Panes
from .widgets.runs_table import RunsTable

DETACHED = "Detached; the runs continue. `pmssm-supervise attach` opens the dashboard again."
FINISHED = "The session has finished. `pmssm-supervise status` shows the results."


class Dashboard(App[str]):
    """The dashboard. Its result is a message to print after it has closed.

    Args:
        source: Gives snapshots and takes commands.
        clock: Returns the current time, unix seconds.
        settings: The user's settings.
        read_only: Reject every command.
    """

    CSS_PATH = Path(__file__).with_name("dashboard.tcss")
    BINDINGS: ClassVar[list[BindingType]] = app_bindings()
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
        elif stopped := stopped_runs_message(previous, snapshot):
            self.show_message(stopped)

    @on(RunsTable.Selected)
    def _on_selected(self) -> None:
        self.panes.show_selected()
        self.losses.draw()
        self.losses.read_now()

    def _run_context(self) -> RunContext | None:
        """Return the selected run and its data."""
        name, snapshot = self.panes.runs.selected or "", self._session.snapshot
        run = self._session.run(name)
        if snapshot is None or run is None:
            return None
        return RunContext(name, run, self._session.run_plan(name), snapshot, self.panes.resources.runs)

    # Services for the controls

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the runs that a key applies to: the marked ones or the selected one; in the details that run."""
        marked = () if isinstance(self.screen, RunDetailsScreen) else self.panes.runs.marked
        return marked or ((self.panes.runs.selected,) if self.panes.runs.selected else ())

    def show_message(self, message: str, *, bad: bool = False) -> None:
        """Show a message in place of the keys of every open screen; ignore an empty one."""
        for screen in self.screen_stack if message else ():
            for bar in screen.query(KeyBar):
                bar.show_message(plain_text(message), bad=bad)

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
            self._driver.write(sequence)

    # Actions, one per key of `bindings`

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Return whether a key of the main screen applies: not in dialogs, not while typing; j and k not in the log."""
        if action == "key":
            moves = str(parameters[0]).startswith("select(")
            consumed = isinstance(self.focused, Input) or (moves and isinstance(self.focused, LineView))
            return len(self.screen_stack) == 1 and not consumed
        return super().check_action(action, parameters)

    async def action_key(self, action: str) -> None:
        """Run the action of a key of the main screen."""
        await self.run_action(action)

    def action_select(self, step: int) -> None:
        """Select the run `step` lines further down."""
        self.panes.runs.action_move(step)

    def action_details(self) -> None:
        """Open the details of the selected run."""
        keymap = self.preferences.keymap
        self.push_screen(RunDetailsScreen(self._run_context, self._clock, keymap, read_only=self._read_only))

    def action_start(self) -> None:
        """Start the selected or marked runs."""
        self.run_control.start()

    def action_stop(self) -> None:
        """Stop the selected or marked runs."""
        self.run_control.stop()

    def action_kill(self) -> None:
        """Kill the selected or marked runs."""
        self.run_control.kill()

    def action_restart(self) -> None:
        """Restart the selected or marked runs from their checkpoints."""
        self.run_control.restart()

    def action_fresh(self) -> None:
        """Restart the selected or marked runs from scratch."""
        self.run_control.restart_fresh()

    def action_end(self) -> None:
        """End the session."""
        self.run_control.end_session()

    def action_mark(self) -> None:
        """Mark or unmark the selected run."""
        self.panes.runs.toggle_mark()

    def action_mark_all(self) -> None:
        """Mark all listed runs, or clear all marks."""
        marked = self.panes.runs.toggle_all_marks()
        self.show_message(f"{marked} runs marked; s x X r R apply to them" if marked else "no run is marked")

    def action_order(self) -> None:
        """Sort the runs by the next criterion."""
        self.show_message(f"runs sorted by: {self.panes.runs.cycle_order()}")

    def action_filter(self) -> None:
        """Open the filter of the runs."""
        self.panes.filter.open()

    @on(FilterInput.Changed)
    def _on_filter(self, event: FilterInput.Changed) -> None:
        if event.input is self.panes.filter:
            self.panes.runs.filter(event.value)

    def action_copy(self) -> None:
        """Copy the text selected with the mouse, or the log lines in view."""
        selected = self.screen.get_selected_text()
        text = selected or "\n".join(self.panes.log.lines.lines_in_view())
        if not text:
            self.show_message("nothing to copy: the log is empty")
            return
        self.copy_to_clipboard(text)
        self.show_message(f"copied {'the selection' if selected else 'the log lines in view'} ({len(text)} characters)")

    def action_copy_command(self) -> None:
        """Copy the command line of the selected run."""
        run_plan = self._session.run_plan(self.panes.runs.selected or "")
        if run_plan is not None:
            self.copy_to_clipboard(shlex.join(run_plan.command))
            self.show_message("copied the command line")

    def action_search(self) -> None:
        """Open the search line of the log."""
        self.panes.log.open_search()

    def action_find(self, direction: int) -> None:
        """Go to the next match of the search."""
        self.show_message(self.panes.log.find_next(direction))

    def action_find_error(self, direction: int) -> None:
        """Go to the next error in the log."""
        self.show_message(self.panes.log.find_error(direction))

    def action_follow(self) -> None:
        """Follow the log, or pause."""
        self.panes.log.lines.toggle_follow()

    def action_wrap(self) -> None:
        """Wrap long lines, or cut them off."""
        wraps = self.panes.log.lines.toggle_wrap()
        self.show_message("long lines are wrapped" if wraps else "long lines are cut off; ← → scroll")

    def action_length(self) -> None:
        """Show more or less of each log line."""
        described = {"short": "time and text", "bare": "text alone", "whole": "whole log lines"}
        self.show_message(f"log shows: {described[self.panes.log.lines.cycle_length()]}")

    def action_merge(self) -> None:
        """Show all logs as one, or the log of the selected run."""
        self.panes.log.merged = not self.panes.log.merged
        self.panes.show_selected()

    def action_compare(self) -> None:
        """Show the next comparison of losses."""
        self.show_message(self.losses.next_comparison())

    def action_metric(self) -> None:
        """Compare training or validation losses."""
        self.show_message(self.losses.next_metric())

    def action_axis(self) -> None:
        """Switch between linear and logarithmic axis."""
        self.show_message(self.losses.toggle_axis())

    def action_zoom_epochs(self, steps: int) -> None:
        """Show fewer epochs or more."""
        self.show_message(self.losses.zoom_epochs(steps))

    def action_zoom(self) -> None:
        """Zoom the log, then the loss, then none; the focused pane comes first."""
        self.show_message(self.panes.zoom(self.screen))

    def action_theme(self) -> None:
        """Switch to the next theme."""
        self.show_message(self.preferences.next_theme())

    def action_help(self) -> None:
        """Show the keys of the current screen."""
        focused = self.focused.id if self.focused is not None else None
        groups = details_help() if isinstance(self.screen, RunDetailsScreen) else main_help(focused)
        self.push_screen(HelpScreen(groups, self.preferences.keymap))

    def action_palette(self) -> None:
        """Search all commands in a list."""
        self.search_commands(self.preferences.palette_commands(self.run_action), placeholder="search for a command…")

    def action_detach(self) -> None:
        """Leave the dashboard; the runs continue."""
        snapshot = self._session.snapshot
        self.exit(FINISHED if snapshot is not None and snapshot.state == "finished" else DETACHED)

    async def action_quit(self) -> None:
        """Leave like `q`; Textual binds Ctrl+Q to this action."""
        self.action_detach()

    def action_help_quit(self) -> None:
        """Show how to leave; Textual binds Ctrl+C to this action."""
        self.show_message("q leaves, the runs continue; Q ends the session")
