"""The process that owns a session: it applies what the scheduler decides, and answers clients.

It may die at any moment. Every decision is in the journal before it is carried out, every end of an attempt is on
disk before the shim is gone, and starting an engine on a session's folder is the same as recovering it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import replace

from ..files import ensure_room
from ..gpus.models import GpuReading
from ..gpus.slot_selection import SlotRequest, select_slots
from ..gpus.slots import available_slots, free_memory, lost_slot_warnings
from ..gpus.visible_devices import GpuRequestError
from ..ipc.engine_lock import EngineLock
from ..ipc.messages import Command, Down, Reply, Stop
from ..ipc.server import Server
from ..ipc.socket_path import socket_path
from ..session.events import (
    AttemptStarting,
    EngineStarted,
    Event,
    RestartRequested,
    RetryScheduled,
    SessionFinished,
    SlotsChosen,
)
from ..session.folder import SessionFolder
from ..session.journal import JournalBusy
from ..session.session_log import LogLevel
from ..session.snapshot import Snapshot
from ..session.snapshot_builder import SnapshotBuilder
from ..session.state import SessionState
from .attempt_spec import attempt_spec, concurrent_runs
from .attempts import RunningAttempts
from .command_handler import handle_command
from .monitor import Monitor
from .scheduler import Action, FinishSession, RestartStalled, Retry, SendSignal, StartAttempt, decide
from .session_store import SessionStore

TICK_S = 1.0
LINGER_S = 10.0  # how long a finished session still answers when nobody looks at it


class EngineBusy(RuntimeError):
    """Another engine serves this logs folder."""


class Engine:
    """One session, from its folder to its end."""

    def __init__(
        self,
        folder: SessionFolder,
        on_line: Callable[[str, LogLevel], None] | None = None,
        on_event: Callable[[Event], None] | None = None,
        lock: EngineLock | None = None,
    ) -> None:
        """Reads the session; `on_line` gets every line of its log, `on_event` every event; `lock` may be held already.

        Raises:
            SessionError, JournalError: the session's files are missing or damaged.
        """
        self.folder = folder
        self._session = SessionStore(folder, on_line, on_event)
        self.plan = self._session.plan
        self._painter = SnapshotBuilder(self.plan, folder)
        self._lock = lock or EngineLock(folder.logs)
        self._wake = asyncio.Event()
        self._living = RunningAttempts(self._wake.set)
        self._begun = False  # our start is in the journal
        self._trouble = ""  # what keeps the engine from going on, shown as a note
        self._slot_trouble = ""
        self._slots_stale = True  # chosen by an engine before us
        self._leaving = False
        self._down = False  # the session is to end for good, whoever still looks at it
        self._server = Server(self.look, self.command, self._lock.is_replaced)
        self._observer: Monitor | None = None

    @property
    def state(self) -> SessionState:
        """The session's state now."""
        return self._session.state

    async def run(self, *, linger: bool) -> None:
        """Serves the session until it is finished and, with `linger`, nobody looks at it any more.

        Raises:
            EngineBusy: another engine has the logs folder.
            RuntimeFolderError: no safe place for the socket.
        """
        if not self._lock.acquire():
            raise EngineBusy(f"{self.folder.logs}: another engine serves this folder")
        loop = asyncio.get_running_loop()
        self._observer = Monitor(
            self.plan, self.folder, lambda reading: loop.call_soon_threadsafe(self._on_reading, reading)
        )
        try:
            self._session.open()
            await self._listen()
            self._observer.read_logs(self.state.runs, self.state)
            await self._serve(linger)
        except JournalBusy:
            raise EngineBusy(f"{self.folder.path}: another engine serves this session") from None
        finally:
            await self._close()
            self._lock.release()

    def leave(self) -> None:
        """Ends this engine; the runs go on."""
        self._leaving = True
        self._wake.set()

    async def command(self, command: Command) -> Reply:
        """Carries out a client's command."""
        result = handle_command(self.plan, self.state, command, time.time())
        if not result.reply.ok:
            self._session.log(f"{command.verb} refused: {result.reply.message}", "warning")
            return result.reply
        try:
            for event in result.events:
                self._session.record(event)
        except OSError as error:
            return Reply(ok=False, message=f"cannot write {self.folder.journal}: {error.strerror}; nothing was done")
        self._down = isinstance(command, Down) or (self._down and isinstance(command, Stop))
        self._wake.set()
        return result.reply

    def look(self) -> Snapshot:
        """The session as it is now."""
        assert self._observer is not None
        observer = self._observer
        troubles = (
            *filter(None, (self._trouble, self._slot_trouble)),
            *self._living.overdue(self.state),
            *observer.troubles(self.state),
            *lost_slot_warnings(self.state.slots, observer.reading),
        )
        return self._painter.snapshot(
            self.state,
            observer.observation,
            now=time.time(),
            reading=observer.reading,
            engine_pid=os.getpid(),
            problems=troubles,
        )

    async def _serve(self, linger: bool) -> None:
        assert self._observer is not None
        last_needed = time.monotonic()
        while not self._leaving:
            await self._stay_reachable()
            changed = self._step()
            if self._observer.look(self.state, watched=self._server.subscribers > 0) or changed:
                await self._server.push()
            if self._session.is_deleted() and not self._living:
                self._session.log(f"{self.folder.path} was deleted or moved, and nothing of it runs any more", "error")
                return
            linger = linger and not self._down
            if not self.state.finished or (linger and self._server.subscribers):
                last_needed = time.monotonic()
            elif not linger or time.monotonic() - last_needed > LINGER_S:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), TICK_S)
            self._wake.clear()

    async def _listen(self) -> None:
        path = socket_path(self.folder.logs)
        await self._server.listen(path)
        self._lock.tell(path)

    async def _stay_reachable(self) -> None:
        """Puts the socket back where somebody removed it: systemd does, at a user's last logout."""
        if not self._server.can_be_found() and self._lock.is_whole():
            with contextlib.suppress(OSError):  # at the next tick again
                await self._listen()

    def _step(self) -> bool:
        """Notes what has ended and does what should be done; whether the state has changed."""
        assert self._observer is not None
        before = self.state
        try:
            if not self._begun:
                self._session.record(EngineStarted(at=time.time(), pid=os.getpid()))
                self._begun = True
            for run in self._living.collect(self._session):
                self._observer.read_log(run, self.state)
            while actions := [action for action in self._decide() if self._is_news(action)]:
                for action in actions:
                    self._carry_out(action)
            gone = self._session.is_deleted()
            if not gone and any(run.wants_start for run in self.state.runs.values()):
                with contextlib.suppress(OSError):
                    self._living.prepare()
            if not gone and self._session.is_to_be_summed_up:
                self._session.sum_up()
            self._trouble = f"{self.folder.path} was deleted or moved: nothing more starts" if gone else ""
        except OSError as error:  # a full or vanished disk: nothing was done, so try again at the next tick
            self._trouble = f"cannot go on: {error.filename or self.folder.path}: {error.strerror}; trying again"
        return before is not self.state

    def _decide(self) -> list[Action]:
        assert self._observer is not None
        stalled = self._observer.stalled(self.state) if self._session.settings.stall_restarts else []
        restarts = self._session.settings.stall_restarts
        reading = self._observer.reading
        state = replace(self.state, slots=available_slots(self.state.slots, reading))
        actions = decide(
            self.plan,
            state,
            time.time(),
            stalled=stalled,
            stall_restarts=restarts,
            free_mib=free_memory(reading),
        )
        return (
            [action for action in actions if isinstance(action, SendSignal)] if self._session.is_deleted() else actions
        )

    def _is_news(self, action: Action) -> bool:
        if not isinstance(action, SendSignal):
            return True
        return action.run in self._living and not self._living.knows(action.run, action.how)

    def _carry_out(self, action: Action) -> None:
        match action:
            case StartAttempt():
                if self.plan.runs[action.run].after_end and not self._session.is_summed_up:  # it tells how those ended
                    self._session.sum_up()
                self._start(action)
            case SendSignal():
                self._living.tell(action.run, action.how, self.plan.runs[action.run].stop_grace_s)
            case Retry():
                self._session.record(RetryScheduled(at=time.time(), run=action.run, delay_s=action.delay_s))
            case RestartStalled():
                self._session.record(RestartRequested(at=time.time(), run=action.run, fresh=False, cause="stall"))
            case FinishSession():
                self._session.sum_up(required=not self._down)  # there may be room again before anybody wants the end
                self._session.record(SessionFinished(at=time.time()))

    def _start(self, action: StartAttempt) -> None:
        number = len(self.state.runs[action.run].attempts) + 1
        log = self.folder.run_log(action.run)
        offset = log.stat().st_size if log.exists() else 0
        starting = AttemptStarting(
            at=time.time(), run=action.run, attempt=number, slot=action.slot, fresh=action.fresh, log_offset=offset
        )
        spec = attempt_spec(
            self.plan,
            self._session.settings,
            starting,
            log,
            concurrent=concurrent_runs(self.plan, self.state.slots or ()),
        )
        folder = self.folder.attempt_folder(action.run, number)
        ensure_room(folder)
        self._living.prepare()  # what may fail comes before the decision is on record
        self._session.record(starting)
        if (folder / "process.json").exists():  # started by an engine whose journal lost that
            self._wake.set()
            return
        self._living.start(action.run, folder, spec)

    def _on_reading(self, reading: GpuReading) -> None:
        """Chooses the slots when the GPUs are known and nothing runs on slots chosen earlier."""
        busy = any(run.alive and run.last and run.last.slot for run in self.state.runs.values())
        if (self.state.slots is None or self._slots_stale) and not busy:
            self._choose_slots(reading)
        self._wake.set()

    def _choose_slots(self, reading: GpuReading) -> None:
        assert self._observer is not None
        try:
            settings = self._session.settings
            request = SlotRequest.for_plan(
                self.plan,
                gpus=settings.gpus,
                inherited=settings.environment.get("CUDA_VISIBLE_DEVICES"),
                parallel=settings.parallel,
                share=settings.share_gpu,
            )
            choice = select_slots(reading, request, self._observer.own_pids)
            notes = (*((choice.reason,) if choice.reason else ()), *choice.notes)
            if (choice.slots, choice.mode, notes) != (self.state.slots, self.state.mode, self.state.notes):
                self._session.record(SlotsChosen(at=time.time(), slots=choice.slots, mode=choice.mode, notes=notes))
            self._slots_stale, self._slot_trouble = False, ""
        except (GpuRequestError, OSError) as error:
            self._slot_trouble = str(error)

    async def _close(self) -> None:
        await self._server.close()
        if self._observer is not None:
            self._observer.close()
        self._living.close()
        self._session.close()
