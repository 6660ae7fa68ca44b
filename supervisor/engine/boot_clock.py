"""The time since boot, which nobody sets, beside the clock, which anybody may set."""

from __future__ import annotations

import time
from functools import cache

from ..launchers import shim_files


def clock_offset_s() -> float:
    """Return the unix time at which the machine was started, as the clock tells it now; only a step changes it."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


@cache
def boot_id() -> str:
    """Return the kernel's identifier of this boot."""
    return shim_files.boot_id()
