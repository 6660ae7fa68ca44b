"""State of a session after its events. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..plan.schema import Plan
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
    RestartRequested,
    RetryScheduled,
    RunEvent,
    SessionFinished,
    SlotsChosen,
    StopRequested,
)
from .state import Attempt, Run, SessionState

CLOCK_STEP_S = 1.0  # a smaller difference is the resolution of the measurement, or a correction that hides nothing


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
            delayed = event if event.delay_s > 0 else None
            return replace(run, wants_start=True, retry=delayed, continuations=run.continuations + 1)


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
                follows=event.follows,
            )
            return replace(run, attempts=(*run.attempts, attempt), wants_start=False, fresh_next=False, retry=None)
        case AttemptSubmitted():
            return _with_last(run, job_id=event.job_id)
        case AttemptStarted():
            return _with_last(run, pid=event.pid, started=event.started, node=event.node)
        case AttemptVoided():
            # It keeps its number: its folder is claimed against a late shim, so no other attempt can use it.
            attempt = run.attempts[-1]
            ended = _with_last(run, exit=Exit(ended=event.at, error=f"not started: {event.reason}"))
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
