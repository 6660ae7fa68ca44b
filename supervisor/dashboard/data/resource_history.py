"""What runs and GPUs took in the last minutes, kept from the engine's pictures. Pure, but for its memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping, Sequence

from ...session.snapshot import Snapshot
from ...session.state import ALIVE

INTERVAL_S = 2.0
KEPT = 450  # samples: 15 minutes

Figures = Mapping[str, float]


class TimeSeries:
    """The figures of some things over time; what has not been heard of for long is forgotten."""

    def __init__(self) -> None:
        self._samples: dict[Hashable, deque[Figures]] = {}

    def add(self, thing: Hashable, figures: Mapping[str, float | None]) -> None:
        """Takes in the figures of one moment; None where one is not known."""
        known = {name: value for name, value in figures.items() if value is not None}
        self._samples.setdefault(thing, deque(maxlen=KEPT)).append(known)

    def course(self, thing: Hashable, name: str) -> Sequence[float]:
        """The course of one figure, oldest first."""
        return [figures[name] for figures in self._samples.get(thing, ()) if name in figures]


class ResourceHistory:
    """Samples the living runs (by name) and the GPUs (by index and MIG index) of each new picture."""

    def __init__(self) -> None:
        self.runs = TimeSeries()
        self.gpus = TimeSeries()
        self._taken_at = 0.0
        self._gpus_at: float | None = None

    def look(self, snapshot: Snapshot) -> None:
        """Takes in a picture, unless it is as good as the last one."""
        if snapshot.taken_at - self._taken_at >= INTERVAL_S:
            self._taken_at = snapshot.taken_at
            for name, run in snapshot.runs.items():
                if run.state in ALIVE:
                    figures = {"cpu": run.cpu_percent, "ram": run.memory_mib, "gpu_memory": run.gpu_memory_mib}
                    self.runs.add(name, figures)
        if snapshot.gpu_taken_at not in (None, self._gpus_at):
            self._gpus_at = snapshot.gpu_taken_at
            for gpu in snapshot.gpus:
                self.gpus.add(
                    (gpu.index, gpu.mig_index), {"use": gpu.utilization_percent, "memory": gpu.memory_used_mib}
                )
