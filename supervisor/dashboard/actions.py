"""Actions of the dashboard: one method per key of `bindings`."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from textual import on
from textual.app import App
from textual.widgets import Input

from .bindings import details_help, main_help
from .data.current_session import CurrentSession
from .loss_control import LossControl
from .preferences import Preferences
from .rendering.format import plain_text
from .run_control import RunControl
from .screens.help import HelpScreen
from .screens.run_details import RunContext, RunDetailsScreen
from .widgets.filter_input import FilterInput
from .widgets.key_bar import KeyBar
from .widgets.line_view import LineView
from .widgets.panes import Panes

DETACHED = "Detached; the runs continue. `pmssm-supervise attach` opens the dashboard again."
FINISHED = "The session has finished. `pmssm-supervise status` shows the results."


class DashboardActions(App[str]):
    """The part of the app that the keys call; `Dashboard` sets the attributes.

    Attributes:
        panes: Panes of the main screen.
        losses: Control of the loss plot.
        run_control: Control of the runs.
        preferences: The user's settings at work.
    """

    panes: Panes
    losses: LossControl
    run_control: RunControl
    preferences: Preferences
    _session: CurrentSession
    _clock: Callable[[], float]
    _read_only: bool

    def show_message(self, message: str, *, bad: bool = False) -> None:
        """Show a message in place of the keys of every open screen; ignore an empty one."""
        for screen in self.screen_stack if message else ():
            for bar in screen.query(KeyBar):
                bar.show_message(plain_text(message), bad=bad)

    def _run_context(self) -> RunContext | None:
        """Return the selected run and its data."""
        name, snapshot = self.panes.runs.selected or "", self._session.snapshot
        run = self._session.run(name)
        if snapshot is None or run is None:
            return None
        return RunContext(name, run, self._session.run_plan(name), snapshot, self.panes.resources.runs)

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

    def action_rounds(self) -> None:
        """List all rounds of the selected run, or fold them to one line."""
        self.show_message(self.panes.runs.toggle_rounds())

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
