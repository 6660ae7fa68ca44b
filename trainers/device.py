"""Device, threads and memory of this process."""

from __future__ import annotations

import os
import resource

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
