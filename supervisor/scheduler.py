"""What to do next. One pure function: no clock, no files, no processes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from .plan import Plan, RunPlan
from .slots import Slot
from .state import ALIVE, Run, RunState, SessionState, StopKind, run_states


@dataclass(frozen=True)
class Start:
    """Start a new attempt of `run` on `slot`."""

    run: str
    slot: Slot | None
    fresh: bool


@dataclass(frozen=True)
class Signal:
    """Make the living attempt of `run` end. May be carried out more than once without harm."""

    run: str
    how: StopKind


@dataclass(frozen=True)
class Retry:
    """Start `run` again by itself after `delay_s`: it crashed, and the plan allows for that."""

    run: str
    delay_s: float


@dataclass(frozen=True)
class RestartStalled:
    """Restart `run` from its checkpoint: it has not said anything for far too long."""

    run: str


@dataclass(frozen=True)
class Finish:
    """Close the session: nothing runs, and nothing will start by itself."""


Action = Start | Signal | Retry | RestartStalled | Finish


def decide(
    plan: Plan, state: SessionState, now: float, *, stalled: Collection[str] = (), stall_restarts: int = 0
) -> list[Action]:
    """All that should be done `now` (unix time), in order. Done, it is decided again no more, but for the signals.

    A run takes its preferred slot (modulo the number of slots) where that is free, else any free one;
    among runs that want the same slot the order of the plan decides. Without known slots
    (`state.slots is None`) only runs that need none are started. Each of the `stalled` runs is restarted
    `stall_restarts` times at most.
    """
    if state.finished:
        return []
    states = run_states(plan, state)
    actions: list[Action] = [
        Signal(name, attempt.stop)
        for name, run in state.runs.items()
        if (attempt := run.last) is not None and attempt.exit is None and attempt.stop is not None
    ]
    actions += [
        Retry(name, delay)
        for name, run in state.runs.items()
        if (delay := retry_delay(plan.runs[name], run)) is not None
    ]
    actions += [
        RestartStalled(name)
        for name in stalled
        if states[name] is RunState.RUNNING and state.runs[name].stall_restarts < stall_restarts
    ]
    if any(isinstance(action, Retry) for action in actions):
        return actions  # what comes after the end of a run must not start before its retry is on record
    queued = [name for name, run_state in states.items() if run_state is RunState.QUEUED]
    due = [name for name in queued if seconds_to_retry(state.runs[name], now) == 0]
    actions += _starts(plan, state.runs, due, _free_slots(plan, state))
    at_rest = not actions and not queued and not any(run_state in ALIVE for run_state in states.values())
    return [Finish()] if at_rest else actions


def retry_delay(plan: RunPlan, run: Run) -> float | None:
    """Seconds to wait before a crashed run is started again; None where it is not to be."""
    attempt = run.last
    if attempt is None or attempt.exit is None or run.pending or run.held or run.retries >= plan.retries:
        return None
    crashed = attempt.exit.signal is not None or attempt.exit.exit_code in plan.retry_exit_codes
    return plan.retry_delay_s * 2**run.retries if crashed else None


def seconds_to_retry(run: Run, now: float) -> float:
    """How long the run still waits for its next attempt; 0 once the clock was set back."""
    if run.retry is None or now < run.retry.at:
        return 0.0
    return max(0.0, run.retry.at + run.retry.delay_s - now)


def _free_slots(plan: Plan, state: SessionState) -> list[Slot | None]:
    """The slots in their order, with None in place of one that is taken."""
    taken = {
        run.last.slot.index
        for name, run in state.runs.items()
        if run.alive and plan.runs[name].takes_slot and run.last and run.last.slot
    }
    return [None if slot.index in taken else slot for slot in state.slots or ()]


def _starts(plan: Plan, runs: Mapping[str, Run], queued: Sequence[str], free: list[Slot | None]) -> list[Action]:
    chosen: dict[str, Slot | None] = {}
    for name in queued:
        preferred = plan.runs[name].slot
        if preferred == "none":
            chosen[name] = None
        elif isinstance(preferred, int) and free:
            place = preferred % len(free)
            if free[place] is not None:
                chosen[name], free[place] = free[place], None
    for name in queued:
        if name not in chosen and (slot := next(filter(None, free), None)):
            chosen[name] = slot
            free[free.index(slot)] = None
    return [Start(name, chosen[name], runs[name].fresh_next) for name in queued if name in chosen]
