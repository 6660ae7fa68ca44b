"""The attempts that an engine watches, whoever started them, and what it has asked of them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..launchers.attempt_files import AttemptSpec
from ..launchers.local import LocalAttempt
from ..launchers.shim_pool import ShimPool
from ..logs.last_message import last_message
from ..session.events import AttemptEnded, AttemptStarted, AttemptVoided, Exit, StopKind
from ..session.state import Attempt, SessionState
from .session_store import SessionStore

OVERDUE_S = 5.0  # after a SIGKILL; a process that lives longer is stuck in the kernel, or not ours to kill


class RunningAttempts:
    """One attempt per run at most. `wake` is called in the event loop whenever there is news to collect."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._shims = ShimPool()
        self._attempts: dict[str, LocalAttempt] = {}
        self._told: dict[str, StopKind] = {}
        self._dead_by: dict[str, float] = {}  # monotonic time by which SIGKILL should have ended a run

    def __contains__(self, run: str) -> bool:
        return run in self._attempts

    def __len__(self) -> int:
        return len(self._attempts)

    def prepare(self) -> None:
        """Has a shim at hand for the next start.

        Raises:
            OSError: no process can be made.
        """
        self._shims.refill()

    def start(self, run: str, folder: Path, spec: AttemptSpec) -> None:
        """Starts an attempt in its folder, under a new shim.

        Raises:
            OSError: the folder cannot be written, or no process can be made.
        """
        attempt, ready = LocalAttempt.start(folder, spec, self._shims)
        self._watch(run, attempt)
        asyncio.get_running_loop().add_reader(ready, self._on_ready, ready)

    def tell(self, run: str, how: StopKind, grace_s: float) -> None:
        """Has the run's attempt end, gently within `grace_s` or at once."""
        self._told[run] = how
        self._dead_by[run] = time.monotonic() + OVERDUE_S + (grace_s if how == "stop" else 0)
        self._attempts[run].send(how, grace_s)

    def knows(self, run: str, how: StopKind) -> bool:
        """Whether the run's attempt has been told that already, or worse."""
        return self._told.get(run) in (how, "kill")

    def overdue(self, state: SessionState) -> Iterator[str]:
        """Notes about runs that not even SIGKILL has ended: they wait for a disk or driver, or may not be signalled."""
        for run, moment in self._dead_by.items():
            last = state.runs[run].last
            if last is not None and run in self._attempts and time.monotonic() > moment:
                what = f"pid {last.pid}" if last.pid is not None else "its shim"
                yield f"{run}: {what} does not end, not even by SIGKILL; its slot stays taken"

    def collect(self, session: SessionStore) -> Iterator[str]:
        """Notes which commands have started and which attempts have ended, whoever started them; runs that ended.

        Raises:
            OSError: it could not be noted, so it comes again.
        """
        for run, record in session.state.runs.items():
            last = record.last
            if last is None or last.exit is not None:
                continue
            outcome: Exit | None = None
            if run in self._attempts:
                outcome = self._follow(session, run, last)
            elif not session.is_deleted():
                outcome = self._adopt(session, run, last.number)
            if outcome is None:
                continue
            if not session.is_deleted():  # or moved: then whoever serves it there finds out
                _record_end(session, run, last, outcome)
            self._attempts.pop(run, None)
            yield run

    def _follow(self, session: SessionStore, run: str, last: Attempt) -> Exit | None:
        attempt = self._attempts[run]
        if last.pid is None and (command := attempt.command()) is not None:
            pid, started = command.identity.pid, command.started
            session.record(AttemptStarted(at=time.time(), run=run, attempt=last.number, pid=pid, started=started))
        had_shim = not attempt.is_without_shim
        outcome = self._poll(attempt)
        if outcome is None and had_shim and attempt.is_without_shim:
            session.log(f"{run}: its shim was killed; what it left is watched without it", "warning")
        return outcome

    def _adopt(self, session: SessionStore, run: str, number: int) -> Exit | None:
        """Finds out what became of an attempt that an engine before us started, or that we failed to start."""
        found = LocalAttempt.recover(session.folder.attempt_folder(run, number))
        if isinstance(found, Exit):
            return found
        if found is None:
            session.record(AttemptVoided(at=time.time(), run=run, attempt=number))
        else:
            self._watch(run, found)
            session.log(f"{run}: attempt {number} is still running; watching it again")
        return None

    def _watch(self, run: str, attempt: LocalAttempt) -> None:
        self._attempts[run] = attempt
        self._told.pop(run, None)
        self._dead_by.pop(run, None)
        self._listen(attempt)

    def _poll(self, attempt: LocalAttempt) -> Exit | None:
        """How the attempt ended, again and again until it is forgotten; None while anything of it lives."""
        attempt.tick()
        watched = attempt.descriptor
        outcome = attempt.poll()
        if attempt.descriptor != watched:
            asyncio.get_running_loop().remove_reader(watched)
            if outcome is None:
                self._listen(attempt)
        return outcome

    def close(self) -> None:
        """Lets go of all attempts, which live on."""
        self._shims.close()
        loop = asyncio.get_running_loop()
        for attempt in self._attempts.values():
            loop.remove_reader(attempt.descriptor)
            attempt.close()

    def _listen(self, attempt: LocalAttempt) -> None:
        asyncio.get_running_loop().add_reader(attempt.descriptor, self._on_news, attempt.descriptor)

    def _on_news(self, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)  # it stays readable; `poll` asks what happened
        self._wake()

    def _on_ready(self, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        self._wake()


def _record_end(session: SessionStore, run: str, last: Attempt, outcome: Exit) -> None:
    if last.stop is None and outcome.exit_code != 0:
        words = last_message(session.folder.run_log(run), last.log_offset)
        outcome = outcome.model_copy(update={"last_words": words})
    session.record(AttemptEnded(at=time.time(), run=run, attempt=last.number, exit=outcome))
