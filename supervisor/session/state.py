"""The state that the events of a session add up to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from ..gpus.slots import Slot
from ..plan.schema import Plan, RunPlan
from .events import (
    AttemptEnded,
    AttemptStarted,
    AttemptStarting,
    AttemptVoided,
    EngineStarted,
    Event,
    Exit,
    Mode,
    RestartRequested,
    RetryScheduled,
    RunEvent,
    SessionFinished,
    SlotsChosen,
    StopKind,
    StopRequested,
)


class RunState(StrEnum):
    """The state of a run, as every screen and file spells it."""

    WAITING = "waiting"
    BLOCKED = "blocked"
    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    LOST = "lost"


ENDED_BADLY = frozenset({RunState.BLOCKED, RunState.FAILED, RunState.STOPPED, RunState.LOST})
ENDED = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED, RunState.LOST})
ALIVE = frozenset({RunState.RUNNING, RunState.STOPPING})
OVER = ENDED | {RunState.BLOCKED}  # nothing more comes of it by itself


@dataclass(frozen=True)
class Attempt:
    """One start of a run."""

    number: int
    slot: Slot | None
    fresh: bool
    started: float
    log_offset: int
    order: int = 0  # how many attempts of all runs were begun before it
    pid: int | None = None
    stop: StopKind | None = None
    exit: Exit | None = None


@dataclass(frozen=True)
class Run:
    """What is known of a run."""

    attempts: tuple[Attempt, ...] = ()
    pending: bool = True  # wants to start as soon as it may
    fresh_next: bool = False
    held: bool = False  # somebody stopped it, so nothing but somebody starts it again
    retries: int = 0  # after crashes, since somebody last restarted it
    stall_restarts: int = 0  # likewise
    retry: RetryScheduled | None = None  # what it waits for before its next attempt

    @property
    def last(self) -> Attempt | None:
        """The newest attempt, which is the only one that can be alive."""
        return self.attempts[-1] if self.attempts else None

    @property
    def alive(self) -> bool:
        """Whether anything of the run may still live."""
        return self.last is not None and self.last.exit is None

    @cached_property
    def own_state(self) -> RunState:
        """How its latest attempt is doing, whatever the run waits for next."""
        attempt = self.last
        if attempt is None:
            return RunState.STOPPED
        if attempt.exit is None:
            return RunState.RUNNING if attempt.stop is None else RunState.STOPPING
        if attempt.exit.exit_code == 0 and None in (attempt.stop, attempt.exit.stop):
            return RunState.SUCCEEDED  # by itself, be it that somebody was about to stop it
        if attempt.exit.exit_code is None and attempt.exit.signal is None and attempt.exit.error is None:
            return RunState.LOST
        return RunState.STOPPED if attempt.stop is not None else RunState.FAILED


@dataclass(frozen=True)
class SessionState:
    """A session as its events left it."""

    runs: Mapping[str, Run]
    slots: tuple[Slot, ...] | None = None
    mode: Mode | None = None
    notes: tuple[str, ...] = ()
    begun: int = 0  # attempts of all runs
    finished: bool = False
    started: float | None = None
    ended: float | None = None


def initial_state(plan: Plan) -> SessionState:
    """The session before anything happened: every run wants to start."""
    return SessionState(runs={name: Run() for name in plan.runs})


def replay(plan: Plan, events: Iterable[Event]) -> SessionState:
    """The state after all `events`."""
    state = initial_state(plan)
    for event in events:
        state = reduce(state, event)
    return state


def reduce(state: SessionState, event: Event) -> SessionState:
    """The state after one more event."""
    match event:
        case EngineStarted():
            return replace(state, started=state.started or event.at)
        case SlotsChosen():
            return replace(state, slots=event.slots, mode=event.mode, notes=event.notes)
        case SessionFinished():
            return replace(state, finished=True, ended=event.at)
        case RestartRequested():
            return replace(_reduce_one(state, event), finished=False, ended=None)
        case AttemptStarting():
            return replace(_reduce_one(state, event), begun=state.begun + 1)
        case _:
            return _reduce_one(state, event)


def _reduce_one(state: SessionState, event: RunEvent) -> SessionState:
    return replace(state, runs={**state.runs, event.run: _reduce_run(state.runs[event.run], event, state.begun)})


def _reduce_run(run: Run, event: RunEvent, begun: int) -> Run:
    match event:
        case AttemptStarting():
            attempt = Attempt(event.attempt, event.slot, event.fresh, event.at, event.log_offset, begun)
            return replace(run, attempts=(*run.attempts, attempt), pending=False, fresh_next=False, retry=None)
        case AttemptStarted():
            return _with_last(run, pid=event.pid, started=event.started)
        case AttemptVoided():
            # It keeps its number: its folder was claimed against a late shim, so no other attempt can have it.
            attempt = run.attempts[-1]
            ended = _with_last(run, exit=Exit(ended=event.at, error="never began: its engine died first"))
            pending, fresh = run.pending or attempt.stop is None, run.fresh_next or attempt.fresh
            return replace(ended, pending=pending, fresh_next=fresh)
        case AttemptEnded():
            return _with_last(run, exit=event.exit)
        case StopRequested():
            held = replace(run, pending=False, retry=None, held=True)
            killed = run.last is not None and run.last.stop == "kill"
            return _with_last(held, stop="kill" if killed else event.how) if run.alive else held
        case RestartRequested():
            return _reduce_restart(run, event)
        case RetryScheduled():
            return replace(run, pending=True, retry=event, retries=run.retries + 1)


def _reduce_restart(run: Run, event: RestartRequested) -> Run:
    again = replace(run, pending=True, fresh_next=event.fresh, retry=None, held=False)
    if event.cause == "user":
        again = replace(again, retries=0, stall_restarts=0)
    else:
        again = replace(again, stall_restarts=run.stall_restarts + 1)
    return _with_last(again, stop=run.attempts[-1].stop or "stop") if run.alive else again


def _with_last(run: Run, **changes: object) -> Run:
    changed = replace(run.attempts[-1], **changes)  # type: ignore[arg-type]
    return replace(run, attempts=(*run.attempts[:-1], changed))


def run_states(plan: Plan, state: SessionState) -> dict[str, RunState]:
    """The state of every run. Dependencies decide between `waiting`, `blocked` and `queued`."""
    states: dict[str, RunState] = {}
    for name in plan.dependencies_first:
        run = state.runs[name]
        if not run.alive and (run.pending or _is_outdated(plan.runs[name], state, run)):
            states[name] = _pending_state(plan.runs[name], states)
        else:
            states[name] = run.own_state
    return {name: states[name] for name in plan.runs}


def _is_outdated(plan: RunPlan, state: SessionState, run: Run) -> bool:
    """Whether a run that sums up others began before one of those did, and so has to run again."""
    if run.last is None or run.held:
        return False
    others = [state.runs[dependency].last for dependency in plan.after_end]
    return any(other is not None and other.order > run.last.order for other in others)


def _pending_state(plan: RunPlan, states: Mapping[str, RunState]) -> RunState:
    if any(states[dependency] in ENDED_BADLY for dependency in plan.after):
        return RunState.BLOCKED
    return RunState.WAITING if unfinished_dependencies(plan, states) else RunState.QUEUED


def unfinished_dependencies(plan: RunPlan, states: Mapping[str, RunState]) -> list[str]:
    """The runs that must still succeed, or end, before this one may start."""
    unsuccessful = [dependency for dependency in plan.after if states[dependency] is not RunState.SUCCEEDED]
    return unsuccessful + [dependency for dependency in plan.after_end if states[dependency] not in OVER]


def blockers(plan: Plan, states: Mapping[str, RunState], name: str) -> tuple[str, ...]:
    """The runs at the root of why `name` is blocked: those that themselves ended badly."""
    roots: list[str] = []
    seen: set[str] = set()
    ahead = list(reversed(plan.runs[name].after))
    while ahead:
        dependency = ahead.pop()
        if dependency in seen:
            continue
        seen.add(dependency)
        if states[dependency] is RunState.BLOCKED:
            ahead += reversed(plan.runs[dependency].after)
        elif states[dependency] in ENDED_BADLY:
            roots.append(dependency)
    return tuple(roots)


def progress_start_offset(attempts: Sequence[Attempt]) -> int:
    """Where in a run's log its present progress begins: at the newest attempt that started from scratch."""
    fresh = [attempt.log_offset for attempt in attempts if attempt.fresh]
    return fresh[-1] if fresh else attempts[0].log_offset if attempts else 0
