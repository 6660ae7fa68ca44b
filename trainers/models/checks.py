"""What all three models share at their two ends."""

from __future__ import annotations

from torch import Tensor, nn


def check_inputs(inputs: Tensor, features: int) -> None:
    """Nothing; raises ValueError where `inputs` is not `(batch, features)`."""
    if inputs.ndim != 2 or inputs.shape[1] != features:
        raise ValueError(f"inputs must be (batch, {features}), not {tuple(inputs.shape)}")


def cast_like(module: nn.Module, rows: Tensor) -> Tensor:
    """`rows` in the precision of the parameters of `module`."""
    return rows.to(next(module.parameters()).dtype)
