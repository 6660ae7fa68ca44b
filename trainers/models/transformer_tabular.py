"""PMSSMTransformerTabular: each parameter has an embedding of its own; attention pooling at the end."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .encoder import encode, encoder_layers
from .inputs import check_inputs


class PMSSMTransformerTabular(nn.Module):
    """Regression on `(batch, features)` z-scores, giving `(batch,)`; 803,330 parameters by default.

    Embedding per feature: Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data", arXiv:2106.11959.
    """

    def __init__(
        self, *, features: int = 19, width: int = 128, heads: int = 4, feedforward: int = 512, depth: int = 3
    ) -> None:
        super().__init__()
        self.features = features
        self.width = width
        self.embeddings = nn.ModuleList(nn.Linear(1, width) for _ in range(features))
        self.embedding_norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(features))
        self.layers = encoder_layers(width=width, heads=heads, feedforward=feedforward, depth=depth)
        self.pool = nn.Linear(width, 1)
        self.head = nn.Sequential(
            nn.Linear(width, 512), nn.LayerNorm(512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 1)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """`inputs`: (batch, features); result (batch,)."""
        check_inputs(inputs, self.features)
        tokens = self._embed(inputs)  # (batch, features, width)
        for layer in self.layers:
            tokens = encode(layer, tokens)
        weights = torch.softmax(self.pool(tokens), dim=1)  # (batch, features, 1)
        pooled = (weights * tokens).sum(dim=1)  # (batch, width)
        return self.head(pooled).squeeze(-1)  # type: ignore[no-any-return]

    def _embed(self, inputs: Tensor) -> Tensor:
        # The modules of all features as one: the same numbers as module by module, in 4 kernels instead of 38.
        weight, bias = (
            _stack(self.embeddings, "weight").squeeze(-1),
            _stack(self.embeddings, "bias"),
        )  # (features, width)
        norm_weight, norm_bias = _stack(self.embedding_norms, "weight"), _stack(self.embedding_norms, "bias")
        tokens = torch.addcmul(bias, inputs.unsqueeze(-1), weight)  # (batch, features, width)
        return torch.addcmul(norm_bias, F.layer_norm(tokens, (self.width,)), norm_weight)


def _stack(modules: nn.ModuleList, name: str) -> Tensor:
    return torch.stack([module.get_parameter(name) for module in modules])
