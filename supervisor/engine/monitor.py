"""Everything that an engine measures: progress from the logs, resource usage, GPU readings."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ..gpus.models import GpuReading
from ..gpus.poller import GpuPoller
from ..launchers.base import Placement, QueueWait
from ..logs.progress import ProgressTracker
from ..plan.schema import Plan
from ..session.folder import SessionFolder
from ..session.observation import Observation, ResourceUsage
from ..session.state import RunState, SessionState, progress_start_offset
from .attempts import RunningAttempts

LOG_INTERVAL_S = 0.2  # between two readings of the logs of running runs; short runs end more often than that
READ_BUDGET_S = 0.05  # for one log at one poll: a flood of lines must not delay clients
USAGE_INTERVAL_S = {True: 2.0, False: 10.0}  # between two measurements: with subscribers, without
NO_PLACEMENT, NOT_WAITING = Placement(), QueueWait()
YOUNG_S, YOUNG_INTERVAL_S = 10.0, 1.0  # a new run starts its processes, which a measurement also records


class Monitor:
    """Observes runs and GPUs; the GPUs in a thread of their own, since NVML may hang."""

    def __init__(self, plan: Plan, folder: SessionFolder, attempts: RunningAttempts) -> None:
        self._plan = plan
        self._folder = folder
        self._running = attempts
        self._trackers: dict[str, ProgressTracker] = {}
        self._attempts: dict[str, int] = {}  # number of the attempt that each tracker follows
        self._usage: Mapping[str, ResourceUsage] = {}
        self._usage_at = 0.0
        self._gpus: Mapping[str, GpuReading] = {}  # of jobs
        self._placements: Mapping[str, Placement] = {}
        self._read_at = 0.0
        self._seen_at: dict[tuple[str, int], float] = {}  # monotonic time, by run and attempt
        self._poller: GpuPoller | None = None

    def start(self, on_reading: Callable[[GpuReading], object]) -> None:
        """Start polling the GPUs; `on_reading` is called from another thread."""
        self._poller = GpuPoller(on_reading=on_reading)

    def close(self) -> None:
        """Stop polling the GPUs."""
        if self._poller is not None:
            self._poller.stop()

    @property
    def reading(self) -> GpuReading | None:
        """The latest reading of the GPUs; None until NVML has answered."""
        return None if self._poller is None else self._poller.latest()

    @property
    def own_pids(self) -> frozenset[int]:
        """All processes of all runs at the last measurement."""
        return frozenset().union(*(usage.pids for usage in self._usage.values()))

    def poll(self, state: SessionState, alive: Sequence[str], *, watched: bool) -> bool:
        """Read the logs of all running runs and, at intervals, measure their resource usage.

        Args:
            state: The session now.
            alive: The runs of which a process may be alive.
            watched: A client subscribes to snapshots, so measure more often.

        Returns:
            True if anything in a snapshot has changed.
        """
        running = alive
        if time.monotonic() - self._read_at >= LOG_INTERVAL_S:
            self._read_at = time.monotonic()
        else:  # a new attempt's log is read at once: what it holds by then counts as written by earlier attempts
            running = [name for name in running if self._is_new_attempt(name, state)]
        changed = [self.read_log(name, state, READ_BUDGET_S) for name in running]
        placements = self._running.placements()
        changed.append(placements != self._placements)
        self._placements = placements
        if time.monotonic() - self._usage_at < self._usage_interval(state, alive, watched=watched):
            return any(changed)
        self._usage_at = time.monotonic()
        usage, gpus = self._running.measure_usage(), self._running.read_gpus()
        changed.append((usage, gpus) != (self._usage, self._gpus))
        self._usage, self._gpus = usage, gpus
        return any(changed)

    def _usage_interval(self, state: SessionState, alive: Sequence[str], *, watched: bool) -> float:
        now = time.monotonic()
        living = [(name, last.number) for name in alive if (last := state.runs[name].last) is not None]
        self._seen_at = {attempt: self._seen_at.get(attempt, now) for attempt in living}
        is_young = any(now - seen < YOUNG_S for seen in self._seen_at.values())
        return YOUNG_INTERVAL_S if is_young else USAGE_INTERVAL_S[watched]

    def read_logs(self, names: Iterable[str], state: SessionState) -> None:
        """Read the logs of runs from the start, to find the progress that an earlier engine knew."""
        for name in names:
            self.read_log(name, state, is_adopted=True)

    def read_log(self, name: str, state: SessionState, budget_s: float = math.inf, *, is_adopted: bool = False) -> bool:
        """Read new lines of a run's log, and return whether its progress has changed.

        Args:
            name: The run.
            state: State of the session.
            budget_s: Seconds after which reading stops.
            is_adopted: Whether an earlier engine may have read the lines that are there.
        """
        attempt = state.runs[name].last
        if attempt is None or attempt.is_pending:
            return False
        if self._is_new_attempt(name, state):
            self._attempts[name] = attempt.number
            planned, attempts = self._plan.runs[name], state.runs[name].attempts
            offset = progress_start_offset(attempts)
            self._trackers[name] = ProgressTracker(
                planned.progress,
                self._folder.run_log(name),
                offset,
                planned.stall_after_s,
                has_earlier=is_adopted or offset != attempt.log_offset,
            )
        return self._trackers[name].update(time.monotonic(), budget_s)

    def _is_new_attempt(self, name: str, state: SessionState) -> bool:
        attempt = state.runs[name].last
        return attempt is not None and self._attempts.get(name) != attempt.number

    def problems(self, state: SessionState) -> Iterator[str]:
        """Yield a note for each running run that cannot be observed completely."""
        for name, tracker in self._trackers.items():
            if tracker.pattern_timed_out and state.runs[name].alive:
                yield f"{name}: progress unknown, because its `progress` pattern is too slow for its log"

    def stalled(self, state: SessionState) -> list[str]:
        """Return the running runs without progress for longer than their plan allows."""
        now = time.monotonic()
        running = (name for name, run in state.runs.items() if run.attempt_state is RunState.RUNNING)
        return [name for name in running if name in self._trackers and self._trackers[name].stalled(now)]

    def observation(self, name: str) -> Observation:
        """Return progress and resource usage of one run; rates use the monotonic clock."""
        now = time.monotonic()
        tracker, placement = self._trackers.get(name), self._placements.get(name, NO_PLACEMENT)
        waiting = placement.waiting or NOT_WAITING
        stalled = tracker is not None and tracker.stalled(now)
        return Observation(
            progress=tracker.values if tracker is not None else {},
            eta_s=None if stalled or tracker is None else tracker.eta_s(now),
            stalled=stalled,
            usage=self._usage.get(name),
            waits_because=waiting.reason,
            expected_start=waiting.expected_start,
            node=placement.node,
            gpus=self._gpus.get(name),
        )
