"""State of a session, and the states of its runs. Pure; `reducer.py` computes it from the events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from ..gpus.slots import Slot
from ..plan.schema import LOCAL, Plan, RunPlan
from .chains import chain_ends, skipped_because_of
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


def run_states(plan: Plan, state: SessionState) -> dict[str, RunState]:
    """Return the state of every run.

    The dependencies of a run that has not started decide between `waiting`, `blocked` and `queued`. It is `skipped` if
    its chain has ended in a round before.
    """
    states: dict[str, RunState] = {}
    ends = chain_ends(plan, state.runs)
    for name in plan.dependencies_first:
        run = state.runs[name]
        if not run.alive and (run.wants_start or _is_outdated(plan.runs[name], state, run)):
            if ends and skipped_because_of(plan.runs[name], plan, ends) is not None:
                states[name] = RunState.SKIPPED
                continue
            states[name] = _unstarted_state(plan.runs[name], states)
        else:
            states[name] = run.attempt_state
    return {name: states[name] for name in plan.runs}


def _is_outdated(plan: RunPlan, state: SessionState, run: Run) -> bool:
    """Return whether a run with `rerun` must run again, because one in its `after_end` started after it."""
    if not plan.rerun or run.last is None or run.stopped_by_user:
        return False
    others = [state.runs[dependency].last for dependency in plan.after_end]
    return any(other is not None and other.order > run.last.order for other in others)


def _unstarted_state(plan: RunPlan, states: Mapping[str, RunState]) -> RunState:
    if not (plan.after or plan.after_end):
        return RunState.QUEUED
    if any(states[dependency] in ENDED_BADLY for dependency in plan.after):
        return RunState.BLOCKED
    return RunState.WAITING if unfinished_dependencies(plan, states) else RunState.QUEUED


def unfinished_dependencies(plan: RunPlan, states: Mapping[str, RunState]) -> list[str]:
    """Return the runs that must still succeed, or end, before this one may start."""
    unsuccessful = [dependency for dependency in plan.after if states[dependency] not in DONE]
    return unsuccessful + [dependency for dependency in plan.after_end if states[dependency] not in SETTLED]


def is_continued(plan: Plan, state: SessionState, name: str) -> bool:
    """Return whether a new attempt of an interrupted run is due, which is still to be recorded."""
    run = state.runs[name]
    if not run.is_interrupted or run.wants_start or run.stopped_by_user:
        return False
    return run.continuations < plan.continuations(name)


def blockers(plan: Plan, states: Mapping[str, RunState], name: str) -> tuple[str, ...]:
    """Return the runs that `name` is blocked by in the end: those that failed, were stopped or lost."""
    roots: list[str] = []
    seen: set[str] = set()
    to_visit = list(reversed(plan.runs[name].after))
    while to_visit:
        dependency = to_visit.pop()
        if dependency in seen:
            continue
        seen.add(dependency)
        if states[dependency] is RunState.BLOCKED:
            to_visit += reversed(plan.runs[dependency].after)
        elif states[dependency] in ENDED_BADLY:
            roots.append(dependency)
    return tuple(roots)


def progress_start_offset(attempts: Sequence[Attempt]) -> int:
    """Return where the current progress of a run starts in its log: at the newest attempt from scratch, bytes."""
    fresh = [attempt.log_offset for attempt in attempts if attempt.fresh]
    return fresh[-1] if fresh else attempts[0].log_offset if attempts else 0
