"""State of a session, its runs and their attempts. Pure; `reducer.py` computes it from the events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from ..gpus.slots import Slot
from ..plan.schema import LOCAL
from .events import ContinuationScheduled, Exit, Mode, RetryScheduled, StopKind


class RunState(StrEnum):
    """The state of a run, as every screen and file spells it."""

    WAITING = "waiting"
    BLOCKED = "blocked"
    QUEUED = "queued"
    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    LOST = "lost"
    SKIPPED = "skipped"


ENDED_BADLY = frozenset({RunState.BLOCKED, RunState.FAILED, RunState.STOPPED, RunState.LOST})
DONE = frozenset({RunState.SUCCEEDED, RunState.SKIPPED})  # what a run in `after` must be
ENDED = DONE | {RunState.FAILED, RunState.STOPPED, RunState.LOST}
ALIVE = frozenset({RunState.PENDING, RunState.RUNNING, RunState.STOPPING})
SETTLED = ENDED | {RunState.BLOCKED}  # does not change on its own


@dataclass(frozen=True)
class Attempt:
    """One start of a run.

    Attributes:
        number: 1 for the first attempt of the run.
        slot: Where it runs; None for a run without slot.
        fresh: Whether it starts from scratch instead of from a checkpoint.
        started: Unix time, s.
        log_offset: Where it starts in the log of the run, bytes.
        order: How many attempts of all runs were started before it.
        pid: Of the command; None until it has started.
        stop: The stop that was requested, if any.
        exit: How it ended; None while it is alive.
        launcher: The launcher that started it.
        job_id: Its job in a batch system; None until it is submitted there.
        node: The machine to which `pid` belongs; None for this one.
        follows: Attempts that must succeed before its job starts, each as the name of its run and its number.
    """

    number: int
    slot: Slot | None
    fresh: bool
    started: float
    log_offset: int
    order: int = 0
    pid: int | None = None
    stop: StopKind | None = None
    exit: Exit | None = None
    launcher: str = LOCAL
    job_id: str | None = None
    node: str | None = None
    follows: tuple[tuple[str, int], ...] = ()

    @property
    def is_local(self) -> bool:
        """True if its processes belong to this machine."""
        return self.launcher == LOCAL

    @property
    def is_pending(self) -> bool:
        """True while it waits in the queue of a batch system."""
        return not self.is_local and self.pid is None and self.exit is None

    @property
    def has_exited_cleanly(self) -> bool:
        """True if it ended with exit code 0 and was not told to stop: only then does its job succeed."""
        return self.exit is not None and self.exit.exit_code == 0 and self.exit.stop is None

    @property
    def duration_s(self) -> float | None:
        """How long it ran, s; None while it is alive, and where a step of the clock leaves that unknown."""
        if self.exit is None:
            return None
        if not self.is_local and self.pid is None:
            return self.exit.duration_s or 0.0  # the time in the queue does not count
        elapsed = self.exit.ended - self.started
        return self.exit.duration_s if self.exit.duration_s is not None else elapsed if elapsed >= 0 else None

    @property
    def is_duration_certain(self) -> bool:
        """False if its end was not observed, so that only the clock tells how long it ran, or not even that."""
        end = self.exit
        is_observed = end is None or (end.exit_code, end.signal, end.error, end.duration_s) != (None,) * 4
        return is_observed and (end is None or self.duration_s is not None)


@dataclass(frozen=True)
class Run:
    """The state of a run.

    Attributes:
        attempts: All attempts, oldest first.
        wants_start: Whether it starts as soon as dependencies and slots permit.
        fresh_next: Whether the next attempt starts from scratch.
        stopped_by_user: Whether the user stopped it; only the user starts it again.
        retries: Retries after crashes since the last restart by the user.
        stall_restarts: Restarts after stalls since the last restart by the user.
        continuations: New attempts after interruptions since the last restart by the user.
        retry: The retry, or the delayed continuation, that it waits for.
    """

    attempts: tuple[Attempt, ...] = ()
    wants_start: bool = True
    fresh_next: bool = False
    stopped_by_user: bool = False
    retries: int = 0
    stall_restarts: int = 0
    continuations: int = 0
    retry: RetryScheduled | ContinuationScheduled | None = None

    @cached_property
    def last(self) -> Attempt | None:
        """The newest attempt, the only one that can be alive; None before the first."""
        return self.attempts[-1] if self.attempts else None

    @cached_property
    def alive(self) -> bool:
        """True if any process of the run may still be alive."""
        return self.last is not None and self.last.exit is None

    @cached_property
    def is_interrupted(self) -> bool:
        """True if the latest attempt was ended from outside, and not by the user."""
        last = self.last
        return last is not None and last.exit is not None and last.exit.interrupted and last.stop is None

    @cached_property
    def attempt_state(self) -> RunState:
        """The state of the latest attempt, whatever the run waits for next."""
        attempt = self.last
        if attempt is None:
            return RunState.STOPPED
        if attempt.exit is None:
            if attempt.stop is not None:
                return RunState.STOPPING
            return RunState.PENDING if attempt.is_pending else RunState.RUNNING
        if self.is_interrupted:
            # Unless it continues; its exit code says nothing.
            return RunState.STOPPED if self.stopped_by_user else RunState.FAILED
        if attempt.exit.ends_chain:
            return RunState.SUCCEEDED
        if attempt.exit.exit_code == 0 and None in (attempt.stop, attempt.exit.stop):
            return RunState.SUCCEEDED  # even if a stop was requested at the same time
        if attempt.exit.exit_code is None and attempt.exit.signal is None and attempt.exit.error is None:
            return RunState.LOST
        return RunState.STOPPED if attempt.stop is not None else RunState.FAILED


@dataclass(frozen=True)
class SessionState:
    """The state of a session after its events so far.

    Attributes:
        runs: The runs by name.
        slots: The slots; None until they are selected.
        mode: parallel or sequential; None until the slots are selected.
        notes: Notes on the selection of slots.
        attempts_started: How many attempts of all runs were started.
        finished: Whether nothing is alive and nothing will start on its own.
        started: Unix time, s.
        ended: Unix time, s; None unless finished.
        boot_id: Boot of the machine in which the newest engine was started; None if not recorded.
        clock_offset_s: Unix time of that boot by the clock of that engine, s; it changes with every step of the clock.
    """

    runs: Mapping[str, Run]
    slots: tuple[Slot, ...] | None = None
    mode: Mode | None = None
    notes: tuple[str, ...] = ()
    attempts_started: int = 0
    finished: bool = False
    started: float | None = None
    ended: float | None = None
    boot_id: str | None = None
    clock_offset_s: float | None = None


def progress_start_offset(attempts: Sequence[Attempt]) -> int:
    """Return where the current progress of a run starts in its log: at the newest attempt from scratch, bytes."""
    fresh = [attempt.log_offset for attempt in attempts if attempt.fresh]
    return fresh[-1] if fresh else attempts[0].log_offset if attempts else 0
