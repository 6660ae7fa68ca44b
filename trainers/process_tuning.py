"""Settings of this process that must precede the import of torch."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8  # of <malloc.h>
MADV_HUGEPAGE = 14  # of <sys/mman.h>
HUGE_PAGE_BYTES = 1 << 21
HEAP_BYTES = 1 << 30  # of addresses, not of memory


def tune_process() -> None:
    """Configure waiting threads, memory allocation and the kernel cache of this process.

    OpenMP threads that wait by spinning make two trainings on the same cores 3 to 8 times slower. Threads
    that sleep at once are woken a hundred times per step. A thousand spins take some microseconds: they
    cost other processes an eighth and give three quarters of the gain of endless spinning.

    Memory of intermediate results stays with the process: returning it costs 10,000 page faults per step.
    Pages of 4 KiB cost 5 to 9 % of a step, because it uses more pages than the processor can cache.

    Environment variables that the caller has set stay unchanged; a C library without `mallopt` is not
    configured.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pmssm-trainers"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))  # PyTorch's default in /tmp is lost at a reboot
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(M_TOP_PAD, 2**28)
        libc.mallopt(M_ARENA_MAX, 1)  # the other settings do not apply to the arenas of threads
        _request_huge_pages(libc)


def _request_huge_pages(libc: ctypes.CDLL) -> None:
    """Request huge pages for the first HEAP_BYTES of the heap, if the kernel offers them."""
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.free.argtypes, libc.free.restype = [ctypes.c_void_p], None
    heap = libc.malloc(HEAP_BYTES)
    if heap:
        start = -(-heap // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
        libc.madvise(start, HEAP_BYTES - HUGE_PAGE_BYTES, MADV_HUGEPAGE)
        libc.free(heap)
