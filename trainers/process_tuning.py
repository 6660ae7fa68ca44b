"""Settings of this process that must be made before torch is imported."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8  # of <malloc.h>
MADV_HUGEPAGE = 14  # of <sys/mman.h>
HUGE_PAGE = 1 << 21  # bytes
HEAP = 1 << 30  # bytes of addresses, not of memory


def tune_process() -> None:
    """Nothing; threads wait asleep, memory that is freed stays with the process, compiled kernels stay for the next.

    OpenMP threads that wait by spinning make two trainings on the same cores 3 to 8 times slower; those that fall
    asleep at once are woken a hundred times a step. A thousand turns, some microseconds, cost neighbours an eighth and
    are three quarters of what endless ones gain. Handing the memory of every intermediate result back costs 10,000
    page faults a step; pages of 4 KiB cost 5 to 9 % of it, since a step touches more of them than a processor can keep
    in mind. What the caller has set is respected; a C library without `mallopt` is left as it is.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pmssm-trainers"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))  # PyTorch's own lies in /tmp and goes with a reboot
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(M_TOP_PAD, 2**28)
        libc.mallopt(M_ARENA_MAX, 1)  # a thread's own arena would know nothing of the other three
        _ask_for_huge_pages(libc)


def _ask_for_huge_pages(libc: ctypes.CDLL) -> None:
    """Nothing; where the kernel has huge pages for those who ask, the heap lies in them as far as `HEAP` reaches."""
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.free.argtypes, libc.free.restype = [ctypes.c_void_p], None
    heap = libc.malloc(HEAP)
    if heap:
        libc.madvise(-(-heap // HUGE_PAGE) * HUGE_PAGE, HEAP - HUGE_PAGE, MADV_HUGEPAGE)
        libc.free(heap)
