"""What has happened to a session: events, and the state they add up to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict

from .plan import Plan, RunPlan
from .slots import Slot


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

StopKind = Literal["stop", "kill"]
Mode = Literal["parallel", "sequential"]


class Exit(BaseModel):
    """How an attempt ended. Neither exit code nor signal: nobody saw it end (`lost`)."""

    model_config = ConfigDict(frozen=True)

    ended: float  # unix time, s
    exit_code: int | None = None
    signal: int | None = None
    user_s: float | None = None
    system_s: float | None = None
    max_rss_mib: float | None = None
    leftovers: int = 0  # processes that outlived the command and were ended
    error: str | None = None  # why the command could not be started
    last_words: str | None = None  # of its log, where it failed: most often why
    unseen: str | None = None  # why nobody saw it end, where that is known


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)
    at: float  # unix time, s


class EngineStarted(_Event):
    """An engine took the session over: at its beginning, after a crash, or to go on with a finished one."""

    kind: Literal["engine_started"] = "engine_started"
    pid: int


class SlotsChosen(_Event):
    """The places where runs may run, for as long as anything is running."""

    kind: Literal["slots_chosen"] = "slots_chosen"
    slots: tuple[Slot, ...]
    mode: Mode
    notes: tuple[str, ...] = ()


class AttemptStarting(_Event):
    """A decision to start; on disk before the shim is spawned, so that a start is never forgotten."""

    kind: Literal["attempt_starting"] = "attempt_starting"
    run: str
    attempt: int
    slot: Slot | None = None
    fresh: bool
    log_offset: int  # bytes of the run's log that belong to earlier attempts


class AttemptStarted(_Event):
    """The trainer's process exists."""

    kind: Literal["attempt_started"] = "attempt_started"
    run: str
    attempt: int
    pid: int
    started: float


class AttemptVoided(_Event):
    """A start that an engine decided on and did not live to carry out."""

    kind: Literal["attempt_voided"] = "attempt_voided"
    run: str
    attempt: int


class AttemptEnded(_Event):
    """Nothing of the attempt lives any more."""

    kind: Literal["attempt_ended"] = "attempt_ended"
    run: str
    attempt: int
    exit: Exit


class StopRequested(_Event):
    """Somebody wants the run to end, and not to start by itself."""

    kind: Literal["stop_requested"] = "stop_requested"
    run: str
    how: StopKind


class RestartRequested(_Event):
    """A new attempt is wanted, after the present one if there is one: by somebody, or because the run stalled."""

    kind: Literal["restart_requested"] = "restart_requested"
    run: str
    fresh: bool
    cause: Literal["user", "stall"] = "user"


class RetryScheduled(_Event):
    """The run crashed and will start again by itself, `delay_s` after this."""

    kind: Literal["retry_scheduled"] = "retry_scheduled"
    run: str
    delay_s: float


class SessionFinished(_Event):
    """Nothing runs and nothing more will start by itself."""

    kind: Literal["session_finished"] = "session_finished"


RunEvent = (
    AttemptStarting | AttemptStarted | AttemptVoided | AttemptEnded | StopRequested | RestartRequested | RetryScheduled
)
Event = EngineStarted | SlotsChosen | SessionFinished | RunEvent


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
        if attempt.exit.exit_code == 0:
            return RunState.SUCCEEDED
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
    return RunState.WAITING if awaited(plan, states) else RunState.QUEUED


def awaited(plan: RunPlan, states: Mapping[str, RunState]) -> list[str]:
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
