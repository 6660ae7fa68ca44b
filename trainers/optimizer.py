"""AdamW over one flat buffer: one kernel an update, one norm a clip, no sync."""

from __future__ import annotations

import torch
from torch import Tensor, nn

BETAS, EPS = (0.9, 0.999), 1e-8

ALIGNMENT = 16
"""Elements; each parameter starts on a cache line of the flat buffer."""


class FlatAdamW:
    """`torch.optim.AdamW` on all parameters of `model` as one.

    The parameters become views of `flat`, so that copying `flat` copies the model. Source: Loshchilov and Hutter,
    arXiv:1711.05101.
    """

    def __init__(self, model: nn.Module, *, learning_rate: float, weight_decay: float, clip_norm: float | None) -> None:
        self.parameters = list(model.parameters())
        self.clip_norm = clip_norm
        starts, size = [], 0
        for parameter in self.parameters:
            starts.append(size)
            size += -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
        self.flat = self.parameters[0].new_zeros(size)
        self.gradient = torch.zeros_like(self.flat)
        self._gradients = [
            self.gradient[start : start + parameter.numel()].view_as(parameter)
            for start, parameter in zip(starts, self.parameters, strict=True)
        ]
        for start, parameter in zip(starts, self.parameters, strict=True):
            view = self.flat[start : start + parameter.numel()].view_as(parameter)
            view.copy_(parameter.data)
            parameter.data = view
        # A tensor, since a number would be frozen into a captured step.
        self.rate = torch.tensor(learning_rate, dtype=self.flat.dtype, device=self.flat.device)
        self.weight_decay = weight_decay
        self.moments: dict[str, Tensor] = {
            "step": torch.zeros((), device=self.flat.device),
            "exp_avg": torch.zeros_like(self.flat),
            "exp_avg_sq": torch.zeros_like(self.flat),
        }

    def step(self, loss: Tensor) -> None:
        """Nothing; one update of the parameters against the gradient of `loss`, a scalar."""
        gradients = torch.autograd.grad(loss, self.parameters)
        torch._foreach_copy_(self._gradients, gradients)
        if self.clip_norm is not None:
            norm = torch.linalg.vector_norm(self.gradient)
            self.gradient.mul_((self.clip_norm / (norm + 1e-6)).clamp_(max=1.0))
        self._update()

    def _update(self) -> None:
        # The kernel under torch.optim.AdamW(fused=True), whose constructor alone imports for 2 s.
        moments = self.moments
        moments["step"] += 1
        torch._fused_adamw_(
            [self.flat],
            [self.gradient],
            [moments["exp_avg"]],
            [moments["exp_avg_sq"]],
            [],
            [moments["step"]],
            lr=self.rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=self.weight_decay,
            eps=EPS,
            amsgrad=False,
            maximize=False,
        )

    def state(self) -> dict[str, Tensor]:
        """Flat parameters, moments and step count: live tensors, to be copied or written at once."""
        return {"flat": self.flat, **self.moments}

    def load(self, state: dict[str, Tensor]) -> None:
        """Nothing; the parameters and the optimizer then are what `state()` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
