"""The attempts that an engine watches, whichever engine started them, and the stops it has requested."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from ..launchers.attempt_files import AttemptSpec
from ..launchers.base import Launcher, NeverStarted, Outcome, RunningAttempt
from ..logs.last_message import last_message
from ..session.events import AttemptEnded, AttemptStarted, AttemptVoided, Exit, StopKind
from ..session.observation import ResourceUsage
from ..session.state import Attempt
from .session_store import SessionStore


class RunningAttempts:
    """At most one attempt per run, until its end is recorded."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self._attempts: dict[str, RunningAttempt] = {}
        self._stops: dict[str, StopKind] = {}  # what was requested last
        self._ended: list[RunningAttempt] = []  # recorded, but not yet on the disk

    def __contains__(self, run: str) -> bool:
        return run in self._attempts

    def __len__(self) -> int:
        return len(self._attempts)

    def prepare(self) -> None:
        """Acquire what the next start needs.

        Raises:
            OSError: The resources are not available.
        """
        self._launcher.prepare()

    def start(self, run: str, folder: Path, spec: AttemptSpec) -> bool:
        """Start an attempt in its folder.

        Returns:
            False if it was started already, by an engine whose journal lost that; `collect_exits` adopts it.

        Raises:
            OSError: The folder cannot be written, or nothing can be started now.
        """
        if self._launcher.was_started(folder):
            return False
        self._add(run, self._launcher.start(folder, spec))
        return True

    def request_stop(self, run: str, kind: StopKind, grace_s: float) -> None:
        """Request the end of the run's attempt: gently within `grace_s` seconds, or at once."""
        self._stops[run] = kind
        self._attempts[run].request_stop(kind, grace_s)

    def is_stop_requested(self, run: str, kind: StopKind) -> bool:
        """Return whether that, or a kill, was requested of the run's attempt."""
        return self._stops.get(run) in (kind, "kill")

    def warnings(self) -> Iterator[str]:
        """Yield present problems of the launcher and of the attempts."""
        yield from self._launcher.warnings()
        for run, attempt in self._attempts.items():
            for warning in attempt.warnings():
                yield f"{run}: {warning}"

    def measure_usage(self) -> dict[str, ResourceUsage]:
        """Return the resource usage of all attempts that can be measured, by run."""
        return self._launcher.measure_usage(self._attempts)

    def collect_exits(self, session: SessionStore) -> Iterator[str]:
        """Record which commands have started and which attempts have ended, and yield the runs that ended.

        Attempts of an earlier engine are adopted first.

        Raises:
            OSError: An event could not be recorded; the next call tries again.
        """
        self._launcher.advance()
        for run in session.index.alive():
            last = session.state.runs[run].last
            assert last is not None
            if run in self._attempts:
                self._record_start(session, run, last)
            elif session.is_deleted():
                continue
            else:
                self._adopt(session, run, last.number)
            if self._record_end(session, run, last):
                yield run

    def confirm_ends(self) -> None:
        """Tell the attempts that have ended that the journal has this on the disk."""
        for attempt in self._ended:
            attempt.confirm_end()
        self._ended.clear()

    def close(self) -> None:
        """Release all attempts, which go on."""
        self._launcher.close()

    def _add(self, run: str, attempt: RunningAttempt) -> None:
        self._attempts[run] = attempt
        self._stops.pop(run, None)

    def _adopt(self, session: SessionStore, run: str, number: int) -> None:
        """Take over an attempt that an earlier engine started, or that we failed to start."""
        attempt = self._launcher.adopt(session.folder.attempt_folder(run, number))
        self._add(run, attempt)
        if attempt.outcome is None:
            session.log(f"{run}: attempt {number} is still running; watching it again")

    def _record_start(self, session: SessionStore, run: str, last: Attempt) -> None:
        started = self._attempts[run].started
        if last.pid is None and started is not None:
            session.record(
                AttemptStarted(at=time.time(), run=run, attempt=last.number, pid=started.pid, started=started.at)
            )

    def _record_end(self, session: SessionStore, run: str, last: Attempt) -> bool:
        """Record how an attempt ended, and return whether it did."""
        attempt = self._attempts[run]
        for message in attempt.take_messages():
            session.log(f"{run}: {message}", "warning")
        outcome = attempt.outcome
        if outcome is None:
            return False
        if not session.is_deleted():  # if it was moved, the engine that serves it there records the end
            session.record(_end_event(session, run, last, outcome))
            self._ended.append(attempt)
        del self._attempts[run]
        return isinstance(outcome, Exit)


def _end_event(session: SessionStore, run: str, last: Attempt, outcome: Outcome) -> AttemptEnded | AttemptVoided:
    if isinstance(outcome, NeverStarted):
        return AttemptVoided(at=time.time(), run=run, attempt=last.number)
    if last.stop is None and outcome.exit_code != 0:
        message = last_message(session.folder.run_log(run), last.log_offset)
        outcome = outcome.model_copy(update={"last_words": message})
    return AttemptEnded(at=time.time(), run=run, attempt=last.number, exit=outcome)
