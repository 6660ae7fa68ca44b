"""Settings of this process that must be made before torch is imported."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8  # of <malloc.h>


def tune_process() -> None:
    """Nothing; threads wait asleep, memory that is freed stays with the process, compiled kernels stay for the next.

    OpenMP threads that wait by spinning make two trainings on the same cores 3 to 8 times slower; those that fall
    asleep at once are woken a hundred times a step. A thousand turns, some microseconds, cost neighbours an eighth and
    are three quarters of what endless ones gain. Handing the memory of every intermediate result back costs 10,000
    page faults a step. What the caller has set is respected; a C library without `mallopt` is left as it is.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pmssm-trainers"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))  # PyTorch's own lies in /tmp and goes with a reboot
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_TOP_PAD, 2**28)
        mallopt(M_ARENA_MAX, 1)  # a thread's own arena would know nothing of the other three
