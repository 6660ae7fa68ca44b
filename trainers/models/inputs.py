"""What all three models share at their two ends."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def check_inputs(inputs: Tensor, features: int) -> None:
    """Nothing; raises ValueError where `inputs` is not `(batch, features)`."""
    if inputs.ndim != 2 or inputs.shape[1] != features:
        raise ValueError(f"inputs must be (batch, {features}), not {tuple(inputs.shape)}")


def exactly(head: nn.Module, rows: Tensor) -> Tensor:
    """What `head` makes of `rows`, `(batch, width)`, in the precision of its weights: `(batch,)`."""
    with torch.autocast(rows.device.type, enabled=False):
        result: Tensor = head(rows.to(next(head.parameters()).dtype)).squeeze(-1)
    return result
