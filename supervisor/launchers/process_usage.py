"""CPU and memory of a run's whole process tree."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

import psutil

from ..session.observation import ResourceUsage


class UsageMeter:
    """Resource usage of process trees; CPU usage is averaged since the previous measurement."""

    def __init__(self) -> None:
        self._cpu_seconds: dict[int, float] = {}
        self._measured_at: float | None = None

    def measure(self, trees: Mapping[str, Collection[int]]) -> dict[str, ResourceUsage]:
        """Return the usage of each process tree.

        Args:
            trees: Pids of all processes of each tree, by run.

        Returns:
            The usage by run. A process that has ended uses nothing.
        """
        if not trees:
            return {}
        now = time.monotonic()
        elapsed = None if self._measured_at is None else now - self._measured_at
        seconds: dict[int, float] = {}
        usages = {}
        for run, pids in trees.items():
            memory = 0
            for pid in pids:
                try:
                    process = psutil.Process(pid)
                    times = process.cpu_times()
                    memory += process.memory_info().rss
                except psutil.Error:
                    continue
                seconds[pid] = times.user + times.system
            used = [seconds[pid] - self._cpu_seconds.get(pid, 0.0) for pid in pids if pid in seconds]
            cpu = 100 * sum(used) / elapsed if elapsed else None
            usages[run] = ResourceUsage(frozenset(pids), cpu, memory / 2**20)
        self._cpu_seconds, self._measured_at = seconds, now
        return usages
