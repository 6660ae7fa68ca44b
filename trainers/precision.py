"""How many digits the matrix products of a training take in; sums, losses, weights and moments are fp32 in any case."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum

import torch

from .errors import OptionError
from .log import LOGGER


class Precision(StrEnum):
    """Of the factors of matrix products: 24, 11 or 8 bits."""

    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"

    def applied(self, device: torch.device) -> AbstractContextManager[object]:
        """A block in which forward passes take factors of this precision; each thread needs its own."""
        if self is not Precision.BF16:
            return nullcontext()
        # No cache of cast weights: a captured step must cast them anew each time it is replayed.
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def choose_precision(name: str, device: torch.device) -> Precision:
    """What `auto`, `fp32`, `tf32` or `bf16` means on this device, and the process set to it.

    `auto` is tf32 on GPUs that have it, fp32 elsewhere: bf16 moves PMSSMTransformer visibly, so ask for it by name.
    Raises OptionError for tf32 on a CPU and for bf16 on a GPU without it; bf16 on a CPU without it warns of its pace.
    """
    has_tf32 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    precision = Precision(name) if name != "auto" else Precision.TF32 if has_tf32 else Precision.FP32
    if precision is not Precision.FP32 and device.type == "cuda" and not has_tf32:
        raise OptionError(f"--precision {name}: this GPU is older than Ampere and has none; give --precision fp32")
    if precision is Precision.TF32 and device.type == "cpu":
        raise OptionError("--precision tf32: a CPU has none; give --precision fp32 or bf16")
    if precision is Precision.BF16 and device.type == "cpu" and not cpu_has_bf16():
        LOGGER.warning("This CPU computes no bf16 products (avx512_bf16 or amx_bf16): --precision bf16 will be slow")
    torch.set_float32_matmul_precision("high" if precision is Precision.TF32 else "highest")
    return precision


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 by itself, as Linux tells."""
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123 (a line or two of a long file)
            flags = next((line for line in file if line.startswith("flags")), "").split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)
