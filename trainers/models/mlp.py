"""PMSSMFeedForward: the multi-layer perceptron that the transformers are compared with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .inputs import check_inputs, exactly


class PMSSMFeedForward(nn.Module):
    """Regression on `(batch, features)` z-scores, giving `(batch,)`; 1,411,713 parameters by default."""

    def __init__(self, *, features: int = 19, embedding: int = 64, width: int = 512, depth: int = 4) -> None:
        super().__init__()
        self.features = features
        self.embedding = nn.Linear(1, embedding)
        sizes = [features * embedding] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(size, width) for size in sizes[:-1])
        self.output = nn.Linear(width, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """`inputs`: (batch, features); result (batch,)."""
        check_inputs(inputs, self.features)
        with torch.autocast(inputs.device.type, enabled=False):
            hidden = F.relu(self._first(inputs))  # (batch, width)
        for layer in self.hidden[1:]:
            hidden = F.relu(layer(hidden))
        return exactly(self.output, hidden)

    def _first(self, inputs: Tensor) -> Tensor:
        # Nothing non-linear lies between embedding and first layer, so both are one linear map of the inputs:
        # 19 × 512 instead of 1216 × 512 multiplications a row.
        first = self.hidden[0]
        assert isinstance(first, nn.Linear)
        # (width × features, embedding) and (width, embedding)
        blocks = first.weight.view(-1, self.embedding.out_features)
        summed = first.weight.view(first.out_features, self.features, -1).sum(dim=1)
        weight = torch.mv(blocks, self.embedding.weight.squeeze(-1)).view(first.out_features, self.features)
        return F.linear(inputs, weight, first.bias + torch.mv(summed, self.embedding.bias))
