"""The engine in the foreground: the session's log on the screen, the runs' progress, and a table at the end."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from ..engine.engine import Engine
from ..ipc.engine_lock import EngineLock
from ..ipc.messages import Down, Stop
from ..session.folder import SessionFolder
from ..session.state import RunState
from ..session.summary import build_summary
from .reporters import LineReporter, make_reporter

REPORT_S = 1.0
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

SUCCEEDED, SOME_DID_NOT, INPUT_ERROR = 0, 1, 2


def run_headless(folder: SessionFolder, lock: EngineLock, *, as_json: bool = False) -> int:
    """Runs the session to its end and gives the exit code.

    0: every run succeeded; 1: some did not; 2: those that failed rejected their input (exit code 2);
    128 + n: ended by signal n, after the runs were stopped cleanly.
    """
    told_by = make_reporter(as_json=as_json)
    code = asyncio.run(_Headless(folder, lock, told_by).run())
    with contextlib.suppress(KeyboardInterrupt):  # whoever does not want to read to the end may leave
        told_by.printer.finish()
    return code


class _Headless:
    def __init__(self, folder: SessionFolder, lock: EngineLock, told_by: LineReporter) -> None:
        self._folder = folder
        self._voice = told_by
        self._engine = Engine(folder, on_line=told_by.line, on_event=told_by.event, lock=lock)
        self._ended_by: signal.Signals | None = None
        self._noted: set[str] = set()
        self._commands: set[asyncio.Task[object]] = set()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in ENDING_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it for SIGHUP
                loop.add_signal_handler(number, self._on_signal, number)
        reporter = asyncio.create_task(self._report())
        try:
            await self._engine.run(linger=False)
        finally:
            reporter.cancel()
        summary = build_summary(self._folder, self._engine.plan, self._engine.state)  # the file may lack room
        self._voice.end(summary, self._folder.path)
        if self._ended_by is not None:
            return 128 + self._ended_by
        return _exit_code(self._engine)

    def _on_signal(self, number: signal.Signals) -> None:
        """The first signal stops the runs gently, a second one at once; a lost terminal may send several SIGHUPs."""
        if number == signal.SIGHUP and self._ended_by is not None:
            return
        commands: list[Down | Stop] = [Down()]
        if self._ended_by is None:
            self._voice.line(f"{signal.Signals(number).name}: stopping all runs; once more kills them", "warning")
            self._ended_by = signal.Signals(number)
        else:
            commands += [Stop(run=name, how="kill") for name, run in self._engine.state.runs.items() if run.alive]
        for command in commands:
            task: asyncio.Task[object] = asyncio.create_task(self._carry_out(command))
            self._commands.add(task)
            task.add_done_callback(self._commands.discard)

    async def _carry_out(self, command: Down | Stop) -> None:
        reply = await self._engine.command(command)
        if not reply.ok and isinstance(command, Down):
            self._voice.note(f"{reply.message}; leaving, what runs goes on: `attach` or `status` finds it")
            self._engine.leave()

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_S)
            snapshot = self._engine.look()
            self._voice.picture(snapshot)
            stalled = (
                f"{name}: attempt {run.attempt} has stalled" for name, run in snapshot.runs.items() if run.stalled
            )
            for note in (*snapshot.notes, *stalled):
                if note not in self._noted and note not in self._engine.state.notes:  # those have a line of their own
                    self._noted.add(note)
                    self._voice.note(note)


def _exit_code(engine: Engine) -> int:
    runs = engine.state.runs.values()
    if all(run.attempt_state is RunState.SUCCEEDED for run in runs):
        return SUCCEEDED
    bad = [run.last.exit for run in runs if run.last and run.last.exit and run.attempt_state is not RunState.SUCCEEDED]
    return INPUT_ERROR if bad and all(ended.exit_code == 2 for ended in bad) else SOME_DID_NOT
