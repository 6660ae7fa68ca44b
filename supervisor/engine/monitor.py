"""What an engine measures: progress from the logs, usage of the processes, figures of the GPUs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator

from ..gpus.models import GpuReading
from ..gpus.poller import GpuPoller
from ..logs.progress import ProgressTracker
from ..plan.schema import Plan
from ..session.folder import SessionFolder
from ..session.observation import Observation, ResourceUsage
from ..session.state import SessionState, progress_start_offset
from .process_usage import UsageMeter

LOOK_BUDGET_S = 0.05  # for one log at one look: a flood must not keep clients waiting
USAGE_INTERVAL_S = {True: 2.0, False: 10.0}  # between two looks at all processes: watched by somebody, or not


class Monitor:
    """Looks at runs and GPUs; the GPUs in a thread of their own, since NVML may hang."""

    def __init__(self, plan: Plan, folder: SessionFolder, on_reading: Callable[[GpuReading], object]) -> None:
        self._plan = plan
        self._folder = folder
        self._trackers: dict[str, ProgressTracker] = {}
        self._attempts: dict[str, int] = {}  # which attempt each tracker follows
        self._meter = UsageMeter()
        self._usage: dict[str, ResourceUsage] = {}
        self._usage_at = 0.0
        self._poller = GpuPoller(on_reading=on_reading)

    @property
    def reading(self) -> GpuReading | None:
        """The newest figures of the GPUs."""
        return self._poller.latest()

    @property
    def own_pids(self) -> frozenset[int]:
        """Every process of every run, as of the last look."""
        return frozenset().union(*(usage.pids for usage in self._usage.values()))

    def close(self) -> None:
        """Stops asking NVML."""
        self._poller.stop()

    def look(self, state: SessionState, *, watched: bool) -> bool:
        """Looks at everything alive; whether anything shown has changed."""
        alive = {name: run.last for name, run in state.runs.items() if run.alive and run.last}
        changed = [self.read_log(name, state, LOOK_BUDGET_S) for name in alive]
        if time.monotonic() - self._usage_at < USAGE_INTERVAL_S[watched]:
            return any(changed)
        self._usage_at = time.monotonic()
        roots = {name: attempt.pid for name, attempt in alive.items() if attempt.pid is not None}
        usage = self._meter.measure(roots)
        changed.append(usage != self._usage)
        self._usage = usage
        return any(changed)

    def read_logs(self, names: Iterable[str], state: SessionState) -> None:
        """Finds the progress of runs of which an earlier engine knew it."""
        for name in names:
            self.read_log(name, state)

    def read_log(self, name: str, state: SessionState, budget_s: float = math.inf) -> bool:
        """Reads what is new in the log of a run; whether its progress has changed."""
        attempt = state.runs[name].last
        if attempt is None:
            return False
        if self._attempts.get(name) != attempt.number:
            self._attempts[name] = attempt.number
            planned, attempts = self._plan.runs[name], state.runs[name].attempts
            offset = progress_start_offset(attempts)
            self._trackers[name] = ProgressTracker(
                planned.progress,
                self._folder.run_log(name),
                offset,
                planned.stall_after_s,
                resumes=offset != attempt.log_offset,
            )
        return self._trackers[name].update(time.monotonic(), budget_s)

    def troubles(self, state: SessionState) -> Iterator[str]:
        """Notes about living runs of which something cannot be known."""
        for name, tracker in self._trackers.items():
            if tracker.pattern_timed_out and state.runs[name].alive:
                yield f"{name}: progress unknown, its `progress` pattern takes too long for its log"

    def stalled(self, state: SessionState) -> list[str]:
        """The living runs that have been silent for far too long."""
        return [name for name, run in state.runs.items() if run.alive and self.observation(name).stalled]

    def observation(self, name: str) -> Observation:
        """What is known of one run. Paces are measured by a clock that nobody sets."""
        now = time.monotonic()
        tracker = self._trackers.get(name)
        usage = self._usage.get(name)
        if tracker is None:
            return Observation(usage=usage)
        stalled = tracker.stalled(now)
        return Observation(tracker.values, None if stalled else tracker.eta_s(now), stalled, usage)
