"""PMSSMTransformer: one token per parameter, and a CLS token first."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .checks import cast_like, check_inputs
from .encoder import attend_from_first, encode, encoder_layers, feed_forward, layers_of


class PMSSMTransformer(nn.Module):
    """Transformer encoder on z-scores; 795,777 parameters by default.

    Args:
        features: Number of inputs.
        width: Numbers per token.
        heads: Attention heads per layer.
        feedforward: Hidden units of the feed-forward half of a layer.
        depth: Number of layers.
    """

    body: ClassVar[tuple[str, ...]] = ("layers.",)
    """Prefixes of the parameters that may use bf16."""
    splits_batch: ClassVar[bool] = True
    """Threads share the rows of a batch, not each kernel: faster, because a row takes much computation."""

    def __init__(
        self, *, features: int = 19, width: int = 128, heads: int = 4, feedforward: int = 512, depth: int = 3
    ) -> None:
        super().__init__()
        self.features = features
        self.embedding = nn.Linear(1, width)
        self.embedding_norm = nn.LayerNorm(width)
        self.position = nn.Parameter(torch.randn(features, width) * 0.02)
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.layers = encoder_layers(width=width, heads=heads, feedforward=feedforward, depth=depth)
        self.head = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 1)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs of shape (batch, features) to predictions of shape (batch,)."""
        check_inputs(inputs, self.features)
        cls, tokens = (cast_like(self.layers, each) for each in (self.cls, self._embed(inputs)))
        tokens = torch.cat([cls.expand(inputs.shape[0], 1, -1), tokens], dim=1)  # (batch, 1 + features, width)
        *layers, last = layers_of(self.layers)
        for layer in layers:
            tokens = encode(layer, tokens)
        # The head reads CLS only, so the last layer does not compute the other tokens.
        cls = feed_forward(last, attend_from_first(last, tokens))  # (batch, width)
        return self.head(cast_like(self.head, cls)).squeeze(-1)  # type: ignore[no-any-return]

    def _embed(self, inputs: Tensor) -> Tensor:
        tokens = self.embedding(inputs.unsqueeze(-1))  # (batch, features, width)
        return F.relu(self.embedding_norm(tokens), inplace=True) + self.position
