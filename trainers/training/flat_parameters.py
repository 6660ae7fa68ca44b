"""The parameters of all models as one buffer, and the form in which a step uses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction, FunctionCtx

from ..precision import Precision

ALIGNMENT = 16
"""Elements; each parameter starts on a cache line of the buffer."""


class FlatParameters:
    """All parameters of `models`, which have the same architecture.

    The parameters of each model become views of its row of `flat`, so that copying `flat` copies the
    models.

    In bf16, the parameters of the `body` of the models are bf16 copies, which `update_bf16_copy` renews
    once per step; `flat` keeps them in fp32: Micikevicius et al., "Mixed Precision Training",
    arXiv:1710.03740. The parameters of the body lie side by side in `flat`.

    Args:
        models: Models to train together; also an attribute.
        precision: bf16 uses bf16 copies for the body.

    Attributes:
        flat: All parameters, shape (models, size).
        parameters: Tensors that `forward` uses and that its result is differentiated by: the parameters of
            the one model, or, for several models, the same parameters stacked.
    """

    def __init__(self, models: Sequence[nn.Module], precision: Precision = Precision.FP32) -> None:
        self.models = list(models)
        first = list(models[0].parameters())
        self.flat = first[0].new_zeros(len(models), sum(map(_padded_size, first)))
        for row, model in zip(self.flat, models, strict=True):
            for view, parameter in zip(self.views(row), model.parameters(), strict=True):
                view.copy_(parameter.data)
                parameter.data = view
        body = self._body_indices() if precision is Precision.BF16 else []
        self._is_functional = len(models) > 1 or bool(body)
        self.parameters: list[Tensor] = self._leaf_tensors(self.flat) if self._is_functional else list(first)
        self._body_fp32 = self._body_bf16 = self.flat[:, :0]
        if body:
            bf16 = self.flat.to(torch.bfloat16)
            start, end = self.parameters[body[0]], self.parameters[body[-1]]
            of_body = slice(start.storage_offset(), end.storage_offset() + first[body[-1]].numel())
            self._body_fp32, self._body_bf16 = self.flat[:, of_body], bf16[:, of_body]
            bf16_leaves = self._leaf_tensors(bf16)
            for index in body:
                self.parameters[index] = bf16_leaves[index]

    def update_bf16_copy(self) -> None:
        """Copy the parameters of the body from `flat` into the bf16 buffer."""
        self._body_bf16.copy_(self._body_fp32)

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply each model to its own inputs; several models are computed as one.

        Args:
            inputs: z-scores, shape (models, k, features).

        Returns:
            Predictions, shape (models, k).
        """
        if not self._is_functional:
            result: Tensor = self.models[0](inputs[0])
            return result.unsqueeze(0)
        weights = dict(zip(self._names(), self.parameters, strict=True))
        if len(self.models) == 1:
            return self._functional_forward(weights, inputs[0]).unsqueeze(0)
        return torch.func.vmap(self._functional_forward)(weights, inputs)

    def backward_into(self, gradient: Tensor, outputs: Tensor, grad_output: Tensor | None = None) -> None:
        """Write the gradient of `outputs` with respect to all parameters into a flat buffer.

        Args:
            gradient: Destination, shape (models, size), laid out like `flat`.
            outputs: A scalar, or predictions of shape (models, k).
            grad_output: Weights of `outputs` in the sum that is differentiated; required unless it is a
                scalar.
        """
        scalar = outputs
        if grad_output is not None:
            scalar = _ScalarWithGradient.apply(outputs, grad_output)  # type: ignore[no-untyped-call]
        torch._foreach_copy_(self._split(gradient), torch.autograd.grad(scalar, self.parameters))

    def _functional_forward(self, weights: dict[str, Tensor], inputs: Tensor) -> Tensor:
        return cast(Tensor, torch.func.functional_call(self.models[0], weights, (inputs,)))

    def _leaf_tensors(self, buffer: Tensor) -> list[Tensor]:
        """Split `buffer`, (models, size), into leaf tensors for `forward`; they share its memory."""
        return [view.requires_grad_() for view in self._split(buffer)]

    def _split(self, buffer: Tensor) -> list[Tensor]:
        """Split `buffer`, (models, size), into the shapes of `parameters`."""
        return self.views(buffer if len(self.models) > 1 else buffer[0])

    def views(self, buffer: Tensor) -> list[Tensor]:
        """Split a buffer into the parameters of a model.

        Args:
            buffer: Shape (…, size).

        Returns:
            One view per parameter, shape (…, *shape of the parameter); they share the memory of `buffer`.
        """
        views, start = [], 0
        for parameter in self.models[0].parameters():
            part = buffer.detach()[..., start : start + parameter.numel()]
            views.append(part.view(*buffer.shape[:-1], *parameter.shape))
            start += _padded_size(parameter)
        return views

    def _names(self) -> list[str]:
        return [name for name, _ in self.models[0].named_parameters()]

    def _body_indices(self) -> list[int]:
        body: tuple[str, ...] = getattr(self.models[0], "body", ())
        return [index for index, name in enumerate(self._names()) if name.startswith(body)]


class _ScalarWithGradient(torch.autograd.Function):
    """A number without a value that has a given gradient.

    PyTorch takes the gradient of outputs of any shape, too, but imports SymPy for it, which takes half a second.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, outputs: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return outputs.new_empty(())

    @staticmethod
    def backward(ctx: BackwardCFunction, *_: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient, None


def _padded_size(parameter: Tensor) -> int:
    """Return the number of elements that the parameter takes in the buffer."""
    return -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
