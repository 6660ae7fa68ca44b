"""CPU and memory of a run's whole process tree."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping

import psutil

from ..session.observation import ResourceUsage

# Linux with CONFIG_PROC_CHILDREN, as distributions have it. Without it every process of the machine is examined.
KERNEL_LISTS_CHILDREN = os.path.exists("/proc/thread-self/children")  # noqa: PTH110


class UsageMeter:
    """Resource usage of process trees; CPU usage is averaged since the previous measurement."""

    def __init__(self) -> None:
        self._cpu_seconds: dict[int, float] = {}
        self._measured_at: float | None = None

    def measure(self, roots: Mapping[str, int]) -> dict[str, ResourceUsage]:
        """Return the usage of each process tree.

        Args:
            roots: Pid of the root of each tree, by run.

        Returns:
            The usage by run. A process that has ended uses nothing.
        """
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
    """Return the process and all its descendants."""
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
    """Yield the children of a process; the kernel lists them by the thread that created them."""
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - Path.iterdir costs twice as much
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as children:  # noqa: PTH123
                yield from map(int, children.read().split())
    except OSError:
        return  # it has ended
