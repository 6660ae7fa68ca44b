"""What the user wants of runs: asked where it cannot be taken back, sent to the engine, and answered on the screen."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from textual import work
from textual.app import App

from ..ipc.client import EngineUnavailable
from ..ipc.messages import Command, Down, Restart, Start, Stop
from ..plan.schema import Plan, RunPlan
from ..session.snapshot import RunView, Snapshot
from ..session.state import ALIVE, ENDED
from .data.session_source import SessionSource
from .rendering.format import plain_text
from .screens.confirm import (
    Confirmation,
    ConfirmScreen,
    confirm_end,
    confirm_fresh,
    confirm_kill,
    confirm_restart,
    confirm_stop,
)
from .screens.run_details import RunDetailsScreen
from .widgets.key_bar import KeyBar
from .widgets.runs_table import RunsTable

READ_ONLY = "this screen is read-only, so nothing was done; `attach`, or `web --control`, has the keys for that"


class RunControlMixin(App[str]):
    """The part of the dashboard that commands the engine."""

    def __init__(self, source: SessionSource, runs: RunsTable) -> None:
        # Without colour Textual would still paint greys; the terminal's own two colours are what was asked for.
        super().__init__(ansi_color=True if os.environ.get("NO_COLOR") else None)
        self._source = source
        self.snapshot: Snapshot | None = None
        self.plan: Plan | None = None
        self.runs = runs
        self.read_only = False  # it looks, and commands nothing
        self._asked: tuple[str, tuple[int, bool]] | None = None  # a question about one run, and how that was then
        self.key_bar = KeyBar()

    def look_again(self) -> None:
        """Asks the engine for a new picture now."""
        raise NotImplementedError

    def say(self, message: str, *, bad: bool = False) -> None:
        """Tells the user what a key did."""
        for screen in self.screen_stack:
            for bar in screen.query(KeyBar):
                bar.say(plain_text(message), bad=bad)

    def _send(self, commands: Sequence[Command]) -> None:
        if self.read_only:
            self.say(READ_ONLY, bad=True)
        else:
            self._send_all(commands)

    @work(group="commands")
    async def _send_all(self, commands: Sequence[Command]) -> None:
        reopen = any(isinstance(command, Start | Restart) for command in commands)
        told: list[str] = []
        refused: list[str] = []
        try:
            for command in commands:
                async with self._source.open(reopen=reopen) as connection:
                    reply = await connection.command(command)
                (told if reply.ok else refused).append(reply.message)
        except EngineUnavailable as error:
            refused.append(f"{commands[len(told) + len(refused)].verb} was not done: {error}")
        self.say(reply_text(told, refused), bad=bool(refused))
        self.look_again()

    def _ask(self, question: Confirmation, commands: Sequence[Command]) -> None:
        if self.read_only:  # there is nothing to ask
            self.say(READ_ONLY, bad=True)
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._send(commands)
            else:
                why = "No" if yes is not None else "It has ended or started meanwhile"
                self.say(f"{question.title} {why}: nothing was done.")

        runs = [command.run for command in commands if not isinstance(command, Down)]
        self._asked = (runs[0], self._attempt(runs[0])) if len(runs) == 1 else None
        self.push_screen(ConfirmScreen(question), answered)

    def take_back_question(self) -> None:
        """Closes a question about one run of which another attempt, or none, is alive by now."""
        if (
            isinstance(self.screen, ConfirmScreen)
            and self._asked is not None
            and self._attempt(self._asked[0]) != self._asked[1]
        ):
            self.screen.dismiss(None)

    def _attempt(self, name: str) -> tuple[int, bool]:
        """Which attempt of a run is the latest, and whether it is alive."""
        run = self.snapshot.runs.get(name) if self.snapshot else None
        return (run.attempt, run.state in ALIVE) if run is not None else (0, False)

    def _targets(self) -> dict[str, RunView]:
        """The runs that a key is about: that of the detail view, those marked, or the selected one.

        Tells the user where there is none.
        """
        marked = () if isinstance(self.screen, RunDetailsScreen) else self.runs.marked
        names = marked or ((self.runs.selected,) if self.runs.selected else ())
        known = self.snapshot.runs if self.snapshot else {}
        targets = {name: known[name] for name in names if name in known}
        if not targets:
            self.say("no run to act on yet: still contacting the engine", bad=True)
        return targets

    def _alive(self, targets: Mapping[str, RunView]) -> dict[str, RunPlan | None]:
        """Those of the runs that live, with what the plan says of them."""
        planned = self.plan.runs if self.plan else {}
        return {name: planned.get(name) for name, run in targets.items() if run.state in ALIVE}

    def action_start(self) -> None:
        if targets := self._targets():
            self._send([Start(run=name) for name in targets])

    def action_stop(self) -> None:
        targets = self._targets()
        alive = self._alive(targets)
        waiting = [name for name, run in targets.items() if run.state not in ALIVE | ENDED]
        # Those that wait first: none of them is to start on a slot that another one leaves.
        commands = [Stop(run=name) for name in (*waiting, *alive)]
        if commands:
            self._ask(confirm_stop(alive, waiting), commands)
        else:
            self._say_not_running(targets)

    def action_restart(self) -> None:
        targets = self._targets()
        commands = [Restart(run=name) for name in targets]
        if alive := self._alive(targets):
            self._ask(confirm_restart(alive), commands)
        elif commands:
            self._send(commands)

    def action_kill(self) -> None:
        targets = self._targets()
        if alive := self._alive(targets):
            self._ask(confirm_kill(list(alive)), [Stop(run=name, how="kill") for name in alive])
        else:
            self._say_not_running(targets)

    def _say_not_running(self, targets: Mapping[str, RunView]) -> None:
        if len(targets) == 1:
            (name, run), *_ = targets.items()
            self.say(f"{name} is not running: it is {run.state}")
        elif targets:
            self.say("none of these is running")

    def action_fresh(self) -> None:
        if targets := self._targets():
            question = confirm_fresh(list(targets), self._alive(targets))
            self._ask(question, [Restart(run=name, fresh=True) for name in targets])

    def action_end(self) -> None:
        if self.snapshot is None:
            self.say("no session to end yet: still contacting the engine", bad=True)
        elif self.snapshot.state == "finished":
            self.say("the session has finished already; q leaves")
        else:
            self._ask(confirm_end(self._alive(self.snapshot.runs)), [Down()])


def reply_text(told: Sequence[str], refused: Sequence[str]) -> str:
    """What became of some commands, in one line; what was refused comes first."""
    if len(told) + len(refused) <= 1:
        return "".join([*refused, *told])
    counts = [f"{len(refused)} refused"] * bool(refused) + [f"{len(told)} done"] * bool(told)
    return f"{', '.join(counts)}; {(refused or told)[0]}"
