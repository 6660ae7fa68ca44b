"""Decide what a session does next. One pure function: no clock, no files, no processes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from operator import itemgetter

from ..gpus.slots import Slot
from ..plan.schema import Plan
from ..session.events import StopKind
from ..session.folder import MAX_JOBS
from ..session.native_dependencies import AttemptNumbers, attempts_to_follow, is_to_be_withdrawn
from ..session.state import Run, RunState, SessionState
from .run_index import Need, RunIndex, continuation_delay, retry_delay

UNKNOWN_MEMORY: Mapping[str, int] = {}


@dataclass(frozen=True)
class StartAttempt:
    """Start of a new attempt of `run` on `slot`; as a job, after the attempts in `follows`."""

    run: str
    slot: Slot | None
    fresh: bool
    follows: AttemptNumbers = ()


@dataclass(frozen=True)
class SendSignal:
    """Request to end the running attempt of `run`; repeating it does no harm."""

    run: str
    how: StopKind


@dataclass(frozen=True)
class Withdraw:
    """Removal of the job of `run` from the queue: one before it did not succeed. Repeating it does no harm."""

    run: str


@dataclass(frozen=True)
class Retry:
    """Restart of `run` after `delay_s`: it crashed, and its plan allows a retry."""

    run: str
    delay_s: float


@dataclass(frozen=True)
class Continue:
    """New attempt of `run` after `delay_s`: it was interrupted from outside; no retry is used up."""

    run: str
    delay_s: float = 0.0


@dataclass(frozen=True)
class RestartStalled:
    """Restart of `run` from its checkpoint: it has made no progress for too long."""

    run: str


@dataclass(frozen=True)
class FinishSession:
    """End of the session: nothing runs, and nothing will start by itself."""


Action = StartAttempt | SendSignal | Withdraw | Retry | Continue | RestartStalled | FinishSession


def decide(
    plan: Plan,
    state: SessionState,
    now: float,
    *,
    stalled: Collection[str] = (),
    stall_restarts: int = 0,
    free_mib: Mapping[str, int] = UNKNOWN_MEMORY,
    max_jobs: int = MAX_JOBS,
    index: RunIndex | None = None,
) -> list[Action]:
    """Return all actions that are due, in order.

    An action that was executed is not returned again, except signals and withdrawals.

    A run gets its preferred slot (modulo the number of slots) if that is free, else any free slot. Among runs that
    prefer the same slot, the order of the plan decides. A shared slot takes another run while all its runs together
    expect no more memory than the slot offers, and the new run no more than is free now. Without known slots
    (`state.slots is None`), only runs that need none are started. Runs of a batch system start in the order of the
    plan, while at most `max_jobs` jobs are submitted; of runs that start together, several may share a job. Those that
    Slurm starts after other jobs come last.

    Args:
        plan: Plan of the session.
        state: The session now.
        now: Unix time, in seconds.
        stalled: Runs without progress for too long.
        stall_restarts: How often each stalled run may be restarted.
        free_mib: Memory that is free now, in MiB, by the UUID of the GPU.
        max_jobs: Most jobs in batch systems at one time.
        index: The index of `state`, so that nothing here walks over all runs; by default it is made.
    """
    if state.finished:
        return []
    index = index or RunIndex(plan, state)
    alive = {name: state.runs[name] for name in index.alive()}
    actions: list[Action] = [
        SendSignal(name, run.last.stop)
        for name, run in alive.items()
        if run.last is not None and run.last.stop is not None
    ]
    actions += [
        Withdraw(name)
        for name, run in alive.items()
        if run.last is not None and run.last.follows and is_to_be_withdrawn(state.runs, run.last)
    ]
    actions += [
        Retry(name, delay)
        for name in sorted(index.retriable, key=index.position)
        if (delay := retry_delay(plan.runs[name], state.runs[name])) is not None
    ]
    actions += [
        Continue(name, continuation_delay(state.runs[name])) for name in sorted(index.continued, key=index.position)
    ]
    actions += [
        RestartStalled(name)
        for name in stalled
        if index.states[name] is RunState.RUNNING and state.runs[name].stall_restarts < stall_restarts
    ]
    if any(isinstance(action, Retry | Continue) for action in actions):
        return actions  # runs that depend on a crashed run must not start before its retry is recorded
    uses = _slot_uses(plan, state.slots or (), alive, free_mib)
    jobs = _submissions(plan, index, state.runs, now, _JobRoom(plan, alive.values(), max_jobs))
    actions += _starts(index, state.runs, now, uses, jobs)
    return [FinishSession()] if not actions and index.is_idle else actions


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

    def has_room(self, needed: int | None) -> bool:
        """Return whether a run that expects to use `needed` MiB may join the runs on this slot."""
        if not self.expected:
            return True
        room = self.slot.shared_mib
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


class _JobRoom:
    """How many more jobs may be submitted, and which runs may share them.

    The launcher decides who shares a job. If it takes runs of equal settings in order, it needs no more jobs than are
    counted here. An attempt whose job has no number yet counts as one job.
    """

    def __init__(self, plan: Plan, alive: Iterable[Run], max_jobs: int) -> None:
        job_ids = [run.last.job_id for run in alive if run.last is not None and not run.last.is_local]
        self._plan = plan
        self._free_jobs = max_jobs - len(set(filter(None, job_ids))) - sum(not job_id for job_id in job_ids)
        self._places: dict[object, int] = {}  # how many more runs the newest job takes, by what they must share

    @property
    def is_full(self) -> bool:
        """Whether no run at all may be submitted."""
        return self._free_jobs <= 0 and not any(self._places.values())

    def admit(self, name: str, follows: AttemptNumbers) -> bool:
        """Return whether a run, whose job follows those of some attempts, may be submitted; count it."""
        run = self._plan.runs[name]
        shared = (run.job_settings, follows)
        if not self._places.get(shared):
            if self._free_jobs <= 0:
                return False
            self._free_jobs -= 1
            self._places[shared] = run.bundle
        self._places[shared] -= 1
        return True


def _submissions(
    plan: Plan, index: RunIndex, runs: Mapping[str, Run], now: float, room: _JobRoom
) -> dict[int, AttemptNumbers]:
    """Return the places of the runs to submit, each with the attempts that its job follows."""
    chosen: dict[int, AttemptNumbers] = {}
    for position in _jobs_to_submit(index):
        if room.is_full:
            break
        name = index.names[position]
        if seconds_to_retry(runs[name], now) > 0:
            continue
        follows = attempts_to_follow(plan, runs, index.states, name) if name in index.following else ()
        if room.admit(name, follows):
            chosen[position] = follows
    return chosen


def _starts(
    index: RunIndex,
    runs: Mapping[str, Run],
    now: float,
    uses: list[_SlotUse],
    jobs: Mapping[int, AttemptNumbers],
) -> list[Action]:
    """Return the starts of the jobs and of all queued runs that get a slot or need none, in the order of the plan."""
    chosen: dict[int, Slot | None] = dict.fromkeys(jobs)

    def is_due(position: int) -> bool:
        return position not in chosen and seconds_to_retry(runs[index.names[position]], now) == 0

    def preferred(need: Need) -> _SlotUse | None:
        use = uses[need.preferred % len(uses)] if need.preferred is not None and uses else None
        return use if use is not None and use.has_room(need.memory_mib) else None

    def any_free(need: Need) -> _SlotUse | None:
        with_room = [use for use in uses if use.has_room(need.memory_mib)]
        return min(with_room, key=lambda use: len(use.expected), default=None)

    for need, positions in index.queued.items():
        if not (need.is_job or need.takes_slot):
            chosen.update(dict.fromkeys(filter(is_due, positions)))
    for find_slot in (preferred, any_free):
        # There may be thousands of runs that wait. Room only shrinks: where one finds no slot, no later one of equal
        # needs does.
        queues = [(need, filter(is_due, positions)) for need, positions in index.queued.items() if need.takes_slot]
        heads = [(head, number) for number, (_, queue) in enumerate(queues) if (head := next(queue, None)) is not None]
        heapify(heads)
        while heads:
            position, number = heappop(heads)
            need, queue = queues[number]
            use = find_slot(need)
            if use is None:
                continue
            chosen[position] = use.slot
            use.expected.append(need.memory_mib)
            if (head := next(queue, None)) is not None:
                heappush(heads, (head, number))
    return [
        StartAttempt(index.names[position], slot, runs[index.names[position]].fresh_next, jobs.get(position, ()))
        for position, slot in sorted(chosen.items(), key=itemgetter(0))
    ]


def _jobs_to_submit(index: RunIndex) -> Iterator[int]:
    """Yield the places of the runs that may be submitted: the ready ones, then those whose jobs follow other jobs."""
    for need, positions in index.queued.items():
        if need.is_job:
            yield from positions
    yield from sorted(map(index.position, index.following))
