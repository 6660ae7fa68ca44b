"""A launcher without processes: a batch system whose jobs do what a test says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pmssm.supervisor.gpus.models import Gpu, GpuReading
from pmssm.supervisor.launchers.attempt_files import AttemptSpec
from pmssm.supervisor.launchers.base import CommandStart, Outcome, Placement, QueueWait, RunningAttempt
from pmssm.supervisor.session.events import Exit, StopKind
from pmssm.supervisor.session.observation import ResourceUsage


@dataclass
class Job:
    """An attempt in a batch system that tests control."""

    folder: Path
    spec: AttemptSpec | None = None
    started: CommandStart | None = None
    placement: Placement | None = None
    outcome: Outcome | None = None
    notes: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    stops: list[tuple[StopKind, float]] = field(default_factory=list)
    is_withdrawn: bool = False

    def wait(self, job_id: str, reason: str = "", expected_start: float | None = None) -> None:
        """Put the job into the queue."""
        self.placement = Placement(job_id, waiting=QueueWait(reason, expected_start))

    def run(self, pid: int = 17, at: float = 100.0, node: str = "n1") -> None:
        """Start the job's command on a node."""
        self.placement = Placement(self.placement.job_id if self.placement else "1", node)
        self.started = CommandStart(pid, at, node)

    def end(self, **record: object) -> None:
        """End the job; `record` holds fields of `Exit`."""
        self.outcome = Exit.model_validate({"ended": 200.0, **record})

    def warnings(self) -> Sequence[str]:
        return self.notes

    def take_messages(self) -> Sequence[str]:
        taken, self.messages = self.messages, []
        return taken

    def confirm_end(self) -> None:
        """Do nothing: the shim syncs its record itself."""

    def request_stop(self, kind: StopKind, grace_s: float) -> None:
        self.stops.append((kind, grace_s))

    def withdraw(self) -> None:
        self.is_withdrawn = True


@dataclass
class BatchLauncher:
    """A launcher whose jobs outlive it; changes arrive at the next `advance`, as from a batch system."""

    jobs: dict[Path, Job] = field(default_factory=dict)
    due: list[Callable[[], object]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    on_change: Callable[[], None] = lambda: None

    def prepare(self) -> None:
        pass

    def start(self, folder: Path, spec: AttemptSpec) -> RunningAttempt:
        assert folder not in self.jobs
        self.jobs[folder] = Job(folder, spec)
        return self.jobs[folder]

    def was_started(self, folder: Path) -> bool:
        return folder in self.jobs

    def adopt(self, folder: Path) -> RunningAttempt:
        return self.jobs.setdefault(folder, Job(folder))

    def advance(self) -> None:
        for change in self.due:
            change()
        self.due = []

    def measure_usage(self, attempts: Mapping[str, RunningAttempt]) -> dict[str, ResourceUsage]:
        return {run: ResourceUsage(frozenset({1}), 50.0, 1.0) for run, attempt in attempts.items() if attempt.started}

    def read_gpus(self, attempts: Mapping[str, RunningAttempt]) -> dict[str, GpuReading]:
        reading = GpuReading(gpus=(Gpu(index=0),), taken_at=1.0)
        return {run: reading for run, attempt in attempts.items() if attempt.started}

    def avoided_nodes(self) -> frozenset[str]:
        return frozenset()

    def warnings(self) -> Sequence[str]:
        return self.notes

    def close(self) -> None:
        pass
