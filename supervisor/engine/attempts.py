"""The attempts that an engine watches, whichever engine started them, and the stops it has requested."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ..gpus.models import GpuReading
from ..launchers.attempt_files import FENCE_VARIABLE, AttemptSpec, fence_older_attempts
from ..launchers.base import Launcher, NeverStarted, Outcome, Placement, RunningAttempt
from ..logs.last_message import last_message
from ..plan.schema import LOCAL
from ..session.events import AttemptEnded, AttemptStarted, AttemptSubmitted, AttemptVoided, Exit, StopKind
from ..session.observation import ResourceUsage
from ..session.state import Attempt
from .session_store import SessionStore


class RunningAttempts:
    """At most one attempt per run, until its end is recorded.

    Args:
        launchers: All launchers of the session by their names.
    """

    def __init__(self, launchers: Mapping[str, Launcher]) -> None:
        self._launchers = launchers
        self._attempts: dict[str, RunningAttempt] = {}
        self._launcher_of: dict[str, str] = {}  # the launcher of each attempt, by run
        self._stops: dict[str, StopKind] = {}  # what was requested last
        self._withdrawn: set[str] = set()  # runs whose jobs must not start
        self._ended: list[RunningAttempt] = []  # recorded, but not yet on the disk

    def __contains__(self, run: str) -> bool:
        return run in self._attempts

    def __len__(self) -> int:
        return len(self._attempts)

    def prepare(self, launcher: str) -> None:
        """Acquire what the next start by that launcher needs.

        Raises:
            OSError: The resources are not available.
        """
        self._launchers[launcher].prepare()

    def start(self, run: str, folder: Path, spec: AttemptSpec, launcher: str) -> bool:
        """Start an attempt in its folder.

        Args:
            run: Name of the run.
            folder: Folder of the attempt.
            spec: What to start.
            launcher: Name of the launcher.

        Returns:
            False if it was started already, by an engine whose journal lost that; `collect_exits` adopts it.

        Raises:
            OSError: The folder cannot be written, or nothing can be started now.
        """
        if self._launchers[launcher].was_started(folder):
            return False
        if FENCE_VARIABLE in spec.given:
            fence_older_attempts(folder, spec.attempt)
        self._add(run, self._launchers[launcher].start(folder, spec), launcher)
        return True

    def request_stop(self, run: str, kind: StopKind, grace_s: float) -> None:
        """Request the end of the run's attempt: gently within `grace_s` seconds, or at once."""
        self._stops[run] = kind
        self._attempts[run].request_stop(kind, grace_s)

    def is_stop_requested(self, run: str, kind: StopKind) -> bool:
        """Return whether that, or a kill, was requested of the run's attempt."""
        return self._stops.get(run) in (kind, "kill")

    def withdraw(self, run: str) -> None:
        """Keep the run's attempt, which waits in a queue, from starting.

        Raises:
            OSError: The folder of the attempt cannot be written.
        """
        self._attempts[run].withdraw()
        self._withdrawn.add(run)

    def is_in_queue(self, run: str) -> bool:
        """Return whether the run has an attempt that was not withdrawn."""
        return run in self._attempts and run not in self._withdrawn

    def warnings(self) -> Iterator[str]:
        """Yield present problems of the launchers and of the attempts."""
        for launcher in self._launchers.values():
            yield from launcher.warnings()
        for run, attempt in self._attempts.items():
            for warning in attempt.warnings():
                yield f"{run}: {warning}"

    def avoided_nodes(self) -> frozenset[str]:
        """Return the nodes on whose slots nothing should start now."""
        return frozenset().union(*(launcher.avoided_nodes() for launcher in self._launchers.values()))

    def measure_usage(self) -> dict[str, ResourceUsage]:
        """Return the resource usage of all attempts that can be measured, by run."""
        usages: dict[str, ResourceUsage] = {}
        for name, launcher in self._launchers.items():
            measured = launcher.measure_usage(self._attempts_of(name))
            if name != LOCAL:  # a pid of another machine means nothing here
                measured = {run: replace(usage, pids=frozenset()) for run, usage in measured.items()}
            usages.update(measured)
        return usages

    def read_gpus(self) -> dict[str, GpuReading]:
        """Return the newest readings of the GPUs of jobs, by run."""
        jobs = {name: launcher for name, launcher in self._launchers.items() if name != LOCAL}
        readings = (launcher.read_gpus(self._attempts_of(name)) for name, launcher in jobs.items())
        return {run: reading for each in readings for run, reading in each.items()}

    def placements(self) -> dict[str, Placement]:
        """Return where the attempts in batch systems stand, by run."""
        found = {run: attempt.placement for run, attempt in self._attempts.items() if self._launcher_of[run] != LOCAL}
        return {run: placement for run, placement in found.items() if placement is not None}

    def collect_exits(self, session: SessionStore) -> Iterator[str]:
        """Record which commands have started and which attempts have ended, and yield the runs that ended.

        Attempts of an earlier engine are adopted first.

        Raises:
            OSError: An event could not be recorded; the next call tries again.
        """
        for launcher in self._launchers.values():
            launcher.advance()
        for run in session.index.alive():
            last = session.state.runs[run].last
            assert last is not None
            if run not in self._attempts:
                if session.is_deleted():
                    continue
                self._adopt(session, run, last)
            self._record_start(session, run, last)
            if self._record_end(session, run, last):
                yield run

    def confirm_ends(self) -> None:
        """Tell the attempts that have ended that the journal has this on the disk."""
        for attempt in self._ended:
            attempt.confirm_end()
        self._ended.clear()

    def close(self) -> None:
        """Release all attempts, which go on."""
        for launcher in self._launchers.values():
            launcher.close()

    def _attempts_of(self, launcher: str) -> dict[str, RunningAttempt]:
        return {run: attempt for run, attempt in self._attempts.items() if self._launcher_of[run] == launcher}

    def _add(self, run: str, attempt: RunningAttempt, launcher: str) -> None:
        self._attempts[run] = attempt
        self._launcher_of[run] = launcher
        self._stops.pop(run, None)
        self._withdrawn.discard(run)

    def _adopt(self, session: SessionStore, run: str, last: Attempt) -> None:
        """Take over an attempt that an earlier engine started, or that we failed to start."""
        attempt = self._launchers[last.launcher].adopt(session.folder.attempt_folder(run, last.number))
        self._add(run, attempt, last.launcher)
        if attempt.outcome is None:
            doing = "waiting in a queue" if last.is_pending else "running"
            session.log(f"{run}: attempt {last.number} is still {doing}; watching it again")

    def _record_start(self, session: SessionStore, run: str, last: Attempt) -> None:
        """Record that an attempt was submitted, and that its command runs."""
        placement, started = self._attempts[run].placement, self._attempts[run].started
        if placement is not None and placement.job_id and placement.job_id != last.job_id:
            event = AttemptSubmitted(at=time.time(), run=run, attempt=last.number, job_id=placement.job_id)
            session.record(event)
        if last.pid is None and started is not None:
            session.record(
                AttemptStarted(
                    at=time.time(),
                    run=run,
                    attempt=last.number,
                    pid=started.pid,
                    started=started.at,
                    node=started.node,
                )
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
        del self._attempts[run], self._launcher_of[run]
        return isinstance(outcome, Exit)


def _end_event(session: SessionStore, run: str, last: Attempt, outcome: Outcome) -> AttemptEnded | AttemptVoided:
    if isinstance(outcome, NeverStarted):
        return AttemptVoided(at=time.time(), run=run, attempt=last.number, reason=outcome.reason)
    if last.stop is None and outcome.exit_code in session.plan.runs[run].stop_when:
        outcome = outcome.model_copy(update={"ends_chain": True})
    elif last.stop is None and outcome.exit_code != 0:
        message = last_message(session.folder.run_log(run), last.log_offset)
        outcome = outcome.model_copy(update={"last_words": message})
    return AttemptEnded(at=time.time(), run=run, attempt=last.number, exit=outcome)
