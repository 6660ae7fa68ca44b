"""CPU and memory of a run's whole process tree."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping

import psutil

from ..session.observation import ResourceUsage

# Linux with CONFIG_PROC_CHILDREN, as distributions have it. Without it all processes of the machine are looked through.
KERNEL_LISTS_CHILDREN = os.path.exists("/proc/thread-self/children")  # noqa: PTH110


class UsageMeter:
    """Measures the process trees below given roots; CPU is what was used since the look before."""

    def __init__(self) -> None:
        self._cpu_seconds: dict[int, float] = {}
        self._measured_at: float | None = None

    def measure(self, roots: Mapping[str, int]) -> dict[str, ResourceUsage]:
        """The usage below each root pid; a root that has ended is left out."""
        if not roots:
            return {}
        now = time.monotonic()
        elapsed = None if self._measured_at is None else now - self._measured_at
        seconds: dict[int, float] = {}
        usages = {}
        for run, root in roots.items():
            memory = 0
            pids = _tree(root)
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


def _tree(root: int) -> list[int]:
    """The process and all that descend from it."""
    if not KERNEL_LISTS_CHILDREN:
        try:
            return [root, *(child.pid for child in psutil.Process(root).children(recursive=True))]
        except psutil.Error:
            return [root]
    found = [root]
    for pid in found:
        found.extend(_children(pid))
    return found


def _children(pid: int) -> Iterator[int]:
    """The children of a process, each of which belongs to the thread that made it."""
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - Path.iterdir costs twice as much
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as children:  # noqa: PTH123
                yield from map(int, children.read().split())
    except OSError:
        return  # it has ended
