"""How many digits a training computes with; weights, moments, losses and both ends of a model are fp32 in any case."""

from __future__ import annotations

from enum import StrEnum

import torch

from .errors import OptionError
from .log import LOGGER


class Precision(StrEnum):
    """24, 11 or 8 bits: tf32 of the factors of matrix products, bf16 of all that the body of a model computes."""

    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"


def choose_precision(name: str, device: torch.device) -> Precision:
    """What `auto`, `fp32`, `tf32` or `bf16` means on this device, and the process set to it.

    `auto` is tf32 on GPUs and bf16 on CPUs that have it, fp32 elsewhere. Raises OptionError for tf32 on a CPU and for
    bf16 on a GPU without it; bf16 on a CPU without it warns of its pace.
    """
    has_bf16 = device.type == "cpu" and cpu_has_bf16()
    has_tf32 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    fastest = Precision.TF32 if has_tf32 else Precision.BF16 if has_bf16 else Precision.FP32
    precision = fastest if name == "auto" else Precision(name)
    if precision is not Precision.FP32 and device.type == "cuda" and not has_tf32:
        raise OptionError(f"--precision {name}: this GPU is older than Ampere and has none; give --precision fp32")
    if precision is Precision.TF32 and device.type == "cpu":
        raise OptionError("--precision tf32: a CPU has none; give --precision fp32 or bf16")
    if precision is Precision.BF16 and device.type == "cpu" and not has_bf16:
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
