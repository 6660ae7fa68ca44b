"""Checks and casts at the first and the last layer of the models."""

from __future__ import annotations

from torch import Tensor, nn


def check_inputs(inputs: Tensor, features: int) -> None:
    """Check that `inputs` has the shape (batch, features).

    Raises:
        ValueError: It has another shape.
    """
    if inputs.ndim != 2 or inputs.shape[1] != features:
        raise ValueError(f"inputs must be (batch, {features}), not {tuple(inputs.shape)}")


def cast_like(module: nn.Module, rows: Tensor) -> Tensor:
    """Convert `rows` to the dtype of the parameters of `module`."""
    return rows.to(next(module.parameters()).dtype)
