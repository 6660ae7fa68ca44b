"""The parameters of models as one buffer, and the form of them that a step computes with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ..precision import Precision

ALIGNMENT = 16
"""Elements; each parameter starts on a cache line of the buffer."""


class FlatParameters:
    """All parameters of `models`, which are alike.

    The parameters of each model become views of its row of `flat`, `(models, size)`, so that copying `flat` copies the
    models. `parameters` are what `forward` computes with and what its result is differentiated by: the parameters of
    the one model, or, of several, the same parameters stacked.

    In bf16, those of the models' `body`, which lie side by side, are copies with half the digits, made anew by
    `refresh` once a step, while `flat` keeps all of them: Micikevicius et al., "Mixed Precision Training",
    arXiv:1710.03740.
    """

    def __init__(self, models: Sequence[nn.Module], precision: Precision = Precision.FP32) -> None:
        self.models = list(models)
        first = list(models[0].parameters())
        self.flat = first[0].new_zeros(len(models), sum(map(_space, first)))
        for row, model in zip(self.flat, models, strict=True):
            for view, parameter in zip(self.views(row), model.parameters(), strict=True):
                view.copy_(parameter.data)
                parameter.data = view
        body = self._in_body() if precision is Precision.BF16 else []
        self._lends = len(models) > 1 or bool(body)
        self.parameters: list[Tensor] = self._leaves(self.flat) if self._lends else list(first)
        self._wholes = self._halves = self.flat[:, :0]
        if body:
            half = self.flat.to(torch.bfloat16)
            begin, end = self.parameters[body[0]], self.parameters[body[-1]]
            of_body = slice(begin.storage_offset(), end.storage_offset() + first[body[-1]].numel())
            self._wholes, self._halves = self.flat[:, of_body], half[:, of_body]
            halves = self._leaves(half)
            for index in body:
                self.parameters[index] = halves[index]

    def refresh(self) -> None:
        """Nothing; `parameters` are what `flat` says now."""
        self._halves.copy_(self._wholes)

    def forward(self, inputs: Tensor) -> Tensor:
        """What the models make of `inputs`, `(models, k, features)`: `(models, k)`; several are computed as one."""
        if not self._lends:
            result: Tensor = self.models[0](inputs[0])
            return result.unsqueeze(0)
        weights = dict(zip(self._names(), self.parameters, strict=True))
        if len(self.models) == 1:
            return self._lend(weights, inputs[0]).unsqueeze(0)
        return torch.func.vmap(self._lend)(weights, inputs)

    def differentiate(self, values: Tensor, into: Tensor, shares: Tensor | None = None) -> None:
        """Nothing; `into`, like `flat`, is the gradient of `values`, a scalar, or of their sum by `shares`."""
        torch._foreach_copy_(self._cut(into), torch.autograd.grad(values, self.parameters, shares))

    def _lend(self, weights: dict[str, Tensor], inputs: Tensor) -> Tensor:
        return cast(Tensor, torch.func.functional_call(self.models[0], weights, (inputs,)))

    def _leaves(self, buffer: Tensor) -> list[Tensor]:
        """`buffer`, `(models, size)`, cut into what `forward` computes with; they share its memory."""
        return [view.requires_grad_() for view in self._cut(buffer)]

    def _cut(self, buffer: Tensor) -> list[Tensor]:
        """`buffer`, `(models, size)`, cut into the shapes of `parameters`; of one model, they have no `models`."""
        return self.views(buffer if len(self.models) > 1 else buffer[0])

    def views(self, buffer: Tensor) -> list[Tensor]:
        """`buffer`, `(…, size)`, cut into the parameters of a model, each `(…, *its shape)`; they share its memory."""
        views, start = [], 0
        for parameter in self.models[0].parameters():
            part = buffer.detach()[..., start : start + parameter.numel()]
            views.append(part.view(*buffer.shape[:-1], *parameter.shape))
            start += _space(parameter)
        return views

    def _names(self) -> list[str]:
        return [name for name, _ in self.models[0].named_parameters()]

    def _in_body(self) -> list[int]:
        body: tuple[str, ...] = getattr(self.models[0], "body", ())
        return [index for index, name in enumerate(self._names()) if name.startswith(body)]


def _space(parameter: Tensor) -> int:
    """Elements of the buffer."""
    return -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
