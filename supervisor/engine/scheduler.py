"""What to do next. One pure function: no clock, no files, no processes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ..gpus.slots import Slot
from ..plan.schema import Plan, RunPlan
from ..session.events import StopKind
from ..session.state import ALIVE, Run, RunState, SessionState, run_states

NO_MEMORY_KNOWN: Mapping[str, int] = {}


@dataclass(frozen=True)
class StartAttempt:
    """Start a new attempt of `run` on `slot`."""

    run: str
    slot: Slot | None
    fresh: bool


@dataclass(frozen=True)
class SendSignal:
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
class FinishSession:
    """Close the session: nothing runs, and nothing will start by itself."""


Action = StartAttempt | SendSignal | Retry | RestartStalled | FinishSession


def decide(
    plan: Plan,
    state: SessionState,
    now: float,
    *,
    stalled: Collection[str] = (),
    stall_restarts: int = 0,
    free_mib: Mapping[str, int] = NO_MEMORY_KNOWN,
) -> list[Action]:
    """All that should be done `now` (unix time), in order. Done, it is decided again no more, but for the signals.

    A run takes its preferred slot (modulo the number of slots) where that is free, else any free one;
    among runs that want the same slot the order of the plan decides. A shared slot takes a run beside others
    while all of them together expect no more than it may hold, and the run itself no more than is free there now:
    `free_mib`, by the UUID of the GPU. Without known slots (`state.slots is None`) only runs that need none are
    started. Each of the `stalled` runs is restarted `stall_restarts` times at most.
    """
    if state.finished:
        return []
    states = run_states(plan, state)
    actions: list[Action] = [
        SendSignal(name, attempt.stop)
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
    actions += _starts(plan, state.runs, due, _places(plan, state, free_mib))
    at_rest = not actions and not queued and not any(run_state in ALIVE for run_state in states.values())
    return [FinishSession()] if at_rest else actions


def retry_delay(plan: RunPlan, run: Run) -> float | None:
    """Seconds to wait before a crashed run is started again; None where it is not to be."""
    attempt = run.last
    if attempt is None or attempt.exit is None or run.wants_start or run.stopped_by_user or run.retries >= plan.retries:
        return None
    crashed = attempt.exit.signal is not None or attempt.exit.exit_code in plan.retry_exit_codes
    return plan.retry_delay_s * 2**run.retries if crashed else None


def seconds_to_retry(run: Run, now: float) -> float:
    """How long the run still waits for its next attempt; 0 once the clock was set back."""
    if run.retry is None or now < run.retry.at:
        return 0.0
    return max(0.0, run.retry.at + run.retry.delay_s - now)


@dataclass
class _Place:
    """A slot, and what the runs on it expect to hold (MiB; None where the plan does not say)."""

    slot: Slot
    free_mib: int | None
    expected: list[int | None] = field(default_factory=list)

    def has_room(self, run: RunPlan) -> bool:
        """Whether `run` may join those that are here."""
        if not self.expected:
            return True
        room, wanted = self.slot.shared_mib, run.gpu_memory_mib
        if room is None or wanted is None or None in self.expected:
            return False
        fits_now = self.free_mib is None or wanted <= self.free_mib
        return fits_now and sum(filter(None, self.expected)) + wanted <= room


def _places(plan: Plan, state: SessionState, free_mib: Mapping[str, int]) -> list[_Place]:
    """The slots in their order, with those that live on them."""
    places = [_Place(slot, free_mib.get(slot.gpu_uuid or "")) for slot in state.slots or ()]
    by_index = {place.slot.index: place for place in places}
    for name, run in state.runs.items():
        slot = run.last.slot if run.alive and run.last else None
        if slot is not None and plan.runs[name].takes_slot and slot.index in by_index:
            by_index[slot.index].expected.append(plan.runs[name].gpu_memory_mib)
    return places


def _starts(plan: Plan, runs: Mapping[str, Run], queued: Sequence[str], places: list[_Place]) -> list[Action]:
    chosen: dict[str, Slot | None] = {name: None for name in queued if not plan.runs[name].takes_slot}

    def put(name: str, place: _Place) -> None:
        chosen[name] = place.slot
        place.expected.append(plan.runs[name].gpu_memory_mib)

    for name in queued:
        preferred = plan.runs[name].slot
        if isinstance(preferred, int) and places:
            place = places[preferred % len(places)]
            if place.has_room(plan.runs[name]):
                put(name, place)
    for name in queued:
        if name not in chosen:
            roomy = [place for place in places if place.has_room(plan.runs[name])]
            if roomy:
                put(name, min(roomy, key=lambda place: len(place.expected)))
    return [StartAttempt(name, chosen[name], runs[name].fresh_next) for name in queued if name in chosen]
