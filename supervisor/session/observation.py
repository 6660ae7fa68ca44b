"""The measured part of a run's snapshot: progress and resource usage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..gpus.models import GpuReading


@dataclass(frozen=True)
class ResourceUsage:
    """Resources that the processes of one run use together.

    Attributes:
        pids: All processes of the run.
        cpu_percent: % of one core; None at the first measurement.
        memory_mib: Resident memory, MiB.
    """

    pids: frozenset[int]
    cpu_percent: float | None
    memory_mib: float


@dataclass(frozen=True)
class Observation:
    """Measurements of one run, which are not in the journal.

    Attributes:
        progress: The newest number of each group of its progress pattern.
        eta_s: Remaining time, s; None while unknown.
        stalled: Whether its log has been silent for too long.
        usage: Resources of its processes; None if not measured.
        waits_because: Why it waits in the queue of a batch system; "" if that is not known.
        expected_start: When the batch system expects to start it, unix time in s; None if it does not say.
        node: The machines that a batch system gave to it; "" for none.
        gpus: The GPUs of its job; None for a run of this machine, or if they were not read.
    """

    progress: Mapping[str, int | float] = field(default_factory=dict)
    eta_s: float | None = None
    stalled: bool = False
    usage: ResourceUsage | None = None
    waits_because: str = ""
    expected_start: float | None = None
    node: str = ""
    gpus: GpuReading | None = None
