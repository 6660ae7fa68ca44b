"""States of all runs, brought up to date by each event instead of being computed anew. No I/O.

`session.state.run_states` defines the states; this index gives the same ones. An event costs as much as the runs that
depend on its run, however many runs the plan has.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from ..plan.schema import Plan, RunPlan
from ..session.chains import ChainEnds, chain_ends, skipped_because_of
from ..session.native_dependencies import can_be_followed, has_native_dependencies
from ..session.run_states import is_continued
from ..session.state import DONE, ENDED_BADLY, SETTLED, Run, RunState, SessionState

SHORT_JOB_S = 30.0
FIRST_CONTINUATION_DELAY_S, MAX_CONTINUATION_DELAY_S = 30.0, 3600.0


class Need(NamedTuple):
    """What a run needs to start; runs of equal needs differ by their place in the plan alone.

    Attributes:
        is_job: Whether it is submitted to a batch system.
        takes_slot: Whether it needs a slot.
        preferred: The slot that it prefers; None if any will do.
        memory_mib: Memory that it expects to use on a GPU; None if the plan does not specify it.
    """

    is_job: bool
    takes_slot: bool
    preferred: int | None
    memory_mib: int | None


class _Dependent(NamedTuple):
    """A run that depends on another one, and how."""

    name: str
    after: bool
    after_end: bool


class RunIndex:
    """The states of all runs of a session, and the runs in the states that the scheduler asks for.

    Args:
        plan: Plan of the session.
        state: The session now.

    Attributes:
        names: All runs, in the order of the plan.
        states: The state of each run.
        queued: The runs that are ready, by their needs: positions in `names`, in increasing order.
        wanting: Number of runs that want to start on this machine.
        retriable: Runs that crashed, and whose plan allows a retry.
        continued: Runs that were interrupted, and of which a new attempt is due.
        following: Runs that wait, and whose jobs can be submitted behind other jobs.
    """

    def __init__(self, plan: Plan, state: SessionState) -> None:
        self.names: Sequence[str] = tuple(plan.runs)
        self.states: dict[str, RunState] = {}
        self.queued: dict[Need, list[int]] = {}
        self.wanting = 0
        self.retriable: set[str] = set()
        self.continued: set[str] = set()
        self.following: set[str] = set()
        self._changed: set[str] = set()
        self._plan = plan
        self._position = {name: position for position, name in enumerate(self.names)}
        self._runs: dict[str, Run] = {}
        self._alive: set[str] = set()
        self._ends: ChainEnds = {}
        self._dependents: dict[str, list[_Dependent]] = {name: [] for name in self.names}
        self._blocking = dict.fromkeys(self.names, 0)  # how many runs in `after` have ended badly
        self._unfinished = dict.fromkeys(self.names, 0)  # how many in `after` and `after_end` it waits for
        for name, run in plan.runs.items():
            after, after_end = set(run.after), set(run.after_end)
            self._unfinished[name] = len(after) + len(after_end)
            for dependency in after | after_end:
                edge = _Dependent(name, dependency in after, dependency in after_end)
                self._dependents[dependency].append(edge)
        self._native = {name for name in self.names if has_native_dependencies(plan, name)}
        self._ahead: set[str] = set()  # runs that have succeeded, or whose jobs can be followed
        self._behind = {name: len(set(plan.runs[name].after)) for name in self._native}  # how many others are not ahead
        self._newest_order = dict.fromkeys(self.names, -1)  # of the attempts of the runs in `after_end`
        for name in plan.dependencies_first:
            self.update(state, name)
        self.states = {name: self.states[name] for name in self.names}

    def update(self, state: SessionState, name: str) -> None:
        """Take over a run that has changed.

        Args:
            state: The session now.
            name: The run.
        """
        before, run = self._runs.get(name), state.runs[name]
        self._runs[name] = run
        self._changed.add(name)
        if self._plan.runs[name].is_local:
            self.wanting += run.wants_start - (before is not None and before.wants_start)
        self._sort_in(self._alive, name, belongs=run.alive)
        self._sort_in(self.continued, name, belongs=is_continued(self._plan, state, name))
        self._sort_in(self.retriable, name, belongs=retry_delay(self._plan.runs[name], run) is not None)
        if name in self._plan.chain_enders:
            self._update_chains(state)
        self._refresh(name)
        self._update_following([name])
        if run.last is not None and (before is None or before.last is None or before.last.order != run.last.order):
            for dependent in self._dependents[name]:
                if dependent.after_end:
                    self._newest_order[dependent.name] = max(self._newest_order[dependent.name], run.last.order)
                    self._refresh(dependent.name)

    def _update_chains(self, state: SessionState) -> None:
        """Take over which chains have ended, and compute the states of all rounds anew if that has changed."""
        ends = chain_ends(self._plan, state.runs)
        if ends != self._ends:
            self._ends = ends
            for other in self._runs:
                if self._plan.runs[other].round is not None:
                    self._refresh(other)

    def alive(self) -> list[str]:
        """Return the runs of which a process may be alive, in the order of the plan."""
        return sorted(self._alive, key=self._position.__getitem__)

    def take_changed(self) -> set[str]:
        """Return the runs that have changed since the last call; all at the first one."""
        changed, self._changed = self._changed, set()
        return changed

    @property
    def is_idle(self) -> bool:
        """True if nothing is alive or ready."""
        return not self._alive and not self.queued

    def position(self, name: str) -> int:
        """Return the place of a run in the plan."""
        return self._position[name]

    def _refresh(self, changed: str) -> None:
        """Compute the state of a run anew, and of all runs for which that makes a difference."""
        pending, others = [changed], []
        while pending:
            name = pending.pop()
            if name not in self._runs:
                continue  # the index is being built, and its turn comes
            before, now = self.states.get(name), self._state(name)
            if now is before:
                continue
            self.states[name] = now
            self._changed.add(name)
            others.append(name)
            self._note_queued(name, was=before is RunState.QUEUED, is_now=now is RunState.QUEUED)
            for dependent in self._dependents[name]:
                self._count(dependent, before, now)
                pending.append(dependent.name)
        self._update_following(others)

    def _state(self, name: str) -> RunState:
        run = self._runs[name]
        if run.alive or not (run.wants_start or self._is_outdated(name, run)):
            return run.attempt_state
        if self._ends and skipped_because_of(self._plan.runs[name], self._plan, self._ends) is not None:
            return RunState.SKIPPED
        if self._blocking[name]:
            return RunState.BLOCKED
        return RunState.WAITING if self._unfinished[name] else RunState.QUEUED

    def _is_outdated(self, name: str, run: Run) -> bool:
        if not self._plan.runs[name].rerun or run.last is None or run.stopped_by_user:
            return False
        return self._newest_order[name] > run.last.order

    def _count(self, dependent: _Dependent, before: RunState | None, now: RunState) -> None:
        """Count what a run waits for by the new state instead of the one before; None counts as unfinished."""
        name = dependent.name
        if dependent.after:
            self._blocking[name] += (now in ENDED_BADLY) - (before in ENDED_BADLY)
            self._unfinished[name] += (before in DONE) - (now in DONE)
        if dependent.after_end:
            self._unfinished[name] += (before in SETTLED) - (now in SETTLED)

    def _note_queued(self, name: str, *, was: bool, is_now: bool) -> None:
        if was == is_now:
            return
        need, position = self._need(self._plan.runs[name]), self._position[name]
        if is_now:
            insort(self.queued.setdefault(need, []), position)
            return
        positions = self.queued[need]
        del positions[bisect_left(positions, position)]
        if not positions:
            del self.queued[need]

    def _update_following(self, changed: Sequence[str]) -> None:
        """Find out anew which jobs can be submitted behind others, after runs have changed."""
        concerned = set(changed) & self._native
        for name in changed:
            is_ahead = self.states[name] in DONE or can_be_followed(self._runs[name])
            if is_ahead == (name in self._ahead):
                continue
            self._sort_in(self._ahead, name, belongs=is_ahead)
            for dependent in self._dependents[name]:
                if dependent.name in self._native:
                    self._behind[dependent.name] += -1 if is_ahead else 1
                    concerned.add(dependent.name)
        for name in concerned & self._runs.keys():
            waits = self.states[name] is RunState.WAITING and not self._behind[name]
            self._sort_in(self.following, name, belongs=waits)

    @staticmethod
    def _need(plan: RunPlan) -> Need:
        if not plan.takes_slot:
            return Need(not plan.is_local, takes_slot=False, preferred=None, memory_mib=None)
        return Need(False, True, plan.slot if isinstance(plan.slot, int) else None, plan.gpu_memory_mib)

    @staticmethod
    def _sort_in(names: set[str], name: str, *, belongs: bool) -> None:
        if belongs:
            names.add(name)
        else:
            names.discard(name)


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


def continuation_delay(run: Run) -> float:
    """Return the seconds to wait before an interrupted run continues.

    A job that is interrupted within seconds of its start makes no progress, and the next one may not either. The first
    such job is continued at once; after each further one in a row the delay doubles.
    """
    latest = reversed(run.attempts[-1 - run.continuations :])  # those before the last restart by a user do not count
    short = sum(1 for _ in takewhile(lambda attempt: (attempt.duration_s or 0.0) < SHORT_JOB_S, latest))
    return min(MAX_CONTINUATION_DELAY_S, FIRST_CONTINUATION_DELAY_S * 2 ** (short - 2)) if short > 1 else 0.0
