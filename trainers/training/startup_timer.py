"""Time between the start of the process and the first optimizer step, by phase."""

from __future__ import annotations

import os
import time
from pathlib import Path


class StartupTimer:
    """Durations of the phases of a start.

    The first phase begins when the kernel starts the process.
    """

    def __init__(self) -> None:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        self._started = self._last = ticks / os.sysconf("SC_CLK_TCK")
        self._phases: list[str] = []

    def record(self, phase: str) -> None:
        """End the current phase and name it."""
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._phases.append(f"{phase} {now - self._last:.2f}")
        self._last = now

    def __str__(self) -> str:
        """Return the total and the phases, such as `3.21 s: imports 2.10, data 0.11`."""
        return f"{self._last - self._started:.2f} s: {', '.join(self._phases)}"
