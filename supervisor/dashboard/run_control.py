"""Control of runs: asks for confirmation, sends commands to the engine, shows the replies."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from ..ipc.client import EngineUnavailable
from ..ipc.messages import Command, Down, Restart, Start, Stop
from ..plan.schema import RunPlan
from ..session.snapshot import RunView
from ..session.state import ALIVE, ENDED
from .data.current_session import CurrentSession
from .data.session_source import SessionSource
from .screens.confirm import (
    Confirmation,
    confirm_end,
    confirm_fresh,
    confirm_kill,
    confirm_restart,
    confirm_stop,
)

READ_ONLY = "read-only view; use `attach` or `web --control` to control runs"
NO_RUNS = "no runs yet; still contacting the engine"


class RunControlApp(Protocol):
    """Part of the app that `RunControl` relies on."""

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the runs that a key applies to."""
        ...

    def show_message(self, message: str, *, bad: bool = False) -> None:
        """Show the result of a command."""
        ...

    def open_confirmation(self, confirmation: Confirmation, on_answer: Callable[[bool | None], None]) -> None:
        """Open a confirmation; `on_answer` gets the answer, None if it was withdrawn."""
        ...

    def withdraw_confirmation(self) -> None:
        """Close the open confirmation, if any."""
        ...

    def refresh_now(self) -> None:
        """Request a new snapshot."""
        ...

    def run_worker(self, work: Coroutine[Any, Any, None], *, group: str) -> object:
        """Run a coroutine in the background."""
        ...


class RunControl:
    """Commands for runs, as the user gives them by keys.

    Args:
        app: The app that shows confirmations and messages.
        session: The session on the screen.
        source: Connects to the engine.
        read_only: Reject every command.
    """

    def __init__(
        self, app: RunControlApp, session: CurrentSession, source: SessionSource, *, read_only: bool = False
    ) -> None:
        self._app = app
        self._session = session
        self._source = source
        self._read_only = read_only
        self._confirming: tuple[str, tuple[int, bool]] | None = None  # the only run of the open confirmation; its state

    def start(self) -> None:
        """Start the targets."""
        self._send([Start(run=name) for name in self._targets()])

    def stop(self) -> None:
        """Stop those targets that run, and keep the others from starting; after confirmation."""
        targets = self._targets()
        alive = self._alive(targets)
        waiting = [name for name, run in targets.items() if run.state not in ALIVE | ENDED]
        # Waiting runs first, so that none of them starts on a slot that becomes free.
        commands = [Stop(run=name) for name in (*waiting, *alive)]
        if commands:
            self._confirm(confirm_stop(alive, waiting), commands)
        else:
            self._report_not_running(targets)

    def restart(self) -> None:
        """Restart the targets from their checkpoints; after confirmation if one is running."""
        targets = self._targets()
        commands = [Restart(run=name) for name in targets]
        if alive := self._alive(targets):
            self._confirm(confirm_restart(alive), commands)
        else:
            self._send(commands)

    def restart_fresh(self) -> None:
        """Restart the targets from scratch; after confirmation."""
        if targets := self._targets():
            confirmation = confirm_fresh(list(targets), self._alive(targets))
            self._confirm(confirmation, [Restart(run=name, fresh=True) for name in targets])

    def kill(self) -> None:
        """Kill those targets that run; after confirmation."""
        targets = self._targets()
        if alive := self._alive(targets):
            self._confirm(confirm_kill(alive), [Stop(run=name, how="kill") for name in alive])
        else:
            self._report_not_running(targets)

    def end_session(self) -> None:
        """Stop all runs and end the session; after confirmation."""
        snapshot = self._session.snapshot
        if snapshot is None:
            self._app.show_message("no session yet; still contacting the engine", bad=True)
        elif snapshot.state == "finished":
            self._app.show_message("the session has already finished; q leaves")
        else:
            self._confirm(confirm_end(self._alive(snapshot.runs)), [Down()])

    def withdraw_outdated_confirmation(self) -> None:
        """Close a confirmation about one run if another attempt, or none, is alive now."""
        if self._confirming is not None and self._attempt(self._confirming[0]) != self._confirming[1]:
            self._app.withdraw_confirmation()

    def _targets(self) -> dict[str, RunView]:
        """Return the runs that a key applies to; show a message if there is none."""
        runs = {name: run for name in self._app.target_names if (run := self._session.run(name)) is not None}
        if not runs:
            self._app.show_message(NO_RUNS, bad=True)
        return runs

    def _alive(self, targets: Mapping[str, RunView]) -> dict[str, RunPlan | None]:
        """Return the live runs with their part of the plan."""
        return {name: self._session.run_plan(name) for name, run in targets.items() if run.state in ALIVE}

    def _attempt(self, name: str) -> tuple[int, bool]:
        """Return the number of a run's latest attempt, and whether it is alive."""
        run = self._session.run(name)
        return (run.attempt, run.state in ALIVE) if run is not None else (0, False)

    def _report_not_running(self, targets: Mapping[str, RunView]) -> None:
        if len(targets) == 1:
            (name, run), *_ = targets.items()
            self._app.show_message(f"{name} is not running: it is {run.state}")
        elif targets:
            self._app.show_message("none of these runs is running")

    def _confirm(self, confirmation: Confirmation, commands: Sequence[Command]) -> None:
        if self._read_only:
            self._app.show_message(READ_ONLY, bad=True)
            return

        def on_answer(yes: bool | None) -> None:
            self._confirming = None
            if yes:
                self._send(commands)
            else:
                why = "Cancelled" if yes is not None else "The run has ended or started meanwhile"
                self._app.show_message(f"{confirmation.title} {why}; nothing was done.")

        runs = [command.run for command in commands if not isinstance(command, Down)]
        self._confirming = (runs[0], self._attempt(runs[0])) if len(runs) == 1 else None
        self._app.open_confirmation(confirmation, on_answer)

    def _send(self, commands: Sequence[Command]) -> None:
        if commands and self._read_only:
            self._app.show_message(READ_ONLY, bad=True)
        elif commands:
            self._app.run_worker(self._send_all(commands), group="commands")

    async def _send_all(self, commands: Sequence[Command]) -> None:
        reopen = any(isinstance(command, Start | Restart) for command in commands)
        accepted: list[str] = []
        rejected: list[str] = []
        try:
            for command in commands:
                async with self._source.open(reopen=reopen) as connection:
                    reply = await connection.command(command)
                (accepted if reply.ok else rejected).append(reply.message)
        except EngineUnavailable as error:
            rejected.append(f"{commands[len(accepted) + len(rejected)].verb} failed: {error}")
        self._app.show_message(summarize_replies(accepted, rejected), bad=bool(rejected))
        self._app.refresh_now()


def summarize_replies(accepted: Sequence[str], rejected: Sequence[str]) -> str:
    """Return the replies to several commands in one line, rejections first."""
    if len(accepted) + len(rejected) <= 1:
        return "".join([*rejected, *accepted])
    counts = [f"{len(rejected)} rejected"] * bool(rejected) + [f"{len(accepted)} done"] * bool(accepted)
    return f"{', '.join(counts)}; {(rejected or accepted)[0]}"
