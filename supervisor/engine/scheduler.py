"""Decide what a session does next. One pure function: no clock, no files, no processes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ..gpus.slots import Slot
from ..plan.schema import Plan, RunPlan
from ..session.events import StopKind
from ..session.folder import MAX_JOBS
from ..session.state import Run, RunState, SessionState, is_continued, run_states

UNKNOWN_MEMORY: Mapping[str, int] = {}


@dataclass(frozen=True)
class StartAttempt:
    """Start of a new attempt of `run` on `slot`."""

    run: str
    slot: Slot | None
    fresh: bool


@dataclass(frozen=True)
class SendSignal:
    """Request to end the running attempt of `run`; repeating it does no harm."""

    run: str
    how: StopKind


@dataclass(frozen=True)
class Retry:
    """Restart of `run` after `delay_s`: it crashed, and its plan allows a retry."""

    run: str
    delay_s: float


@dataclass(frozen=True)
class Continue:
    """New attempt of `run`, which was interrupted from outside; no retry is used up."""

    run: str


@dataclass(frozen=True)
class RestartStalled:
    """Restart of `run` from its checkpoint: it has made no progress for too long."""

    run: str


@dataclass(frozen=True)
class FinishSession:
    """End of the session: nothing runs, and nothing will start by itself."""


Action = StartAttempt | SendSignal | Retry | Continue | RestartStalled | FinishSession


def decide(
    plan: Plan,
    state: SessionState,
    now: float,
    *,
    stalled: Collection[str] = (),
    stall_restarts: int = 0,
    free_mib: Mapping[str, int] = UNKNOWN_MEMORY,
    max_jobs: int = MAX_JOBS,
) -> list[Action]:
    """Return all actions that are due, in order.

    An action that was executed is not returned again, except signals.

    A run gets its preferred slot (modulo the number of slots) if that is free, else any free slot. Among runs that
    prefer the same slot, the order of the plan decides. A shared slot takes another run while all its runs together
    expect no more memory than the slot offers, and the new run no more than is free now. Without known slots
    (`state.slots is None`), only runs that need none are started. Runs of a batch system start in the order of the
    plan, while at most `max_jobs` jobs are submitted.

    Args:
        plan: Plan of the session.
        state: The session now.
        now: Unix time, in seconds.
        stalled: Runs without progress for too long.
        stall_restarts: How often each stalled run may be restarted.
        free_mib: Memory that is free now, in MiB, by the UUID of the GPU.
        max_jobs: Most attempts in batch systems at one time.
    """
    if state.finished:
        return []
    states = run_states(plan, state)
    alive = {name: run for name, run in state.runs.items() if run.alive}
    actions: list[Action] = [
        SendSignal(name, run.last.stop)
        for name, run in alive.items()
        if run.last is not None and run.last.stop is not None
    ]
    actions += [
        Retry(name, delay)
        for name, run in state.runs.items()
        if not run.wants_start and (delay := retry_delay(plan.runs[name], run)) is not None
    ]
    actions += [Continue(name) for name in state.runs if is_continued(plan, state, name)]
    actions += [
        RestartStalled(name)
        for name in stalled
        if states[name] is RunState.RUNNING and state.runs[name].stall_restarts < stall_restarts
    ]
    if any(isinstance(action, Retry | Continue) for action in actions):
        return actions  # runs that depend on a crashed run must not start before its retry is recorded
    queued = [name for name, run_state in states.items() if run_state is RunState.QUEUED]
    due = [name for name in queued if seconds_to_retry(state.runs[name], now) == 0]
    free_jobs = max_jobs - sum(run.last is not None and not run.last.is_local for run in alive.values())
    actions += _starts(plan, state.runs, due, _slot_uses(plan, state.slots or (), alive, free_mib), free_jobs)
    is_idle = not actions and not queued and not alive
    return [FinishSession()] if is_idle else actions


def retry_delay(plan: RunPlan, run: Run) -> float | None:
    """Return the seconds to wait before a crashed run is started again, or None if it is not."""
    attempt = run.last
    if attempt is None or attempt.exit is None or run.wants_start or run.stopped_by_user or run.retries >= plan.retries:
        return None
    if run.is_interrupted:
        return None
    killed, lost = attempt.exit.signal is not None, run.attempt_state is RunState.LOST
    crashed = killed or lost or attempt.exit.exit_code in plan.retry_exit_codes
    return plan.retry_delay_s * 2**run.retries if crashed else None


def seconds_to_retry(run: Run, now: float) -> float:
    """Return how long the run still waits for its next attempt; 0 if the clock was set back."""
    if run.retry is None or now < run.retry.at:
        return 0.0
    return max(0.0, run.retry.at + run.retry.delay_s - now)


@dataclass
class _SlotUse:
    """A slot, and the memory that each run on it expects (MiB; None where the plan does not specify it)."""

    slot: Slot
    free_mib: int | None
    expected: list[int | None] = field(default_factory=list)

    @property
    def may_have_room(self) -> bool:
        """False if no run at all may join the runs on this slot."""
        return not self.expected or self.slot.shared_mib is not None

    def has_room(self, run: RunPlan) -> bool:
        """Return whether `run` may join the runs on this slot."""
        if not self.expected:
            return True
        room, needed = self.slot.shared_mib, run.gpu_memory_mib
        if room is None or needed is None or None in self.expected:
            return False
        fits_now = self.free_mib is None or needed <= self.free_mib
        return fits_now and sum(filter(None, self.expected)) + needed <= room


def _slot_uses(
    plan: Plan, slots: Sequence[Slot], alive: Mapping[str, Run], free_mib: Mapping[str, int]
) -> list[_SlotUse]:
    """Return the slots in their order, with the runs on them."""
    uses = [_SlotUse(slot, free_mib.get(slot.gpu_uuid or "")) for slot in slots]
    by_index = {use.slot.index: use for use in uses}
    for name, run in alive.items():
        slot = run.last.slot if run.last else None
        if slot is not None and plan.runs[name].takes_slot and slot.index in by_index:
            by_index[slot.index].expected.append(plan.runs[name].gpu_memory_mib)
    return uses


def _starts(
    plan: Plan, runs: Mapping[str, Run], queued: Sequence[str], uses: list[_SlotUse], free_jobs: int
) -> list[Action]:
    """Return the starts of all queued runs that get a slot or may be submitted, or need neither."""
    jobs = [name for name in queued if not plan.runs[name].is_local]
    slotless = [name for name in queued if plan.runs[name].is_local and not plan.runs[name].takes_slot]
    chosen: dict[str, Slot | None] = dict.fromkeys((*slotless, *jobs[: max(0, free_jobs)]))
    waiting = [name for name in queued if plan.runs[name].takes_slot]

    def assign(name: str, use: _SlotUse) -> None:
        chosen[name] = use.slot
        use.expected.append(plan.runs[name].gpu_memory_mib)

    for name in waiting if any(use.may_have_room for use in uses) else ():
        preferred = plan.runs[name].slot
        if isinstance(preferred, int) and uses:
            use = uses[preferred % len(uses)]
            if use.has_room(plan.runs[name]):
                assign(name, use)
    for name in waiting:
        if not any(use.may_have_room for use in uses):
            break  # there may be thousands of runs that wait
        if name not in chosen:
            with_room = [use for use in uses if use.has_room(plan.runs[name])]
            if with_room:
                assign(name, min(with_room, key=lambda use: len(use.expected)))
    return [StartAttempt(name, chosen[name], runs[name].fresh_next) for name in queued if name in chosen]
