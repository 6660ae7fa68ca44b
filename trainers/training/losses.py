"""Loss functions of z-score errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

HUBER_WIDTH = 0.1
"""Error at which the Huber loss becomes linear, in standard deviations of the learned value."""


class Loss(NamedTuple):
    """A loss function of errors r.

    Attributes:
        value: Maps errors of any shape to their losses.
        slope: Maps errors to the derivatives of their losses.
    """

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]


def _huber(errors: Tensor) -> Tensor:
    """Return r²/2 up to the width w, and w (|r| - w/2) beyond: Huber, doi:10.1214/aoms/1177703732."""
    size = errors.abs()
    inner = size.clamp(max=HUBER_WIDTH)
    return inner * (size - inner / 2)


def _log_cosh(errors: Tensor) -> Tensor:
    """Return w² ln cosh(r/w) with the width w of the Huber loss: quadratic near 0, linear far away."""
    size = errors.abs() / HUBER_WIDTH
    return HUBER_WIDTH**2 * (size + torch.log1p(torch.exp(-2 * size)) - math.log(2))


MSE = Loss(torch.square, lambda errors: 2 * errors)
HUBER = Loss(_huber, lambda errors: errors.clamp(-HUBER_WIDTH, HUBER_WIDTH))
L1 = Loss(torch.abs, torch.sign)
LOG_COSH = Loss(_log_cosh, lambda errors: HUBER_WIDTH * torch.tanh(errors / HUBER_WIDTH))
