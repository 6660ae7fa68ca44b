"""Muon for the hidden matrices and AdamW for all other parameters, over one flat buffer."""

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
    """FlatAdamW whose updates of hidden matrices have equal length in every direction.

    Source: Jordan et al., kellerjordan.github.io/posts/muon. The length of the updates allows the learning
    rate and weight decay of AdamW: Liu et al., "Muon is Scalable for LLM Training", arXiv:2502.16982.
    """

    moment_names = (*FlatAdamW.moment_names, "momentum")

    @cached_property
    def matrices(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Weight, gradient and momentum of each hidden matrix: views of the flat buffers.

        Each has the shape (models, rows, columns).
        """
        model = self.weights.models[0]
        ours = {id(matrix) for matrix in hidden_matrices(model)}
        chosen = [index for index, parameter in enumerate(model.parameters()) if id(parameter) in ours]
        buffers = (self.flat, self.gradient, self.moments["momentum"])
        weights, gradients, momenta = map(self.weights.views, buffers)
        return [(weights[index], gradients[index], momenta[index]) for index in chosen]

    def _update_parameters(self) -> None:
        before = [weight.clone() for weight, _, _ in self.matrices]
        super()._update_parameters()  # also changes the matrices, which is undone below
        by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for (weight, gradient, momentum), kept in zip(self.matrices, before, strict=True):
            momentum.lerp_(gradient, 1 - MOMENTUM)
            weight.copy_(kept * (1 - self.learning_rate * self.weight_decay))
            by_shape[weight.shape].append((weight, gradient.lerp(momentum, MOMENTUM)))  # Nesterov's lookahead
        for shape, pairs in by_shape.items():
            directions = orthogonalise(torch.stack([lookahead for _, lookahead in pairs]))
            scale = 0.2 * math.sqrt(max(shape[-2:]))  # root mean square of AdamW's updates
            for (weight, _), direction in zip(pairs, directions.unbind(), strict=True):
                weight.sub_(self.learning_rate * scale * direction)


def hidden_matrices(model: nn.Module) -> list[nn.Parameter]:
    """Return the weight matrices between hidden layers: no embedding, output layer or vector."""
    found = []
    for module in model.modules():
        attends, is_linear = isinstance(module, nn.MultiheadAttention), hasattr(module, "in_features")  # also TabM's
        weight = module.in_proj_weight if attends else module.weight if is_linear else None
        if isinstance(weight, nn.Parameter) and weight.ndim == 2 and min(weight.shape) > 1:
            found.append(weight)
    return found


def orthogonalise(matrices: Tensor) -> Tensor:
    """Return approximately the nearest matrices with equal singular values.

    A quintic Newton-Schulz iteration, with coefficients chosen for a large slope at 0: singular values end
    between 0.7 and 1.2. On CUDA it runs in bf16, which is precise enough and faster.

    Args:
        matrices: Shape (…, rows, columns).
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    result = (matrices.mT if tall else matrices).to(torch.bfloat16 if matrices.is_cuda else matrices.dtype)
    result = result / result.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = result @ result.mT
        result = 3.4445 * result + (-4.7750 * gram + 2.0315 * gram @ gram) @ result
    orthogonal: Tensor = result.mT if tall else result
    return orthogonal.to(matrices.dtype)
