"""State of a session, computed from its events. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from ..gpus.slots import Slot
from ..plan.schema import LOCAL, Plan, RunPlan
from .chains import chain_ends, skipped_because_of
from .events import (
    AttemptEnded,
    AttemptEvent,
    AttemptStarted,
    AttemptStarting,
    AttemptSubmitted,
    AttemptVoided,
    ClockStepped,
    ContinuationScheduled,
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

CLOCK_STEP_S = 1.0  # a smaller difference is the resolution of the measurement, or a correction that hides nothing


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

    @property
    def is_local(self) -> bool:
        """True if its processes belong to this machine."""
        return self.launcher == LOCAL

    @property
    def is_pending(self) -> bool:
        """True while it waits in the queue of a batch system."""
        return not self.is_local and self.pid is None and self.exit is None

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
        retry: The retry that it waits for.
    """

    attempts: tuple[Attempt, ...] = ()
    wants_start: bool = True
    fresh_next: bool = False
    stopped_by_user: bool = False
    retries: int = 0
    stall_restarts: int = 0
    continuations: int = 0
    retry: RetryScheduled | None = None

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


def initial_state(plan: Plan) -> SessionState:
    """Return the state before the first event: every run wants to start."""
    return SessionState(runs={name: Run() for name in plan.runs})


def replay(plan: Plan, events: Iterable[Event]) -> SessionState:
    """Return the state after all `events`."""
    state = initial_state(plan)
    for event in events:
        state = reduce(state, event)
    return state


def reduce(state: SessionState, event: Event) -> SessionState:
    """Return the state after one more event."""
    match event:
        case EngineStarted():
            return _reduce_engine_start(state, event)
        case ClockStepped():
            return _shift(state, event.by_s)
        case SlotsChosen():
            return replace(state, slots=event.slots, mode=event.mode, notes=event.notes)
        case SessionFinished():
            return replace(state, finished=True, ended=event.at)
        case RestartRequested():
            return replace(_reduce_one(state, event), finished=False, ended=None)
        case AttemptStarting():
            return replace(_reduce_one(state, event), attempts_started=state.attempts_started + 1)
        case _:
            return _reduce_one(state, event)


def _reduce_engine_start(state: SessionState, event: EngineStarted) -> SessionState:
    if event.clock_offset_s is None:
        return replace(state, started=state.started or event.at)
    by_s = clock_step(state, event.boot_id, event.clock_offset_s)
    shifted = _shift(state, by_s) if by_s else state
    started = shifted.started or event.at
    return replace(shifted, started=started, boot_id=event.boot_id, clock_offset_s=event.clock_offset_s)


def clock_step(state: SessionState, boot_id: str | None, clock_offset_s: float) -> float:
    """Return by how many seconds the clock was set forward since the state was recorded.

    Args:
        state: The recorded state.
        boot_id: The kernel's identifier of this boot.
        clock_offset_s: Unix time at which the machine was started, as the clock tells it now, s.

    Returns:
        Negative if it was set back; 0 for less than `CLOCK_STEP_S`, and if the machine was restarted since.
    """
    if state.clock_offset_s is None or state.boot_id != boot_id:
        return 0.0
    by_s = clock_offset_s - state.clock_offset_s
    return by_s if abs(by_s) >= CLOCK_STEP_S else 0.0


def _shift(state: SessionState, by_s: float) -> SessionState:
    """Return the state with all times as the clock would tell them after a step."""
    return replace(
        state,
        runs={name: _shift_run(run, by_s) for name, run in state.runs.items()},
        started=None if state.started is None else state.started + by_s,
        ended=None if state.ended is None else state.ended + by_s,
        clock_offset_s=None if state.clock_offset_s is None else state.clock_offset_s + by_s,
    )


def _shift_run(run: Run, by_s: float) -> Run:
    retry = run.retry and run.retry.model_copy(update={"at": run.retry.at + by_s})
    return replace(run, retry=retry, attempts=tuple(_shift_attempt(attempt, by_s) for attempt in run.attempts))


def _shift_attempt(attempt: Attempt, by_s: float) -> Attempt:
    if attempt.node is not None:
        return attempt  # its times are those of another machine's clock
    end = attempt.exit and attempt.exit.model_copy(update={"ended": attempt.exit.ended + by_s})
    return replace(attempt, started=attempt.started + by_s, exit=end)


def _reduce_one(state: SessionState, event: RunEvent) -> SessionState:
    run = _reduce_run(state.runs[event.run], event, state.attempts_started)
    return replace(state, runs={**state.runs, event.run: run})


def _reduce_run(run: Run, event: RunEvent, attempts_started: int) -> Run:
    match event:
        case AttemptStarting() | AttemptSubmitted() | AttemptStarted() | AttemptVoided() | AttemptEnded():
            return _reduce_attempt(run, event, attempts_started)
        case StopRequested():
            stopped = replace(run, wants_start=False, retry=None, stopped_by_user=True)
            killed = run.last is not None and run.last.stop == "kill"
            return _with_last(stopped, stop="kill" if killed else event.how) if run.alive else stopped
        case RestartRequested():
            return _reduce_restart(run, event)
        case RetryScheduled():
            return replace(run, wants_start=True, retry=event, retries=run.retries + 1)
        case ContinuationScheduled():
            return replace(run, wants_start=True, continuations=run.continuations + 1)


def _reduce_attempt(run: Run, event: AttemptEvent, attempts_started: int) -> Run:
    match event:
        case AttemptStarting():
            attempt = Attempt(
                event.attempt,
                event.slot,
                event.fresh,
                event.at,
                event.log_offset,
                attempts_started,
                launcher=event.launcher,
            )
            return replace(run, attempts=(*run.attempts, attempt), wants_start=False, fresh_next=False, retry=None)
        case AttemptSubmitted():
            return _with_last(run, job_id=event.job_id)
        case AttemptStarted():
            return _with_last(run, pid=event.pid, started=event.started, node=event.node)
        case AttemptVoided():
            # It keeps its number: its folder is claimed against a late shim, so no other attempt can use it.
            attempt = run.attempts[-1]
            ended = _with_last(run, exit=Exit(ended=event.at, error="not started: its engine died first"))
            wants_start = run.wants_start or attempt.stop is None
            return replace(ended, wants_start=wants_start, fresh_next=run.fresh_next or attempt.fresh)
        case AttemptEnded():
            measured = event.exit.duration_s
            times = {} if measured is None else {"started": event.exit.ended - measured}
            return _with_last(run, exit=event.exit, **times)


def _reduce_restart(run: Run, event: RestartRequested) -> Run:
    again = replace(run, wants_start=True, fresh_next=event.fresh, retry=None, stopped_by_user=False)
    if event.cause == "user":
        again = replace(again, retries=0, stall_restarts=0, continuations=0)
    else:
        again = replace(again, stall_restarts=run.stall_restarts + 1)
    return _with_last(again, stop=run.attempts[-1].stop or "stop") if run.alive else again


def _with_last(run: Run, **changes: object) -> Run:
    changed = replace(run.attempts[-1], **changes)  # type: ignore[arg-type]
    return replace(run, attempts=(*run.attempts[:-1], changed))


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
