"""AdamW over one flat buffer: one kernel an update, one norm a clip, no sync."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .workers import Workers

BETAS, EPS = (0.9, 0.999), 1e-8

ALIGNMENT = 16
"""Elements; each parameter starts on a cache line of the flat buffer."""


class FlatAdamW:
    """`torch.optim.AdamW` on all parameters of each of `models` as one.

    The parameters of each model become views of its row of `flat`, `(models, size)`, so that copying `flat` copies the
    models. `parameters` are those of the one model, or, of several, the same parameters stacked. Source: Loshchilov and
    Hutter, arXiv:1711.05101. With `ema` it keeps a running average of the parameters, too, which forgets 1 - `ema` a
    step: Polyak and Juditsky, SIAM J. Control Optim. 30 (1992) 838.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        *,
        learning_rate: float,
        weight_decay: float,
        clip_norm: float | None,
        workers: Workers | None = None,
        ema: float | None = None,
    ) -> None:
        self.ema = ema
        self.workers = workers or Workers()
        self.clip_norm = clip_norm
        first = list(models[0].parameters())
        sizes = [-(-parameter.numel() // ALIGNMENT) * ALIGNMENT for parameter in first]
        self.flat = first[0].new_zeros(len(models), sum(sizes))
        for row, model in zip(self.flat, models, strict=True):
            for view, parameter in zip(views(row, model), model.parameters(), strict=True):
                view.copy_(parameter.data)
                parameter.data = view
        stacked = [view.requires_grad_() for view in views(self.flat, models[0])]
        self.parameters: list[Tensor] = list(first) if len(models) == 1 else stacked
        # One for each worker; the first becomes their sum.
        self.gradients = [torch.zeros_like(self.flat) for _ in range(self.workers.count)]
        shaped = [gradient[0] if len(models) == 1 else gradient for gradient in self.gradients]
        self._views = [views(gradient, models[0]) for gradient in shaped]
        # A tensor, since a number would be frozen into a captured step; CUDA's kernel reads a float32 in any case.
        rate_type = torch.float32 if self.flat.device.type == "cuda" else self.flat.dtype
        self.rate = torch.tensor(learning_rate, dtype=rate_type, device=self.flat.device)
        self.weight_decay = weight_decay
        self.moments: dict[str, Tensor] = {
            "step": torch.zeros((), device=self.flat.device),
            "exp_avg": torch.zeros_like(self.flat),
            "exp_avg_sq": torch.zeros_like(self.flat),
        }
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

    def take_gradient(self, loss: Tensor, *, worker: int = 0, add: bool = False) -> None:
        """Nothing; the gradient of `loss`, a scalar, is that of this worker, or is added to it."""
        gradients = torch.autograd.grad(loss, self.parameters)
        (torch._foreach_add_ if add else torch._foreach_copy_)(self._views[worker], gradients)

    def step(self) -> None:
        """Nothing; one update of the parameters against the sum of the workers' gradients."""
        gradient, *others = self.gradients
        if others:
            self.workers.each(self._sum)
        if self.clip_norm is not None:
            norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)  # (models, 1)
            gradient.mul_((self.clip_norm / (norm + 1e-6)).clamp_(max=1.0))
        self.moments["step"] += 1
        self._move()
        if self.ema is not None and self.average is not None:
            step = self.moments["step"]  # while few steps are made, their average forgets the start faster
            self.average.lerp_(self.flat, 1 - ((1 + step) / (10 + step)).clamp(max=self.ema).to(self.flat.dtype))

    def _move(self) -> None:
        self.workers.each(self._update)

    def _sum(self, worker: int) -> None:
        first, *others = (self._share(gradient, worker) for gradient in self.gradients)
        for other in others:
            first.add_(other)

    def _update(self, worker: int) -> None:
        # The kernel under torch.optim.AdamW(fused=True), whose constructor alone imports for 2 s.
        torch._fused_adamw_(
            [self._share(self.flat, worker)],
            [self._share(self.gradients[0], worker)],
            [self._share(self.moments["exp_avg"], worker)],
            [self._share(self.moments["exp_avg_sq"], worker)],
            [],
            [self.moments["step"]],
            lr=self.rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=self.weight_decay,
            eps=EPS,
            amsgrad=False,
            maximize=False,
        )

    def _share(self, buffer: Tensor, worker: int) -> Tensor:
        """The part of `buffer` that is the worker's to update, from one cache line to another."""
        lines, count = buffer.numel() // ALIGNMENT, self.workers.count
        bounds = (lines * part // count * ALIGNMENT for part in (worker, worker + 1))
        return buffer.view(-1)[slice(*bounds)]

    def state(self) -> dict[str, Tensor]:
        """Flat parameters, moments, step count, average: live tensors, to be copied or written at once."""
        return {"flat": self.flat, **self.moments, **({} if self.average is None else {"average": self.average})}

    def load(self, state: dict[str, Tensor]) -> None:
        """Nothing; the parameters and the optimizer then are what `state()` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])


def views(buffer: Tensor, model: nn.Module) -> list[Tensor]:
    """`buffer`, `(…, size)`, cut into the parameters of `model`, each `(…, *its shape)`; they share its memory."""
    views, start = [], 0
    for parameter in model.parameters():
        part = buffer.detach()[..., start : start + parameter.numel()]
        views.append(part.view(*buffer.shape[:-1], *parameter.shape))
        start += -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
    return views
