"""Lines of the session's log for each event. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..formatting import duration, state_counts
from ..plan.schema import LOCAL, Plan
from .events import (
    ENGINE_DIED,
    AttemptEnded,
    AttemptStarted,
    AttemptStarting,
    AttemptSubmitted,
    AttemptVoided,
    ClockStepped,
    ContinuationScheduled,
    EngineStarted,
    Event,
    RestartRequested,
    RetryScheduled,
    SessionFinished,
    SlotsChosen,
    StopRequested,
)
from .explain import INTERRUPTED, describe_exit, explain_state, job_number
from .run_states import blockers, is_continued, run_states
from .session_log import LogLevel
from .state import Attempt, RunState, SessionState

Line = tuple[str, LogLevel]


def event_messages(
    event: Event, plan: Plan, state: SessionState, states: Mapping[str, RunState] | None = None
) -> Iterator[Line]:
    """Yield the log lines for an event that has just led to `state`.

    Args:
        event: The event.
        plan: Plan of the session.
        state: The session after it.
        states: The state of each run after it; by default it is computed.
    """
    match event:
        case EngineStarted():
            yield f"engine started (pid {event.pid})", "info"
        case ClockStepped():
            way = "forward" if event.by_s > 0 else "back"
            yield f"the clock was set {way} by {duration(abs(event.by_s))}; durations are not affected", "warning"
        case SlotsChosen():
            yield f"{event.mode}: {', '.join(slot.name for slot in event.slots)}", "info"
            for note in event.notes:
                yield note, "warning"
        case AttemptStarting() | AttemptSubmitted() | AttemptStarted():
            yield f"{event.run}: {_start_message(event)}", "info"
        case AttemptVoided():
            yield _void_message(event)
        case AttemptEnded():
            yield from _end_message(event, plan, state, states or run_states(plan, state))
        case StopRequested():
            yield f"{event.run}: {event.how} requested", "info"
        case RestartRequested():
            yield _restart_message(event, plan)
        case RetryScheduled():
            tries = f"retry {state.runs[event.run].retries} of {plan.runs[event.run].retries}"
            yield f"{event.run}: crashed; {tries} in {event.delay_s:g} s", "warning"
        case ContinuationScheduled():
            delay = f" in {event.delay_s:g} s, since the last jobs ended early" if event.delay_s else ""
            yield f"{event.run}: continues{delay}; {job_number(state.runs[event.run])}", "info"
        case SessionFinished():
            yield f"session finished: {state_counts(run_states(plan, state).values())}", "info"


def _start_message(event: AttemptStarting | AttemptSubmitted | AttemptStarted) -> str:
    if isinstance(event, AttemptSubmitted):
        return f"{'started as step' if '.' in event.job_id else 'submitted as job'} {event.job_id}"
    if isinstance(event, AttemptStarted):
        return f"running{'' if event.node is None else f' on {event.node}'} as pid {event.pid}"
    again = " from the beginning" if event.fresh else ""
    if event.launcher != LOCAL and event.slot is None:
        return f"submitting attempt {event.attempt}{again}"
    return f"starting attempt {event.attempt}{f' on {event.slot.name}' if event.slot else ''}{again}"


def _void_message(event: AttemptVoided) -> Line:
    if event.reason == ENGINE_DIED:
        return f"{event.run}: attempt {event.attempt} was not started; starting it again", "warning"
    return f"{event.run}: attempt {event.attempt} was not started: {event.reason}", "info"


def _restart_message(event: RestartRequested, plan: Plan) -> Line:
    if event.cause == "stall":
        origin = " from its checkpoint" if plan.runs[event.run].can_resume else ""
        return f"{event.run}: has stalled; restarting it{origin}", "warning"
    return f"{event.run}: restart requested{' from the beginning' if event.fresh else ''}", "info"


def _after(attempt: Attempt) -> str:
    """Return `after 3.4 s`; marked where only the clock tells, which may have been set meanwhile."""
    if attempt.duration_s is None:
        return "after an unknown time (the clock was set)"
    return f"after {'' if attempt.is_duration_certain else 'about '}{attempt.duration_s:.1f} s"


def _end_message(
    event: AttemptEnded, plan: Plan, state: SessionState, states: Mapping[str, RunState]
) -> Iterator[Line]:
    run = state.runs[event.run]
    seconds = _after(run.last) if run.last else ""
    if is_continued(plan, state, event.run):
        yield f"{event.run}: interrupted {seconds} ({describe_exit(run).removeprefix(INTERRUPTED)})", "warning"
    elif run.attempt_state in (RunState.FAILED, RunState.LOST):
        yield f"{event.run}: {run.attempt_state} {seconds} ({describe_exit(run)})", "error"
        for name, other in states.items():
            if other is RunState.BLOCKED and event.run in blockers(plan, states, name):
                yield f"{name}: {explain_state(name, plan, state, states)}", "warning"
    else:
        yield f"{event.run}: {run.attempt_state} {seconds}", "info"
    if event.exit.ends_chain:
        skipped = list(states.values()).count(RunState.SKIPPED)
        yield f"{event.run}: exit code {event.exit.exit_code} ends its chain; {skipped} runs are skipped now", "info"
    if count := event.exit.leftovers:
        yield f"{event.run}: terminated {count} leftover process{'' if count == 1 else 'es'}", "warning"
