"""The event loop that owns a session: it executes what the scheduler decides, and answers clients.

The engine may die at any moment. Every decision is in the journal before it is executed, and every exit of an attempt
is on disk before the last process of the attempt ends. Starting an engine on a session is therefore the same as
recovering the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import replace

from ..gpus.slots import free_memory, lost_slot_warnings
from ..ipc.engine_lock import EngineLock
from ..ipc.messages import Command, Down, Reply, Stop
from ..ipc.server import Server
from ..launchers.registry import SRUN, create_launcher
from ..plan.schema import LOCAL
from ..session.events import (
    ClockStepped,
    EngineStarted,
    Event,
    RestartRequested,
)
from ..session.folder import SessionFolder
from ..session.journal import JournalBusy
from ..session.pruning import delete_checkpoints, prunable_runs
from ..session.reducer import clock_step
from ..session.session_log import LogLevel
from ..session.snapshot import Snapshot
from ..session.snapshot_builder import SnapshotBuilder
from ..session.state import RunState, SessionState
from .allocation_watch import watch_allocation
from .attempts import RunningAttempts
from .boot_clock import boot_id, clock_offset_s
from .command_handler import handle_command
from .executor import ActionExecutor
from .monitor import Monitor
from .scheduler import Action, SendSignal, decide
from .session_store import SessionStore
from .slot_allocator import SlotAllocator

TICK_S = 1.0
WATCHED = (RunState.PENDING, RunState.RUNNING)  # alive and not asked to end
LINGER_S = 10.0  # how long a finished session still answers without a subscriber


class EngineBusy(RuntimeError):
    """Another engine serves this logs folder."""


class Engine:
    """The owner of one session, from its folder to its end.

    Args:
        folder: The session.
        on_line: Called with every line of the session's log.
        on_event: Called with every event.
        lock: Lock of the logs folder, which may be held already.
        resume: Whether runs that were stopped, failed or lost under earlier engines are started again.

    Attributes:
        folder: The session.
        plan: Its plan.

    Raises:
        SessionError: A file of the session is missing or damaged.
        JournalError: The journal is missing or damaged.
    """

    def __init__(
        self,
        folder: SessionFolder,
        on_line: Callable[[str, LogLevel], None] | None = None,
        on_event: Callable[[Event], None] | None = None,
        lock: EngineLock | None = None,
        *,
        resume: bool = False,
    ) -> None:
        self.folder = folder
        self._session = SessionStore(folder, on_line, on_event)
        self.plan = self._session.plan
        self._lock = lock or EngineLock(folder.logs)
        self._wake = asyncio.Event()
        self._allocation = watch_allocation(self.plan, self._session.settings.environment, self._wake.set)
        names: set[str] = {run.launcher or LOCAL for run in self.plan.runs.values()}
        names |= {run.last.launcher for run in self.state.runs.values() if run.alive and run.last is not None}
        names |= {SRUN} if self._allocation.shares != () else set()
        self._attempts = RunningAttempts({name: create_launcher(name, self._wake.set) for name in sorted(names)})
        self._monitor = Monitor(self.plan, folder, self._attempts)
        self._slots = SlotAllocator(self._session, self._allocation)
        self._server = Server(self.snapshot, self.handle, self._lock)
        self._snapshots = SnapshotBuilder(self.plan, folder)
        self._executor = ActionExecutor(folder, self._session, self._attempts, on_failed_start=self._wake.set)
        self._start_recorded = False
        self._is_resume_due = resume
        self._adopted: set[str] = set()  # of a resumed session: runs that were alive at its start and have not ended
        self._problem = ""  # why nothing can be done at present, shown as a note
        self._shutdown_requested = False
        self._is_down = False  # after `down` the session ends for good, even with subscribers

    @property
    def state(self) -> SessionState:
        """The session's state now."""
        return self._session.state

    async def run(self, *, linger: bool) -> None:
        """Serve the session until it is finished.

        Args:
            linger: Continue while clients subscribe to the finished session.

        Raises:
            EngineBusy: Another engine serves the logs folder.
            RuntimeFolderError: There is no safe folder for the socket.
        """
        if not self._lock.acquire():
            raise EngineBusy(f"{self.folder.logs}: another engine serves this folder")
        loop = asyncio.get_running_loop()
        self._monitor.start(lambda _: loop.call_soon_threadsafe(self._wake.set))
        try:
            self._session.open()
            await self._server.open()
            self._monitor.read_logs(self.state.runs, self.state)
            await self._serve(linger)
        except JournalBusy:
            raise EngineBusy(f"{self.folder.path}: another engine serves this session") from None
        finally:
            await self._close()
            self._lock.release()

    def request_shutdown(self) -> None:
        """Request the end of this engine; the runs go on."""
        self._shutdown_requested = True
        self._wake.set()

    async def handle(self, command: Command) -> Reply:
        """Execute a client's command and return the reply."""
        result = handle_command(self.plan, self.state, command, time.time())
        if not result.reply.ok:
            self._session.log(f"{command.verb} refused: {result.reply.message}", "warning")
            return result.reply
        try:
            for event in result.events:
                self._session.record(event)
            self._executor.commit()
        except OSError as error:
            return Reply(ok=False, message=f"cannot write {self.folder.journal}: {error.strerror}; nothing was done")
        self._is_down = isinstance(command, Down) or (self._is_down and isinstance(command, Stop))
        self._wake.set()
        return result.reply

    def snapshot(self) -> Snapshot:
        """Return the session as it is now."""
        reading = self._monitor.reading
        problems = (
            *filter(None, (self._problem, self._slots.problem)),
            *self._attempts.warnings(),
            *self._allocation.problems(),
            *self._monitor.problems(self.state),
            *lost_slot_warnings(self.state.slots, reading),
        )
        return self._snapshots.snapshot(
            self.state,
            self._monitor.observation,
            now=time.time(),
            reading=reading,
            engine_pid=os.getpid(),
            problems=problems,
            states=self._session.index.states,
            allocation=self._allocation.view,
        )

    async def _serve(self, linger: bool) -> None:
        last_needed = time.monotonic()
        while not self._shutdown_requested:
            await self._server.ensure_reachable()
            if self._lock.renew() and self._lock.is_overtaken():
                self._session.log("another engine serves this folder under another name; this one ends", "error")
                return
            await self._end_with_allocation()
            changed = self._tick()
            alive = self._session.index.alive()
            if self._monitor.poll(self.state, alive, watched=self._server.subscribers > 0) or changed:
                await self._server.push()
            if self._session.is_deleted() and not self._attempts:
                self._session.log(f"{self.folder.path} was deleted or moved, and no run of it is alive", "error")
                return
            linger = linger and not self._is_down
            if not self.state.finished or (linger and self._server.subscribers):
                last_needed = time.monotonic()
            elif not linger or time.monotonic() - last_needed > LINGER_S:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._wake.wait()
            self._wake.clear()

    async def _end_with_allocation(self) -> None:
        """Stop all runs gently if the time of Slurm's allocation is nearly over, as `down` does."""
        if not self._allocation.is_ending(time.time()) or self._is_down or self.state.finished:
            return
        if (await self.handle(Down())).ok and self._allocation.view is not None:
            end = self._allocation.view.describe(time.time())
            self._session.log(
                f"{end}: stopping all runs; --headless --continue resumes them in the next job", "warning"
            )

    def _tick(self) -> bool:
        """Record what has ended and execute what is due; return whether the state has changed."""
        before = self.state
        try:
            if not self._start_recorded:
                self._session.record(
                    EngineStarted(at=time.time(), pid=os.getpid(), boot_id=boot_id(), clock_offset_s=clock_offset_s())
                )
                self._start_recorded = True
            if step_s := clock_step(self.state, boot_id(), clock_offset_s()):
                self._session.record(ClockStepped(at=time.time(), by_s=step_s))
            for run in self._attempts.collect_exits(self._session):
                self._monitor.read_log(run, self.state)
                self._prune(run)
            self._resume_runs()
            if self._monitor.reading is not None:
                self._slots.update(self._monitor.reading, self._monitor.own_pids)
            while actions := list(filter(self._executor.is_new, self._decide())):
                self._executor.execute(actions, may_wait=not self._is_down)
            self._executor.commit()
            deleted = self._session.is_deleted()
            if not deleted and self._session.index.wanting:
                with contextlib.suppress(OSError):
                    self._attempts.prepare(LOCAL)
            if not deleted and self._session.is_summary_due:
                self._session.write_summary()
            self._problem = f"{self.folder.path} was deleted or moved: nothing more starts" if deleted else ""
        except OSError as error:  # a full or vanished disk: nothing was done, so the next tick tries again
            self._problem = f"cannot go on: {error.filename or self.folder.path}: {error.strerror}; trying again"
        return before is not self.state

    def _prune(self, run: str) -> None:
        """Delete the checkpoints that a run of a later round makes unnecessary; without them the session goes on."""
        if self.plan.runs[run].keep is None:
            return
        for name in prunable_runs(self.plan, self._session.index.states, run):
            try:
                if count := delete_checkpoints(self.folder, name):
                    self._session.log(f"{name}: deleted {count} checkpoint file{'' if count == 1 else 's'}")
            except OSError as error:
                self._session.log(f"{name}: cannot delete {error.filename}: {error.strerror}", "warning")

    def _resume_runs(self) -> None:
        """Start the runs again that earlier engines stopped, or whose end nobody saw."""
        runs = {name: self.state.runs[name] for name in (self.state.runs if self._is_resume_due else self._adopted)}
        runs = {name: run for name, run in runs.items() if not run.wants_start}
        if self._is_resume_due:
            unchanged = (RunState.SUCCEEDED, *WATCHED)
            due = [name for name, run in runs.items() if run.attempt_state not in unchanged]
        else:
            due = [name for name, run in runs.items() if run.attempt_state is RunState.LOST and not run.stopped_by_user]
        for name in due:
            self._session.record(RestartRequested(at=time.time(), run=name, fresh=False))
        watched = runs if self._is_resume_due else self._adopted
        self._adopted = {name for name in watched if self.state.runs[name].attempt_state in WATCHED}
        self._is_resume_due = False

    def _decide(self) -> list[Action]:
        restarts = self._session.settings.stall_restarts
        reading = self._monitor.reading
        actions = decide(
            self.plan,
            replace(self.state, slots=self._slots.usable(reading, self._attempts.avoided_nodes())),
            time.time(),
            stalled=self._monitor.stalled(self.state) if restarts else [],
            stall_restarts=restarts,
            free_mib=free_memory(reading),
            index=self._session.index,
            max_jobs=self._session.settings.max_jobs,
        )
        if self._session.is_deleted():
            return [action for action in actions if isinstance(action, SendSignal)]
        return actions

    async def _close(self) -> None:
        await self._server.close()
        self._monitor.close()
        self._allocation.close()
        self._attempts.close()
        self._executor.close()
        self._session.close()
