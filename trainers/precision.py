"""Numeric precision of a training.

Weights, optimizer moments, losses, and the first and last layers always use fp32.
"""

from __future__ import annotations

from enum import StrEnum

import torch

from .errors import OptionError
from .log import LOGGER


class Precision(StrEnum):
    """Precision of the body of a model, with 24, 11 or 8 significant bits.

    tf32 concerns the factors of matrix products; bf16 concerns all that the body computes.
    """

    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"


def choose_precision(name: str, device: torch.device) -> Precision:
    """Return the precision for a value of `--precision`, and configure this process for it.

    `auto` is tf32 on GPUs and bf16 on CPUs that support it, fp32 elsewhere. bf16 on a CPU without support
    for it logs a warning, because it is slow.

    Args:
        name: `auto`, `fp32`, `tf32` or `bf16`.
        device: Device of the training.

    Raises:
        OptionError: tf32 on a CPU, or tf32 or bf16 on a GPU without support for it.
    """
    has_bf16 = device.type == "cpu" and cpu_has_bf16()
    has_tf32 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    fastest = Precision.TF32 if has_tf32 else Precision.BF16 if has_bf16 else Precision.FP32
    precision = fastest if name == "auto" else Precision(name)
    if precision is not Precision.FP32 and device.type == "cuda" and not has_tf32:
        raise OptionError(
            f"--precision {name}: this GPU is older than Ampere and does not support it; use --precision fp32"
        )
    if precision is Precision.TF32 and device.type == "cpu":
        raise OptionError("--precision tf32: CPUs do not support it; use --precision fp32 or bf16")
    if precision is Precision.BF16 and device.type == "cpu" and not has_bf16:
        LOGGER.warning("This CPU computes no bf16 products (avx512_bf16 or amx_bf16): --precision bf16 will be slow")
    torch.set_float32_matmul_precision("high" if precision is Precision.TF32 else "highest")
    return precision


def cpu_has_bf16() -> bool:
    """Return whether the CPU has instructions for bf16 products, according to Linux."""
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123 (reads the first lines of a long file)
            flags = next((line for line in file if line.startswith("flags")), "").split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)
