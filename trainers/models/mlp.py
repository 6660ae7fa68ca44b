"""PMSSMFeedForward: a multi-layer perceptron, the reference for the transformers."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .checks import cast_like, check_inputs


class PMSSMFeedForward(nn.Module):
    """Multi-layer perceptron on z-scores; 1,411,713 parameters by default.

    Args:
        features: Number of inputs.
        embedding: Numbers per embedded input.
        width: Units of a hidden layer.
        depth: Number of hidden layers.
    """

    body: ClassVar[tuple[str, ...]] = ("hidden.1.", "hidden.2.", "hidden.3.")
    """Prefixes of the parameters that may use bf16."""

    def __init__(self, *, features: int = 19, embedding: int = 64, width: int = 512, depth: int = 4) -> None:
        super().__init__()
        self.features = features
        self.embedding = nn.Linear(1, embedding)
        sizes = [features * embedding] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(size, width) for size in sizes[:-1])
        self.output = nn.Linear(width, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs of shape (batch, features) to predictions of shape (batch,)."""
        check_inputs(inputs, self.features)
        hidden = F.relu(cast_like(self.hidden[1], self._first(inputs)), inplace=True)  # (batch, width)
        for layer in self.hidden[1:]:
            hidden = F.relu(layer(hidden), inplace=True)
        return self.output(cast_like(self.output, hidden)).squeeze(-1)  # type: ignore[no-any-return]

    def _first(self, inputs: Tensor) -> Tensor:
        # There is no non-linearity between embedding and first layer, so both together are one linear map of the
        # inputs. With a factor and a constant per input, a row needs 2 × 19 × 512 multiplications, not 1216 × 512.
        first = self.hidden[0]
        assert isinstance(first, nn.Linear)
        both = torch.stack([self.embedding.weight.squeeze(-1), self.embedding.bias])  # (2, embedding)
        # The gradient of `linear` also reads the large factor row by row; that of a product does not.
        folded = F.linear(first.weight.view(-1, self.embedding.out_features), both)  # (width × features, 2)
        factors = torch.stack([inputs, torch.ones_like(inputs)], dim=-1).flatten(1)  # (batch, features × 2)
        return F.linear(factors, folded.view(first.out_features, -1), first.bias)
