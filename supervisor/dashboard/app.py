"""The dashboard: it shows what the engine says, and passes on what the user wants."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widget import Widget

from ..plan.errors import PlanError
from ..plan.loader import load_plan
from ..plan.schema import Plan
from ..session.snapshot import RunView, Snapshot
from ..session.state import ALIVE, ENDED, RunState
from .bindings import bindings
from .config import DashboardConfig
from .data.resource_history import ResourceHistory
from .data.session_source import EngineUnreachable, SessionSource, watch_snapshots
from .preferences import PreferencesMixin
from .screens.run_details import RunContext, RunDetailsScreen
from .widgets.filter_input import FilterInput
from .widgets.gpu_table import GpuTable
from .widgets.log_panel import LogPanel
from .widgets.run_summary import RunSummary
from .widgets.runs_table import RunsTable
from .widgets.session_header import SessionHeader

DETACHED = "Detached; the runs go on. pmssm-supervise attach brings this screen back."
FINISHED = "The session has finished. pmssm-supervise status shows how it went."


class Dashboard(PreferencesMixin):
    """The whole screen. Its result is what to tell the user after it has gone."""

    CSS_PATH = Path(__file__).with_name("dashboard.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings()
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
        super().__init__(source, settings or DashboardConfig())
        self.read_only = self.key_bar.read_only = read_only
        self.animation_level = "none"
        self._again = asyncio.Event()  # contact the engine now
        self.session = SessionHeader(clock)
        self.filter = FilterInput()
        self._clock = clock
        self.resources = ResourceHistory()
        self.detail = RunSummary(clock)
        self.gpus = GpuTable(clock, self.resources.gpus)
        self.log_view = LogPanel()

    def compose(self) -> ComposeResult:
        yield self.session
        yield self.runs
        yield self.filter
        yield self.detail
        with Horizontal(id="middle"):
            yield self.gpus
            yield self.curve
        yield self.log_view
        yield self.key_bar

    def on_mount(self) -> None:
        self.runs.focus()
        self.set_interval(1.0, self._tell_time)
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        """Starts all that may take time, once the first picture is on the screen."""
        self._watch_engine()
        self.watch_histories()

    def _tell_time(self) -> None:
        """Draws all clocks at once: each repaint of the screen has its price."""
        for pane in (self.session, self.detail, self.gpus):
            pane.draw()

    # What the engine says

    @work(group="engine")
    async def _watch_engine(self) -> None:
        was_gone = False
        async for picture in watch_snapshots(self._source, self._again):
            if isinstance(picture, EngineUnreachable):
                self.session.show(self.snapshot, picture.reason)
                self.set_class(True, "stale")
                was_gone = self.snapshot is not None
            else:
                await self._show(picture)
                if was_gone and picture.engine_pid is not None:
                    self.say("the engine is back; this picture is fresh again")
                was_gone = False

    async def _show(self, snapshot: Snapshot) -> None:
        if self.snapshot is None or self.snapshot.folder != snapshot.folder:
            self.plan = await asyncio.to_thread(_plan_of, snapshot)
        before, self.snapshot = self.snapshot, snapshot
        self.take_back_question()
        self.tell_terminal(before, snapshot)
        self.set_class(False, "stale")
        self.session.show(snapshot, None)
        self.runs.show(snapshot.runs, first_choice(snapshot, self.plan))
        self.resources.look(snapshot)
        self.gpus.show(snapshot)
        self._show_selected()

    def _show_selected(self) -> None:
        name, run = self._selected()
        if run is not None:
            self.detail.show(name, run, self.planned(name), self.snapshot.runs if self.snapshot else {})
            self.log_view.open(name, run.log, self._all_logs())

    def _all_logs(self) -> dict[str, Path]:
        """The session's log and those of the runs."""
        if self.snapshot is None:
            return {}
        session = Path(self.snapshot.logs) / f"training_{self.snapshot.session}.log"
        return {"supervisor": session, **{name: Path(run.log) for name, run in self.snapshot.runs.items() if run.log}}

    @on(RunsTable.Selected)
    def _on_selected(self) -> None:
        self._show_selected()
        self.show_curve()
        self.look_at_logs()

    def _selected(self) -> tuple[str, RunView | None]:
        name = self.runs.selected
        if self.snapshot is None or name is None:
            return "", None
        return name, self.snapshot.runs.get(name)

    # What the user wants

    def look_again(self) -> None:
        """Asks the engine for a new picture now."""
        self._again.set()

    def action_select(self, step: int) -> None:
        self.runs.action_move(step)

    def action_details(self) -> None:
        self.push_screen(RunDetailsScreen(self._subject, self._clock, self.settings.keys, read_only=self.read_only))

    def _subject(self) -> RunContext | None:
        """The selected run with all that is known about it."""
        name, run = self._selected()
        if self.snapshot is None or run is None:
            return None
        return RunContext(name, run, self.planned(name), self.snapshot, self.resources.runs)

    def action_mark(self) -> None:
        self.runs.toggle_mark()

    def action_mark_all(self) -> None:
        marked = self.runs.toggle_marks()
        self.say(f"{marked} runs marked; s x X r R act on them" if marked else "no run is marked")

    def action_order(self) -> None:
        self.say(f"runs in the order of: {self.runs.cycle_order()}")

    def action_filter(self) -> None:
        self.filter.open()

    @on(FilterInput.Changed)
    def _on_filter(self, event: FilterInput.Changed) -> None:
        if event.input is self.filter:
            self.runs.filter(event.value)

    def action_copy(self) -> None:
        """Copies what is marked with the mouse, or the lines of the log in view."""
        marked = self.screen.get_selected_text()
        text = marked or "\n".join(self.log_view.lines.lines_in_view())
        if not text:
            self.say("nothing to copy yet: the log has no lines")
            return
        self.copy_to_clipboard(text)
        self.say(f"copied {'what is marked' if marked else 'the log lines in view'} ({len(text)} characters)")

    def action_copy_command(self) -> None:
        planned = self.planned(self.runs.selected or "")
        if planned is not None:
            self.copy_to_clipboard(shlex.join(planned.command))
            self.say("copied the command line")

    def copy_to_clipboard(self, text: str) -> None:
        """Puts a text into the clipboard of the terminal, through tmux where there is one."""
        super().copy_to_clipboard(text)  # OSC 52, which tmux obeys only if it was told to
        if os.environ.get("TMUX"):
            self._tell_tmux(text)

    @work(group="tmux")
    async def _tell_tmux(self, text: str) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            tmux = await asyncio.create_subprocess_exec("tmux", "load-buffer", "-w", "-", stdin=asyncio.subprocess.PIPE)
            await asyncio.wait_for(tmux.communicate(text.encode("utf-8", "replace")), 5)

    def action_search(self) -> None:
        self.log_view.ask()

    def action_find(self, direction: int) -> None:
        trouble = self.log_view.find_next(direction)
        if trouble:
            self.say(trouble)

    def action_find_error(self, direction: int) -> None:
        trouble = self.log_view.find_error(direction)
        if trouble:
            self.say(trouble)

    def action_follow(self) -> None:
        """Follows the log or pauses; the log's title tells which."""
        lines = self.log_view.lines
        if lines.follows:
            lines.pause()
        else:
            lines.follow()

    def action_wrap(self) -> None:
        self.say("long lines are wrapped" if self.log_view.lines.toggle_wrap() else "long lines are cut; ← → scroll")

    def action_length(self) -> None:
        told = {"short": "time and text", "bare": "text alone", "whole": "whole log lines"}
        self.say(told[self.log_view.lines.cycle_length()])

    def action_merge(self) -> None:
        """All logs as one, or the selected run's again."""
        self.log_view.merged = not self.log_view.merged
        self._show_selected()

    def action_zoom(self) -> None:
        """Log, curve, back; a focused pane comes first."""
        zoomable: tuple[Widget, ...] = (self.log_view, self.curve, self.gpus)
        zoomed = next((pane for pane in zoomable if self.screen.has_class(f"zoom-{pane.id}")), None)
        focused = next((pane for pane in zoomable if pane.has_focus_within), self.log_view)
        pane = focused if zoomed is None else self.curve if zoomed is self.log_view else None
        for other in zoomable:
            self.screen.set_class(other is pane, f"zoom-{other.id}")
        self.screen.set_class(pane is not None, "zoomed")
        self.say("all panes again" if pane is None else f"zoomed: {pane.id}; z goes on")

    def action_detach(self) -> None:
        finished = self.snapshot is not None and self.snapshot.state == "finished"
        self.exit(FINISHED if finished else DETACHED)

    async def action_quit(self) -> None:
        """Ctrl+Q leaves like q."""
        self.action_detach()

    def action_help_quit(self) -> None:
        """Ctrl+C, which Textual does not take for leaving."""
        self.say("q leaves this screen and lets the runs go on; Q ends the session")


def first_choice(snapshot: Snapshot, plan: Plan | None) -> str | None:
    """The run to look at first: a training that runs, one that failed, or one that is still to come."""
    states = {name: run.state for name, run in snapshot.runs.items()}
    planned = {name: plan.runs.get(name) if plan is not None else None for name in states}
    trainings = [name for name, run in planned.items() if run is None or run.takes_slot or run.has_metrics]
    alive = [name for name in trainings if states[name] in ALIVE]
    failed = [name for name in states if states[name] in (RunState.FAILED, RunState.LOST)]
    to_come = [name for name in trainings if states[name] not in ENDED]
    return next(iter(alive or failed or to_come or states), None)


def _plan_of(snapshot: Snapshot) -> Plan | None:
    """The session's plan; None where it can't be read: then command lines and curves are missing."""
    try:
        return load_plan(Path(snapshot.folder) / "plan.toml")
    except PlanError:
        return None
