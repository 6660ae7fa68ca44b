"""Where the time goes between the start of the process and its first optimizer step."""

from __future__ import annotations

import os
import time
from pathlib import Path


class StartupTimer:
    """Phases of a start, each ended by its name; the first began when the kernel started the process."""

    def __init__(self) -> None:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        self._began = self._last = ticks / os.sysconf("SC_CLK_TCK")
        self._phases: list[str] = []

    def end(self, phase: str) -> None:
        """Nothing; what was done since the phase before was `phase`."""
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._phases.append(f"{phase} {now - self._last:.2f}")
        self._last = now

    def __str__(self) -> str:
        """`3.21 s: imports 2.10, data 0.11, …`."""
        return f"{self._last - self._began:.2f} s: {', '.join(self._phases)}"
