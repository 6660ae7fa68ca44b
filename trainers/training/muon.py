"""Muon for the hidden matrices, AdamW for everything else, over one flat buffer."""

from __future__ import annotations

import math
from collections import defaultdict
from functools import cached_property

import torch
from torch import Tensor, nn

from .adamw import FlatAdamW

MOMENTUM = 0.95
NEWTON_SCHULZ_STEPS = 5


class FlatMuon(FlatAdamW):
    """FlatAdamW whose hidden matrices get steps that are as long in every direction.

    Source: Jordan et al., kellerjordan.github.io/posts/muon; the length of the steps, which lets it share learning rate
    and weight decay with AdamW: Liu et al., "Muon is Scalable for LLM Training", arXiv:2502.16982.
    """

    moment_names = (*FlatAdamW.moment_names, "momentum")

    @cached_property
    def matrices(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Weight, gradient and momentum of each hidden matrix, each `(models, rows, columns)`; views of the buffers."""
        model = self.weights.models[0]
        ours = {id(matrix) for matrix in hidden_matrices(model)}
        chosen = [index for index, parameter in enumerate(model.parameters()) if id(parameter) in ours]
        buffers = (self.flat, self.gradient, self.moments["momentum"])
        weights, gradients, momenta = map(self.weights.views, buffers)
        return [(weights[index], gradients[index], momenta[index]) for index in chosen]

    def _move(self) -> None:
        before = [weight.clone() for weight, _, _ in self.matrices]
        super()._move()  # of the matrices, too: undone below
        by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for (weight, gradient, momentum), kept in zip(self.matrices, before, strict=True):
            momentum.lerp_(gradient, 1 - MOMENTUM)
            weight.copy_(kept * (1 - self.rate * self.weight_decay))
            by_shape[weight.shape].append((weight, gradient.lerp(momentum, MOMENTUM)))  # Nesterov's look ahead
        for shape, pairs in by_shape.items():
            directions = orthogonalise(torch.stack([ahead for _, ahead in pairs]))
            scale = 0.2 * math.sqrt(max(shape[-2:]))  # the root mean square of AdamW's steps
            for (weight, _), direction in zip(pairs, directions.unbind(), strict=True):
                weight.sub_(self.rate * scale * direction)


def hidden_matrices(model: nn.Module) -> list[nn.Parameter]:
    """The weight matrices between hidden layers: not embeddings, not the output, no vectors."""
    found = []
    for module in model.modules():
        attends, is_linear = isinstance(module, nn.MultiheadAttention), hasattr(module, "in_features")  # also TabM's
        weight = module.in_proj_weight if attends else module.weight if is_linear else None
        if isinstance(weight, nn.Parameter) and weight.ndim == 2 and min(weight.shape) > 1:
            found.append(weight)
    return found


def orthogonalise(matrices: Tensor) -> Tensor:
    """`(…, rows, columns)`: about the nearest matrices whose singular values are all the same.

    A quintic Newton-Schulz iteration, chosen for its slope at 0: singular values end between 0.7 and 1.2. Half the
    digits are enough where the hardware is faster with them.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    result = (matrices.mT if tall else matrices).to(torch.bfloat16 if matrices.is_cuda else matrices.dtype)
    result = result / result.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = result @ result.mT
        result = 3.4445 * result + (-4.7750 * gram + 2.0315 * gram @ gram) @ result
    orthogonal: Tensor = result.mT if tall else result
    return orthogonal.to(matrices.dtype)
