"""Resource use of runs and GPUs in the last minutes, collected from snapshots."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping, Sequence

from ...gpus.models import Gpu
from ...session.snapshot import Snapshot
from ...session.state import ALIVE

INTERVAL_S = 2.0
MAX_SAMPLES = 450  # 15 minutes


class TimeSeries:
    """Samples of several quantities over time, for each run or GPU; old samples are dropped."""

    def __init__(self) -> None:
        self._samples: dict[Hashable, deque[Mapping[str, float]]] = {}

    def add(self, source: Hashable, sample: Mapping[str, float | None]) -> None:
        """Append the values measured at one time.

        Args:
            source: Measured run or GPU.
            sample: Values by name; None for an unknown value.
        """
        known = {name: value for name, value in sample.items() if value is not None}
        self._samples.setdefault(source, deque(maxlen=MAX_SAMPLES)).append(known)

    def values(self, source: Hashable, name: str) -> Sequence[float]:
        """Return all known values of one quantity, oldest first."""
        return [sample[name] for sample in self._samples.get(source, ()) if name in sample]


def gpu_key(gpu: Gpu) -> Hashable:
    """Return what distinguishes a GPU from all others of the session."""
    return gpu.node, gpu.index, gpu.mig_index


class ResourceHistory:
    """Resource use of live runs and of GPUs.

    Attributes:
        runs: Samples by run name: `cpu` in percent of a core, `ram` and `gpu_memory` in MiB.
        gpus: Samples by (machine, index, MIG index): `use` in percent, `memory` in MiB.
    """

    def __init__(self) -> None:
        self.runs = TimeSeries()
        self.gpus = TimeSeries()
        self._taken_at = 0.0
        self._gpus_at: dict[Hashable, float | None] = {}

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """Sample a snapshot, unless it is too close to the previous one or its GPU reading is an old one."""
        if snapshot.taken_at - self._taken_at >= INTERVAL_S:
            self._taken_at = snapshot.taken_at
            for name, run in snapshot.runs.items():
                if run.state in ALIVE:
                    sample = {"cpu": run.cpu_percent, "ram": run.memory_mib, "gpu_memory": run.gpu_memory_mib}
                    self.runs.add(name, sample)
        for gpu in snapshot.gpus:
            key, read_at = gpu_key(gpu), gpu.read_at or snapshot.gpu_taken_at
            if read_at not in (None, self._gpus_at.get(key)):
                self._gpus_at[key] = read_at
                self.gpus.add(key, {"use": gpu.utilization_percent, "memory": gpu.memory_used_mib})
