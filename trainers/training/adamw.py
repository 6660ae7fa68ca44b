"""AdamW over one flat buffer: one kernel an update, one norm a clip, no sync."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor

from .flat_parameters import FlatParameters

BETAS, EPS = (0.9, 0.999), 1e-8


class FlatAdamW:
    """`torch.optim.AdamW` on all parameters of each model of `weights` as one.

    Source: Loshchilov and Hutter, arXiv:1711.05101. With `ema` it keeps a running average of the parameters, too, which
    forgets 1 - `ema` a step: Polyak and Juditsky, SIAM J. Control Optim. 30 (1992) 838.
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
        # A tensor, since a number would be frozen into a captured step; CUDA's kernel reads a float32 in any case.
        rate_type = torch.float32 if self.flat.device.type == "cuda" else self.flat.dtype
        self.rate = torch.tensor(learning_rate, dtype=rate_type, device=self.flat.device)
        self.weight_decay = weight_decay
        self.steps = torch.zeros((), device=self.flat.device)
        self.moments = {name: torch.zeros_like(self.flat) for name in self.moment_names}
        self.average = None if ema is None else self.flat.clone()

    @property
    def result(self) -> Tensor:
        """What a training has come to, like `flat`: the average where one is kept, else the parameters."""
        return self.flat if self.average is None else self.average

    @contextmanager
    def result_in_use(self) -> Iterator[None]:
        """A block in which the models' parameters are `result`."""
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
        """Nothing; one update of the parameters against `gradient`, which may come out shorter."""
        if self.clip_norm is not None:
            norm = torch.linalg.vector_norm(self.gradient, dim=1, keepdim=True)  # (models, 1)
            self.gradient.mul_((self.clip_norm / (norm + 1e-6)).clamp_(max=1.0))
        self.steps += 1
        self._move()
        if self.ema is not None and self.average is not None:
            # While few steps are made, their average forgets the start faster.
            forgets = 1 - ((1 + self.steps) / (10 + self.steps)).clamp(max=self.ema)
            self.average.lerp_(self.flat, forgets.to(self.flat.dtype))

    def _move(self) -> None:
        # The kernel under torch.optim.AdamW(fused=True), whose constructor alone imports for 2 s.
        torch._fused_adamw_(
            [self.flat],
            [self.gradient],
            [self.moments["exp_avg"]],
            [self.moments["exp_avg_sq"]],
            [],
            [self.steps],
            lr=self.rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=self.weight_decay,
            eps=EPS,
            amsgrad=False,
            maximize=False,
        )

    def state(self) -> dict[str, Tensor]:
        """Flat parameters, moments, step count, average: live tensors, to be copied or written at once."""
        average = {} if self.average is None else {"average": self.average}
        return {"flat": self.flat, "step": self.steps, **self.moments, **average}

    def load(self, state: dict[str, Tensor]) -> None:
        """Nothing; the parameters and the optimizer then are what `state()` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
