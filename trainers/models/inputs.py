"""The one check that all three models share."""

from __future__ import annotations

from torch import Tensor


def check_inputs(inputs: Tensor, features: int) -> None:
    """Nothing; raises ValueError where `inputs` is not `(batch, features)`."""
    if inputs.ndim != 2 or inputs.shape[1] != features:
        raise ValueError(f"inputs must be (batch, {features}), not {tuple(inputs.shape)}")
