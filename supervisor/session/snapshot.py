"""Immutable views of a session, which clients receive."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ..gpus.models import Gpu
from ..plan.schema import LOCAL
from .events import Mode
from .state import RunState


class _View(BaseModel):
    model_config = ConfigDict(frozen=True)


class AttemptView(_View):
    """One past or present attempt of a run. Times are unix times in s."""

    number: int
    started: float
    ended: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    error: str | None = None
    gpu: int | None = None  # NVML index
    fresh: bool = False  # started from scratch
    interrupted: bool = False  # by a batch system
    job_id: str | None = None
    node: str | None = None


class RunView(_View):
    """One run. Times are unix times in s, memory is in MiB; None means unknown or not applicable."""

    state: RunState
    attempt: int = 0  # number of the latest attempt; 0 before the first
    pid: int | None = None  # of the command, on `node`; None unless alive
    launcher: str = LOCAL  # of the plan
    job_id: str | None = None  # of the latest attempt in a batch system
    node: str | None = None  # the machine, or machines, of the latest attempt; None for this one
    pending_reason: str = ""  # why it waits in the queue of a batch system
    expected_start: float | None = None  # of a pending run, as the batch system expects it
    continuations: int = 0  # new jobs after interruptions, since the last restart by a user
    gpu: int | None = None  # NVML index
    cuda_visible_devices: str | None = None  # as given to the latest attempt
    exit_code: int | None = None
    signal: int | None = None
    started: float | None = None  # None for a pending run
    ended: float | None = None
    log: str = ""  # absolute path
    log_offset: int = 0  # where the latest attempt starts in the log, bytes
    progress: dict[str, int | float] = {}
    eta_s: float | None = None  # remaining time
    blocked_by: tuple[str, ...] = ()
    reason: str = ""  # for people: what it waits for, why it is blocked, how it ended
    cpu_percent: float | None = None  # of one core, whole process tree
    memory_mib: float | None = None  # resident, whole process tree
    gpu_memory_mib: int | None = None  # used by its processes on all GPUs, from NVML
    gpu_memory_expected_mib: int | None = None  # from the plan
    gpu_actual: tuple[int, ...] | None = None  # GPUs on which NVML sees the run's processes; None: not known
    gpu_error: str | None = None  # why the GPUs of its job cannot be read
    stalled: bool = False
    attempts: tuple[AttemptView, ...] = ()


class AllocationView(_View):
    """The allocation of Slurm in which the session runs."""

    job_id: str
    node: str
    ends: float | None = None  # unix time, s; None without a time limit, or while it is not known

    def describe(self, now: float) -> str:
        """Return `allocation 123 ends in 42 min`, or just `allocation 123`."""
        if self.ends is None:
            return f"allocation {self.job_id}"
        seconds = max(0, round(self.ends - now))
        hours, minutes = divmod(seconds // 60, 60)
        left = f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes >= 2 else f"{seconds} s"
        return f"allocation {self.job_id} ends in {left}"


class Snapshot(_View):
    """The whole session at one time. Times are unix times in s."""

    session: str  # the stamp
    name: str
    state: str  # running, finished
    mode: Mode | None  # None until the slots are chosen
    logs: str  # the logs folder, absolute
    folder: str  # the session folder, absolute
    engine_pid: int | None  # None: read from files, without an engine
    taken_at: float
    started: float | None = None
    ended: float | None = None
    notes: tuple[str, ...] = ()
    runs: dict[str, RunView]
    gpus: tuple[Gpu, ...] = ()
    gpu_error: str | None = None  # why the GPUs could not be read, if a run needs one
    gpu_taken_at: float | None = None  # when the GPUs were read
    allocation: AllocationView | None = None  # None without an engine inside an allocation of Slurm

    @property
    def has_jobs(self) -> bool:
        """True if a run is started by a batch system."""
        return any(run.launcher != LOCAL for run in self.runs.values())
