"""The process that owns a session: it applies what the scheduler decides, and answers clients.

It may die at any moment. Every decision is in the journal before it is carried out, every end of an attempt is on
disk before the shim is gone, and starting an engine on a session's folder is the same as recovering it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from . import on_finish
from .commands import answer
from .events import (
    AttemptEnded,
    AttemptStarted,
    AttemptStarting,
    AttemptVoided,
    EngineStarted,
    Event,
    Exit,
    RestartRequested,
    RetryScheduled,
    SessionFinished,
    SlotsChosen,
)
from .files import ensure_room
from .gpu_names import SlotError
from .gpus import GpuReading
from .journal import Journal, JournalBusy, read_journal
from .launchers.local import LocalAttempt
from .living import LivingAttempts
from .logs import clean_line, last_words
from .messages import Command, Down, Reply
from .observer import Observer
from .on_finish import is_worth_telling
from .picture import Painter
from .runtime import EngineLock, socket_path
from .scheduler import Action, Finish, RestartStalled, Retry, Signal, Start, decide
from .sessions import Level, SessionFolder, SessionLog
from .slot_choice import resolve_slots
from .slots import free_memory, usable_slots
from .snapshot import Snapshot
from .starting import attempt_spec, concurrent_runs, slots_wanted
from .state import Attempt, reduce, replay
from .story import tell
from .summary import write_summary
from .wire import Server

TICK_S = 1.0
SUMMARY_INTERVAL_S = 5.0  # between two summaries of a session that is not finished
LINGER_S = 10.0  # how long a finished session still answers when nobody looks at it


class EngineBusy(RuntimeError):
    """Another engine serves this logs folder."""


class Engine:
    """One session, from its folder to its end."""

    def __init__(
        self,
        folder: SessionFolder,
        on_line: Callable[[str, Level], None] | None = None,
        on_event: Callable[[Event], None] | None = None,
        lock: EngineLock | None = None,
    ) -> None:
        """Reads the session; `on_line` gets every line of its log, `on_event` every event; `lock` may be held already.

        Raises:
            SessionError, JournalError: the session's files are missing or damaged.
        """
        self.folder = folder
        self.plan = folder.load_plan()
        self.settings = folder.load_settings()
        self.state = replay(self.plan, read_journal(folder.journal))
        self._painter = Painter(self.plan, folder)
        self._lock = lock or EngineLock(folder.logs)
        self._log = SessionLog(folder.log)
        self._on_line = on_line
        self._on_event = on_event
        self._journal: Journal | None = None
        self._wake = asyncio.Event()
        self._living = LivingAttempts(self._wake.set)
        self._begun = False  # our start is in the journal
        self._trouble = ""  # what keeps the engine from going on, shown as a note
        self._slot_trouble = ""
        self._slots_stale = True  # chosen by an engine before us
        self._summary_due = True
        self._summary_at = -SUMMARY_INTERVAL_S
        self._leaving = False
        self._down = False  # the session is to end for good, whoever still looks at it
        self._server = Server(self.look, self.command, self._lock.is_replaced)
        self._observer: Observer | None = None

    async def run(self, *, linger: bool) -> None:
        """Serves the session until it is finished and, with `linger`, nobody looks at it any more.

        Raises:
            EngineBusy: another engine has the logs folder.
            RuntimeFolderError: no safe place for the socket.
        """
        if not self._lock.acquire():
            raise EngineBusy(f"{self.folder.logs}: another engine serves this folder")
        loop = asyncio.get_running_loop()
        self._observer = Observer(
            self.plan, self.folder, lambda reading: loop.call_soon_threadsafe(self._on_reading, reading)
        )
        try:
            self._journal = Journal(self.folder.journal)
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
        result = answer(self.plan, self.state, command, time.time())
        if not result.reply.ok:
            self._tell(f"{command.verb} refused: {result.reply.message}", "warning")
            return result.reply
        try:
            for event in result.events:
                self._record(event)
        except OSError as error:
            return Reply(ok=False, message=f"cannot write {self.folder.journal}: {error.strerror}; nothing was done")
        self._down = isinstance(command, Down)
        self._wake.set()
        return result.reply

    def look(self) -> Snapshot:
        """The session as it is now."""
        assert self._observer is not None
        observer = self._observer
        return self._painter.snapshot(
            self.state,
            observer.observation,
            now=time.time(),
            reading=observer.reading,
            engine_pid=os.getpid(),
            troubles=(*filter(None, (self._trouble, self._slot_trouble)), *self._unkillable()),
        )

    def _unkillable(self) -> Iterator[str]:
        """Notes about runs that not even SIGKILL ends."""
        for run in self._living.overdue():
            last = self.state.runs[run].last
            if last is not None:
                what = f"pid {last.pid}" if last.pid is not None else "its shim"
                yield f"{run}: {what} does not end, not even by SIGKILL; its slot stays taken"

    async def _serve(self, linger: bool) -> None:
        assert self._observer is not None
        last_needed = time.monotonic()
        while not self._leaving:
            await self._stay_reachable()
            changed = self._step()
            if self._observer.look(self.state, watched=self._server.subscribers > 0) or changed:
                await self._server.push()
            if self._is_gone() and not self._living:
                self._tell(f"{self.folder.path} was deleted, and nothing of it runs any more", "error")
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

    def _is_gone(self) -> bool:
        assert self._journal is not None
        return self._journal.is_deleted()

    def _step(self) -> bool:
        """Notes what has ended and does what should be done; whether the state has changed."""
        before = self.state
        try:
            if not self._begun:
                self._record(EngineStarted(at=time.time(), pid=os.getpid()))
                self._begun = True
            self._collect()
            while actions := [action for action in self._decide() if self._is_news(action)]:
                for action in actions:
                    self._carry_out(action)
            gone = self._is_gone()
            if not gone and any(run.pending for run in self.state.runs.values()):
                with contextlib.suppress(OSError):
                    self._living.prepare()
            if self._summary_due and not gone and time.monotonic() - self._summary_at > SUMMARY_INTERVAL_S:
                self._write_summary()
            self._trouble = f"{self.folder.path} was deleted: nothing more starts" if gone else ""
        except OSError as error:  # a full or vanished disk: nothing was done, so try again at the next tick
            self._trouble = f"cannot go on: {error.filename or self.folder.path}: {error.strerror}; trying again"
        return before is not self.state

    def _decide(self) -> list[Action]:
        assert self._observer is not None
        stalled = self._observer.stalled(self.state) if self.settings.stall_restarts else []
        restarts = self.settings.stall_restarts
        reading = self._observer.reading
        state = replace(self.state, slots=usable_slots(self.state.slots, reading))
        actions = decide(
            self.plan,
            state,
            time.time(),
            stalled=stalled,
            stall_restarts=restarts,
            free_mib=free_memory(reading),
        )
        return [action for action in actions if isinstance(action, Signal)] if self._is_gone() else actions

    def _is_news(self, action: Action) -> bool:
        return not (isinstance(action, Signal) and self._living.knows(action.run, action.how))

    def _carry_out(self, action: Action) -> None:
        match action:
            case Start():
                if self._summary_due and self.plan.runs[action.run].after_end:  # it may want to tell how those ended
                    self._write_summary()
                self._start(action)
            case Signal():
                self._living.tell(action.run, action.how, self.plan.runs[action.run].stop_grace_s)
            case Retry():
                self._record(RetryScheduled(at=time.time(), run=action.run, delay_s=action.delay_s))
            case RestartStalled():
                self._record(RestartRequested(at=time.time(), run=action.run, fresh=False, cause="stall"))
            case Finish():
                self._write_summary()
                self._record(SessionFinished(at=time.time()))

    def _write_summary(self) -> None:
        write_summary(self.folder, self.plan, self.state)
        self._summary_due = False
        self._summary_at = time.monotonic()

    def _start(self, action: Start) -> None:
        number = len(self.state.runs[action.run].attempts) + 1
        log = self.folder.run_log(action.run)
        offset = log.stat().st_size if log.exists() else 0
        starting = AttemptStarting(
            at=time.time(), run=action.run, attempt=number, slot=action.slot, fresh=action.fresh, log_offset=offset
        )
        spec = attempt_spec(
            self.plan, self.settings, starting, log, concurrent=concurrent_runs(self.plan, self.state.slots or ())
        )
        folder = self.folder.attempt_folder(action.run, number)
        ensure_room(folder)
        self._living.prepare()  # what may fail comes before the decision is on record
        self._record(starting)
        if (folder / "process.json").exists():  # started by an engine whose journal lost that
            self._wake.set()
            return
        self._living.start(action.run, folder, spec)

    def _collect(self) -> None:
        """Notes which commands have started and which attempts have ended, whoever started them."""
        for run, record in self.state.runs.items():
            last = record.last
            if last is None or last.exit is not None:
                continue
            if run in self._living:
                self._follow(run, last)
            elif not self._is_gone():
                self._adopt(run, last.number)

    def _follow(self, run: str, last: Attempt) -> None:
        if last.pid is None and (command := self._living.command(run)) is not None:
            pid, started = command.identity.pid, command.started
            self._record(AttemptStarted(at=time.time(), run=run, attempt=last.number, pid=pid, started=started))
        had_shim = not self._living.is_without_shim(run)
        outcome = self._living.poll(run)
        if outcome is not None:
            self._note_end(run, last.number, outcome)
        elif had_shim and self._living.is_without_shim(run):
            self._tell(f"{run}: its shim was killed; what it left is watched without it", "warning")

    def _note_end(self, run: str, number: int, outcome: Exit) -> None:
        assert self._observer is not None
        last = self.state.runs[run].last
        if last is not None and last.stop is None and outcome.exit_code != 0:
            words = last_words(self.folder.run_log(run), last.log_offset)
            outcome = outcome.model_copy(update={"last_words": words})
        self._record(AttemptEnded(at=time.time(), run=run, attempt=number, exit=outcome))
        self._living.forget(run)
        self._observer.read_log(run, self.state)
        self._summary_due = True

    def _adopt(self, name: str, number: int) -> None:
        """Finds out what became of an attempt that an engine before us started, or that we failed to start."""
        found = LocalAttempt.recover(self.folder.attempt_folder(name, number))
        if found is None:
            self._record(AttemptVoided(at=time.time(), run=name, attempt=number))
        elif isinstance(found, Exit):
            self._note_end(name, number, found)
        else:
            self._living.watch(name, found)
            self._tell(f"{name}: attempt {number} is still running; watching it again")

    def _on_reading(self, reading: GpuReading) -> None:
        """Chooses the slots when the GPUs are known and nothing runs on slots chosen earlier."""
        busy = any(run.alive and run.last and run.last.slot for run in self.state.runs.values())
        if (self.state.slots is None or self._slots_stale) and not busy:
            self._choose_slots(reading)
        self._wake.set()

    def _choose_slots(self, reading: GpuReading) -> None:
        assert self._observer is not None
        width, needed = slots_wanted(self.plan)
        try:
            choice = resolve_slots(
                reading,
                requested=self.settings.gpus,
                parallel=self.settings.parallel,
                share=self.settings.share_gpu,
                inherited=self.settings.environment.get("CUDA_VISIBLE_DEVICES"),
                own_pids=self._observer.own_pids,
                needed_mib=needed,
                width=width,
            )
            notes = (*((choice.reason,) if choice.reason else ()), *choice.notes)
            if (choice.slots, choice.mode, notes) != (self.state.slots, self.state.mode, self.state.notes):
                self._record(SlotsChosen(at=time.time(), slots=choice.slots, mode=choice.mode, notes=notes))
            self._slots_stale, self._slot_trouble = False, ""
        except (SlotError, OSError) as error:
            self._slot_trouble = str(error)

    def _record(self, event: Event) -> None:
        """Makes `event` so: in the journal first, then in the state, then in the session's log."""
        assert self._journal is not None
        self._journal.append(event)
        self.state = reduce(self.state, event)
        if self._on_event is not None:
            self._on_event(event)
        for text, level in tell(event, self.plan, self.state):
            self._tell(text, level)
            if self.settings.on_finish and is_worth_telling(event, level):
                self._start_on_finish(self.settings.on_finish, text)

    def _start_on_finish(self, command: str, text: str) -> None:
        try:
            on_finish.start(command, text, self.folder, self.settings.environment)
        except OSError as error:
            self._tell(f"--on-finish: cannot start it: {error.strerror}", "warning")

    def _tell(self, text: str, level: Level = "info") -> None:
        text = clean_line(text.encode("utf-8", "replace"))  # a command may have any name
        self._log.write(text, level)
        if self._on_line is not None:
            self._on_line(text, level)

    async def _close(self) -> None:
        await self._server.close()
        if self._observer is not None:
            self._observer.close()
        self._living.close()
        if self._journal is not None:
            self._journal.close()
