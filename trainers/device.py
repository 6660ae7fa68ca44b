"""Devices, threads and memory of this process."""

from __future__ import annotations

import os
import resource

import torch

from .errors import OptionError


def choose_device(name: str) -> torch.device:
    """The device that `auto`, `cpu` or `cuda` means here. Raises OptionError where CUDA is asked for in vain."""
    if name == "cuda" and not torch.cuda.is_available():
        raise OptionError("--device cuda: PyTorch sees no CUDA GPU here; give --device cpu, or mend driver or "
                          "CUDA_VISIBLE_DEVICES")  # fmt: skip
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """What a person calls the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def default_threads() -> int:
    """OpenMP's number where that is set, as whoever shares out the cores does; else the cores this process may use."""
    openmp = os.environ.get("OMP_NUM_THREADS", "")
    return int(openmp) if openmp.isdecimal() and int(openmp) > 0 else len(os.sched_getaffinity(0))


def peak_memory_mib(device: torch.device) -> float:
    """Most memory used so far, MiB: of the GPU on CUDA, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
