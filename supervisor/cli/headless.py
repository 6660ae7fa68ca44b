"""The engine in the foreground: prints the session's log, progress, and a table of results at the end."""

from __future__ import annotations

import asyncio
import contextlib
import signal

from ..engine.engine import Engine
from ..ipc.engine_lock import EngineLock
from ..ipc.messages import Down, Stop
from ..session.folder import SessionFolder
from ..session.run_states import run_states
from ..session.state import DONE, RunState
from ..session.summary import build_summary
from .reporters import LineReporter

REPORT_INTERVAL_S = 1.0
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)  # of batch systems, before the end of a job
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, *WARNINGS)

SUCCEEDED, SOME_DID_NOT, INPUT_ERROR = 0, 1, 2


def run_headless(folder: SessionFolder, lock: EngineLock, reporter: LineReporter, *, resume: bool = False) -> int:
    """Run the session to its end.

    Args:
        folder: The session.
        lock: The lock of its logs folder, acquired.
        reporter: Prints what happens.
        resume: Whether runs that were stopped, failed or lost are started again.

    Returns:
        Exit code. 0: every run succeeded; 1: some did not; 2: those that failed rejected their input (exit code 2);
        128 + n: ended by signal n, after the runs were stopped cleanly.
    """
    if resume:
        reporter.line(f"continuing session {folder.stamp} with its own plan and options", "info")
    code = asyncio.run(_Headless(folder, lock, reporter, resume=resume).run())
    with contextlib.suppress(KeyboardInterrupt):  # the user does not wait for a reader that pauses
        reporter.printer.finish()
    return code


class _Headless:
    """An engine, its reporter and the signals."""

    def __init__(self, folder: SessionFolder, lock: EngineLock, reporter: LineReporter, *, resume: bool) -> None:
        self._folder = folder
        self._reporter = reporter
        self._engine = Engine(folder, on_line=reporter.line, on_event=reporter.event, lock=lock, resume=resume)
        self._ended_by: signal.Signals | None = None
        self._kill_next = False
        self._warned: set[str] = set()
        self._commands: set[asyncio.Task[object]] = set()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it for SIGHUP
                loop.add_signal_handler(number, self._on_signal, number)
        reporting = asyncio.create_task(self._report())
        try:
            await self._engine.run(linger=False)
        finally:
            reporting.cancel()
        # Not read from its file, which is missing if the disk is full.
        summary = build_summary(self._folder, self._engine.plan, self._engine.state)
        self._reporter.summary(summary, self._folder.path)
        if self._ended_by is not None:
            return 128 + self._ended_by
        return _exit_code(self._engine)

    def _on_signal(self, number: signal.Signals) -> None:
        """Stop the runs gently, or kill them at a second signal.

        A lost terminal may send several SIGHUPs. A batch system may repeat its warning, and sends SIGTERM after it:
        neither takes from the runs the time that is left.
        """
        if number in (signal.SIGHUP, *WARNINGS) and self._ended_by is not None:
            return
        commands: list[Down | Stop] = [Down()]
        kill, self._kill_next = self._kill_next, number not in WARNINGS
        if kill:
            commands += [Stop(run=name, how="kill") for name, run in self._engine.state.runs.items() if run.alive]
        else:
            self._ended_by = self._ended_by or signal.Signals(number)
            again = "send SIGTERM twice" if number in WARNINGS else "send it again"
            self._reporter.line(f"{signal.Signals(number).name}: stopping all runs; {again} to kill them", "warning")
        for command in commands:
            task: asyncio.Task[object] = asyncio.create_task(self._execute(command))
            self._commands.add(task)
            task.add_done_callback(self._commands.discard)

    async def _execute(self, command: Down | Stop) -> None:
        reply = await self._engine.handle(command)
        if not reply.ok and isinstance(command, Down):
            self._reporter.warning(f"{reply.message}; exiting, the runs go on: use `attach` or `status`")
            self._engine.request_shutdown()

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_INTERVAL_S)
            snapshot = self._engine.snapshot()
            self._reporter.snapshot(snapshot)
            stalled = (
                f"{name}: attempt {run.attempt} has stalled" for name, run in snapshot.runs.items() if run.stalled
            )
            for note in (*snapshot.notes, *stalled):
                if note not in self._warned and note not in self._engine.state.notes:  # the log has lines for those
                    self._warned.add(note)
                    self._reporter.warning(note)


def _exit_code(engine: Engine) -> int:
    runs = engine.state.runs.values()
    if all(state in DONE for state in run_states(engine.plan, engine.state).values()):
        return SUCCEEDED
    bad = [run.last.exit for run in runs if run.last and run.last.exit and run.attempt_state is not RunState.SUCCEEDED]
    return INPUT_ERROR if bad and all(ended.exit_code == 2 for ended in bad) else SOME_DID_NOT
