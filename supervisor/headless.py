"""The engine in the foreground: the session's log on the screen, the runs' progress, and a table at the end."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import signal
import sys
import threading
import time

from .engine import Engine
from .runtime import EngineLock
from .sessions import Level, SessionFolder, log_line
from .snapshot import RunView, Snapshot
from .state import RunState
from .summary import read_summary, results_table, runs_table
from .tables import duration
from .wire import Down, Stop

PROGRESS_INTERVAL_S = {True: 5.0, False: 60.0}  # between two progress lines of a run: on a terminal, in a pipe
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

SUCCEEDED, SOME_DID_NOT, INPUT_ERROR = 0, 1, 2


def run_headless(folder: SessionFolder, lock: EngineLock) -> int:
    """Runs the session to its end and gives the exit code.

    0: every run succeeded; 1: some did not; 2: those that failed rejected their input (exit code 2);
    128 + n: ended by signal n, after the runs were stopped cleanly.
    """
    printer = _Printer()
    code = asyncio.run(_Headless(folder, lock, printer).run())
    with contextlib.suppress(KeyboardInterrupt):  # whoever does not want to read to the end may leave
        printer.finish()
    return code


class _Printer:
    """Prints from a thread of its own: a reader that pauses, as `less` does, must not hold up the session."""

    def __init__(self) -> None:
        self._texts: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._print, name="printer", daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        self._texts.put(text)

    def say_line(self, text: str, level: Level) -> None:
        self.say(log_line("supervisor", text, level))

    def finish(self) -> None:
        """Returns once all has been printed."""
        self._texts.put(None)
        self._thread.join()

    def _print(self) -> None:
        while (text := self._texts.get()) is not None:
            with contextlib.suppress(OSError):  # nobody reads any more; the runs go on all the same
                print(text, flush=True)  # noqa: T201


class _Headless:
    def __init__(self, folder: SessionFolder, lock: EngineLock, printer: _Printer) -> None:
        self._folder = folder
        self._printer = printer
        self._engine = Engine(folder, on_line=printer.say_line, lock=lock)
        self._ended_by: signal.Signals | None = None
        self._shown: dict[str, tuple[float, int | float]] = {}  # when progress was shown last, and which epoch
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
        self._print_summary()
        if self._ended_by is not None:
            return 128 + self._ended_by
        return _exit_code(self._engine)

    def _on_signal(self, number: signal.Signals) -> None:
        """The first signal stops the runs gently, a second one at once; a lost terminal may send several SIGHUPs."""
        if number == signal.SIGHUP and self._ended_by is not None:
            return
        commands: list[Down | Stop] = [Down()]
        if self._ended_by is None:
            self._printer.say_line(f"{signal.Signals(number).name}: stopping all runs; once more kills them", "warning")
            self._ended_by = signal.Signals(number)
        else:
            commands += [Stop(run=name, how="kill") for name, run in self._engine.state.runs.items() if run.alive]
        for command in commands:
            task: asyncio.Task[object] = asyncio.create_task(self._engine.command(command))
            self._commands.add(task)
            task.add_done_callback(self._commands.discard)

    async def _report(self) -> None:
        interval = PROGRESS_INTERVAL_S[sys.stdout.isatty()]
        while True:
            await asyncio.sleep(1.0)
            self._show_progress(self._engine.look(), interval)

    def _show_progress(self, snapshot: Snapshot, interval: float) -> None:
        now = time.monotonic()
        for name, run in snapshot.runs.items():
            epoch = run.progress.get("epoch")
            shown_at, shown = self._shown.get(name, (0.0, None))
            if run.state is RunState.RUNNING and epoch not in (None, shown) and now - shown_at >= interval:
                assert epoch is not None
                self._shown[name] = (now, epoch)
                self._printer.say_line(f"{name}: {progress_text(run)}", "info")

    def _print_summary(self) -> None:
        summary = read_summary(self._folder)
        self._printer.say(
            "\n".join(["", *runs_table(summary), "", *results_table(summary), "", f"files: {self._folder.path}"])
        )


def progress_text(run: RunView) -> str:
    """`epoch 12/2000, train_loss 0.123, val_loss 0.234, 1:02:03 to go`."""
    values = dict(run.progress)
    epoch, epochs = values.pop("epoch", None), values.pop("epochs", None)
    parts = [f"epoch {epoch}" + (f"/{epochs}" if epochs is not None else "")] if epoch is not None else []
    parts += [f"{key} {value:.6g}" for key, value in values.items()]
    parts += [f"{duration(run.eta_s)} to go"] if run.eta_s is not None else []
    return ", ".join(parts)


def _exit_code(engine: Engine) -> int:
    exits = [run.last.exit if run.last else None for run in engine.state.runs.values()]
    if all(ended is not None and ended.exit_code == 0 for ended in exits):
        return SUCCEEDED
    bad = [ended for ended in exits if ended is not None and ended.exit_code != 0]
    return INPUT_ERROR if bad and all(ended.exit_code == 2 for ended in bad) else SOME_DID_NOT
