"""Device, threads and memory of this process."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .errors import OptionError


def choose_device(name: str) -> torch.device:
    """Return the device for `auto`, `cpu` or `cuda`.

    Raises:
        OptionError: `cuda` was requested, but there is no CUDA GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise OptionError("--device cuda: PyTorch finds no CUDA GPU; use --device cpu, or check the driver and "
                          "CUDA_VISIBLE_DEVICES")  # fmt: skip
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """Return the name of the device for logs."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def default_threads() -> int:
    """Return OMP_NUM_THREADS if set, else the number of usable cores."""
    openmp = os.environ.get("OMP_NUM_THREADS", "")
    return int(openmp) if openmp.isdecimal() and int(openmp) > 0 else len(os.sched_getaffinity(0))


def peak_memory_mib(device: torch.device) -> float:
    """Return the largest memory use so far, MiB: of the GPU on CUDA, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


NO_MEMORY = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "cublasCreate")
"""How CUDA (loading a kernel, making a graph of a capture) and cuBLAS say so, which don't go through PyTorch."""


@contextmanager
def one_memory_error() -> Iterator[None]:
    """Raise torch.OutOfMemoryError for any lack of GPU memory in the block, whoever reports it."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        # Ending a capture that ran out of memory can fail, too, which hides the reason.
        is_hidden = isinstance(error.__context__, torch.OutOfMemoryError)
        if is_hidden or any(words in str(error) for words in NO_MEMORY):
            raise torch.OutOfMemoryError(str(error)) from error
        raise
