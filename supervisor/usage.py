"""CPU and memory of a run's whole process tree."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Usage:
    """What the processes of one run take together."""

    pids: frozenset[int]
    cpu_percent: float | None  # of one core; None at the first look
    memory_mib: float  # resident


class UsageMeter:
    """Measures the process trees below given roots; CPU is what was used since the look before."""

    def __init__(self) -> None:
        self._cpu_seconds: dict[int, float] = {}
        self._measured_at: float | None = None

    def measure(self, roots: Mapping[str, int]) -> dict[str, Usage]:
        """The usage below each root pid; a root that has ended is left out."""
        if not roots:
            return {}
        children = _children()
        now = time.monotonic()
        elapsed = None if self._measured_at is None else now - self._measured_at
        seconds: dict[int, float] = {}
        usages = {}
        for run, root in roots.items():
            memory = 0
            for pid in _tree(root, children):
                try:
                    process = psutil.Process(pid)
                    times = process.cpu_times()
                    memory += process.memory_info().rss
                except psutil.Error:
                    continue
                seconds[pid] = times.user + times.system
            used = [seconds[pid] - self._cpu_seconds.get(pid, 0.0) for pid in _tree(root, children) if pid in seconds]
            cpu = 100 * sum(used) / elapsed if elapsed else None
            usages[run] = Usage(frozenset(_tree(root, children)), cpu, memory / 2**20)
        self._cpu_seconds, self._measured_at = seconds, now
        return usages


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for process in psutil.process_iter(["ppid"]):
        children.setdefault(process.info["ppid"], []).append(process.pid)
    return children


def _tree(root: int, children: Mapping[int, Iterable[int]]) -> list[int]:
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found
