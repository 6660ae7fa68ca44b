"""What to do next. One pure function: no clock, no files, no processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .plan import Plan
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
class Finish:
    """Close the session: nothing runs, and nothing will start by itself."""


Action = Start | Signal | Finish


def decide(plan: Plan, state: SessionState) -> list[Action]:
    """All that should be done now, in order. Once it is done, asking again gives no more than the same signals.

    A run takes its preferred slot (modulo the number of slots) where that is free, else any free one;
    among runs that want the same slot the order of the plan decides. Without known slots
    (`state.slots is None`) only runs that need none are started.
    """
    if state.finished:
        return []
    states = run_states(plan, state)
    actions: list[Action] = [
        Signal(name, attempt.stop)
        for name, run in state.runs.items()
        if (attempt := run.last) is not None and attempt.exit is None and attempt.stop is not None
    ]
    queued = [name for name, run_state in states.items() if run_state is RunState.QUEUED]
    actions += _starts(plan, state.runs, queued, _free_slots(plan, state))
    at_rest = not any(run_state in ALIVE or run_state is RunState.QUEUED for run_state in states.values())
    return [Finish()] if at_rest else actions


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
