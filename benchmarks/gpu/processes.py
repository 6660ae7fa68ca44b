"""Find and end processes by a variable of their environment, which every process inherits from its parent."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

PASSES, PAUSE_S = 5, 0.1
"""A process that starts another one while it is searched for is found in the next pass."""


def end_processes(variable: str, value: str) -> None:
    """Kill all processes with this variable except the caller, also those in sessions of their own.

    Args:
        variable: Name of the variable.
        value: Its value, which no other process has.
    """
    for _ in range(PASSES):
        if not _kill_all(os.fsencode(f"{variable}={value}")):
            return
        time.sleep(PAUSE_S)


def _kill_all(wanted: bytes) -> int:
    """Kill the processes with this entry in their environment, and return how many there were."""
    ended = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with suppress(OSError):  # it has ended by itself, or belongs to another user
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)
                    ended += 1
    return ended
