"""The dashboard: it shows what the engine says, and passes on what the user wants."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widget import Widget

from ..plan import Plan, PlanError, RunPlan, load_plan
from ..snapshot import RunView, Snapshot
from ..state import ALIVE, ENDED, RunState
from ..wire import Command, Down, EngineGone, Restart, Start, Stop
from .confirm import Confirm, Question, about_end, about_fresh, about_kill
from .detail_line import DetailLine
from .format import plain
from .gpu_table import GpuTable
from .help import Help
from .history import Histories
from .key_bar import KeyBar
from .keys import bindings
from .log_view import LogView
from .loss_curve import LossCurve
from .runs_table import RunsTable
from .session_line import SessionLine
from .source import Gone, Source, pictures

HISTORY_S = 1.0  # how often the logs are searched for new losses
DETACHED = "Detached; the runs go on. pmssm-supervise attach brings this screen back."
FINISHED = "The session has finished. pmssm-supervise status shows how it went."


class Dashboard(App[str]):
    """The whole screen. Its result is what to tell the user after it has gone."""

    CSS_PATH = Path(__file__).with_name("dashboard.tcss")
    BINDINGS: ClassVar[list[BindingType]] = bindings()
    ENABLE_COMMAND_PALETTE = False
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012 - Textual declares it

    def __init__(self, source: Source, clock: Callable[[], float] = time.time) -> None:
        # Without colour Textual would still paint greys; the terminal's own two colours are what was asked for.
        super().__init__(ansi_color=True if os.environ.get("NO_COLOR") else None)
        self.animation_level = "none"
        self._source = source
        self._again = asyncio.Event()  # contact the engine now
        self._look = asyncio.Event()  # read the histories now
        self._histories = Histories()
        self.snapshot: Snapshot | None = None
        self.plan: Plan | None = None
        self.session = SessionLine(clock)
        self.runs = RunsTable(self._histories.get)
        self.detail = DetailLine(clock)
        self.gpus = GpuTable(clock)
        self.curve = LossCurve()
        self.log_view = LogView()

    def compose(self) -> ComposeResult:
        yield self.session
        yield self.runs
        yield self.detail
        with Horizontal(id="middle"):
            yield self.gpus
            yield self.curve
        yield self.log_view
        yield KeyBar()

    def on_mount(self) -> None:
        self.runs.focus()
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        """Starts all that may take time, once the first picture is on the screen."""
        self._watch_engine()
        self._watch_histories()

    # What the engine says

    @work(group="engine")
    async def _watch_engine(self) -> None:
        async for picture in pictures(self._source, self._again):
            if isinstance(picture, Gone):
                self.session.show(self.snapshot, picture.reason)
                self.set_class(True, "stale")
            else:
                await self._show(picture)

    async def _show(self, snapshot: Snapshot) -> None:
        if self.snapshot is None or self.snapshot.folder != snapshot.folder:
            self.plan = await asyncio.to_thread(_plan_of, snapshot)
        self.snapshot = snapshot
        self.set_class(False, "stale")
        self.session.show(snapshot, None)
        self.runs.show(snapshot.runs, first_choice(snapshot, self.plan))
        self.gpus.show(snapshot)
        self._show_selected()

    def _show_selected(self) -> None:
        name, run = self._selected()
        if run is not None:
            self.detail.show(name, run, self._planned(name))
            self.log_view.open(name, run.log)

    @on(RunsTable.Selected)
    def _on_selected(self) -> None:
        self._show_selected()
        self._show_curve()
        self._look.set()

    def _selected(self) -> tuple[str, RunView | None]:
        name = self.runs.selected
        if self.snapshot is None or name is None:
            return "", None
        return name, self.snapshot.runs.get(name)

    def _planned(self, name: str) -> RunPlan | None:
        return self.plan.runs.get(name) if self.plan is not None else None

    # What the logs say

    @work(group="histories")
    async def _watch_histories(self) -> None:
        while True:
            self._look.clear()
            selected = self.runs.selected
            names = [selected] if selected else []
            for name in dict.fromkeys(names + (self.runs.visible_names if self.runs.shows_history else [])):
                await self._refresh_history(name)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), HISTORY_S)

    async def _refresh_history(self, name: str) -> None:
        planned, run = self._planned(name), self.snapshot.runs.get(name) if self.snapshot else None
        if planned is None or run is None or planned.progress is None or not run.log:
            return
        if await self._histories.refresh(name, Path(run.log), planned.progress):
            self.runs.refresh_run(name)
            if name == self.runs.selected:
                self._show_curve()

    def _show_curve(self) -> None:
        name = self.runs.selected
        if name is not None:
            planned = self._planned(name)
            self.curve.show(name, self._histories.get(name), planned.progress if planned else None)

    # What the user wants

    def say(self, message: str, *, bad: bool = False) -> None:
        """Tells the user what a key did."""
        self.notify(plain(message), severity="error" if bad else "information", markup=False, timeout=6)

    @work(group="commands")
    async def _send(self, command: Command) -> None:
        try:
            async with self._source.open(reopen=isinstance(command, Start | Restart)) as connection:
                reply = await connection.command(command)
        except EngineGone as error:
            self.say(f"{command.verb} was not done: {error}", bad=True)
            return
        self.say(reply.message, bad=not reply.ok)
        self._again.set()

    def _ask(self, question: Question, command: Command) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self._send(command)
            else:
                self.say(f"{question.title} No: nothing was done.")

        self.push_screen(Confirm(question), answered)

    def _target(self) -> tuple[str, RunView | None]:
        """The run that a key is about; tells the user where there is none."""
        name, run = self._selected()
        if run is None:
            self.say("no run to act on yet: still contacting the engine", bad=True)
        return name, run

    def action_select(self, step: int) -> None:
        self.runs.action_move(step)

    def action_start(self) -> None:
        name, run = self._target()
        if run is not None:
            self._send(Start(run=name))

    def action_stop(self) -> None:
        name, run = self._target()
        if run is not None:
            self._send(Stop(run=name))

    def action_restart(self) -> None:
        name, run = self._target()
        if run is not None:
            self._send(Restart(run=name))

    def action_kill(self) -> None:
        name, run = self._target()
        if run is None:
            return
        if run.state not in ALIVE:
            self.say(f"{name} is not running: it is {run.state}")
        else:
            self._ask(about_kill(name), Stop(run=name, how="kill"))

    def action_fresh(self) -> None:
        name, run = self._target()
        if run is not None:
            question = about_fresh(name, run.state in ALIVE, self._planned(name))
            self._ask(question, Restart(run=name, fresh=True))

    def action_end(self) -> None:
        if self.snapshot is None:
            self.say("no session to end yet: still contacting the engine", bad=True)
        elif self.snapshot.state == "finished":
            self.say("the session has finished already; q leaves")
        else:
            alive = [name for name, run in self.snapshot.runs.items() if run.state in ALIVE]
            self._ask(about_end(alive, self.plan.runs if self.plan else {}), Down())

    def action_search(self) -> None:
        self.log_view.ask()

    def action_find(self, direction: int) -> None:
        trouble = self.log_view.find_next(direction)
        if trouble:
            self.say(trouble)

    def action_follow(self) -> None:
        """Follows the log or pauses; the log's title tells which."""
        lines = self.log_view.lines
        if lines.follows:
            lines.pause()
        else:
            lines.follow()

    def action_short(self) -> None:
        short = self.log_view.lines.toggle_short()
        self.say("log lines without date, level and run name" if short else "whole log lines")

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

    def action_help(self) -> None:
        self.push_screen(Help())

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
    trainings = [name for name in states if plan is None or name not in plan.runs or plan.runs[name].takes_slot]
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
