"""AdamW over one flat buffer: one kernel per update, one norm per clip, no sync."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor

from .flat_parameters import FlatParameters

BETAS, EPS = (0.9, 0.999), 1e-8


class FlatAdamW:
    """`torch.optim.AdamW`, applied to all parameters of each model as one tensor.

    Source: Loshchilov and Hutter, arXiv:1711.05101. The optional running average of the parameters follows
    Polyak and Juditsky, SIAM J. Control Optim. 30 (1992) 838.

    Args:
        weights: Parameters to train; also an attribute.
        learning_rate: Initial learning rate.
        weight_decay: Decoupled weight decay; also an attribute.
        clip_norm: Largest norm of the gradient of one model; None: no clipping. Also an attribute.
        ema: Decay of the running average per step, between 0 and 1; None: no average. Also an attribute.

    Attributes:
        flat: All parameters, shape (models, size).
        gradient: Gradient of the loss, laid out like `flat`; the training step writes it.
        learning_rate: Scalar tensor; `fill_` changes it, also for a captured step.
        steps: Number of updates so far, scalar tensor.
        moments: Moments of the gradient by name, laid out like `flat`.
        average: Running average of the parameters, laid out like `flat`, or None.
    """

    moment_names: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        weights: FlatParameters,
        *,
        learning_rate: float,
        weight_decay: float,
        clip_norm: float | None,
        ema: float | None = None,
    ) -> None:
        self.weights, self.flat = weights, weights.flat
        self.ema = ema
        self.clip_norm = clip_norm
        self.gradient = torch.zeros_like(self.flat)
        # A tensor, because a captured step would keep a plain number. The CUDA kernel always reads float32.
        dtype = torch.float32 if self.flat.device.type == "cuda" else self.flat.dtype
        self.learning_rate = torch.tensor(learning_rate, dtype=dtype, device=self.flat.device)
        self.weight_decay = weight_decay
        self.steps = torch.zeros((), device=self.flat.device)
        self.moments = {name: torch.zeros_like(self.flat) for name in self.moment_names}
        self.average = None if ema is None else self.flat.clone()

    @property
    def result(self) -> Tensor:
        """Parameters to validate and to keep: the running average if there is one, else `flat`."""
        return self.flat if self.average is None else self.average

    @contextmanager
    def using_result(self) -> Iterator[None]:
        """Set the parameters of the models to `result` while the block runs."""
        if self.average is None:
            yield
            return
        trained = self.flat.clone()
        self.flat.copy_(self.average)
        try:
            yield
        finally:
            self.flat.copy_(trained)

    def step(self) -> None:
        """Update the parameters with `gradient`, which is clipped in place."""
        if self.clip_norm is not None:
            norm = torch.linalg.vector_norm(self.gradient, dim=1, keepdim=True)  # (models, 1)
            self.gradient.mul_((self.clip_norm / (norm + 1e-6)).clamp_(max=1.0))
        self.steps += 1
        self._update_parameters()
        if self.ema is not None and self.average is not None:
            # The average forgets the initial parameters faster during the first steps.
            weight = 1 - ((1 + self.steps) / (10 + self.steps)).clamp(max=self.ema)
            self.average.lerp_(self.flat, weight.to(self.flat.dtype))

    def _update_parameters(self) -> None:
        # The kernel of torch.optim.AdamW(fused=True). The constructor of that class imports modules for 2 s.
        torch._fused_adamw_(
            [self.flat],
            [self.gradient],
            [self.moments["exp_avg"]],
            [self.moments["exp_avg_sq"]],
            [],
            [self.steps],
            lr=self.learning_rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=self.weight_decay,
            eps=EPS,
            amsgrad=False,
            maximize=False,
        )

    def state(self) -> dict[str, Tensor]:
        """Return parameters, moments, step count and average by name.

        The tensors are live: copy or write them before the next step.
        """
        average = {} if self.average is None else {"average": self.average}
        return {"flat": self.flat, "step": self.steps, **self.moments, **average}

    def load(self, state: dict[str, Tensor]) -> None:
        """Restore parameters and optimizer from what `state` returned."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
