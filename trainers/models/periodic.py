"""The three lab models with periodic (PLR) embeddings.

The embedding is Linear(sin, cos of learned frequencies), then ReLU. Source: Gorishniy, Rubachev, Babenko,
"On Embeddings for Numerical Features in Tabular Deep Learning", arXiv:2203.05556. A linear embedding learns
the narrow funnels and coannihilation strips of Ωh² very slowly, because a network fits low frequencies
first.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .checks import cast_like
from .encoder import Layer, project
from .mlp import PMSSMFeedForward
from .transformer import PMSSMTransformer
from .transformer_tabular import PMSSMTransformerTabular

FREQUENCIES = 48
FREQUENCY_SCALE = 0.1
"""Standard deviation of the initial frequencies, in periods per unit of the z-score."""


class PeriodicEmbeddings(nn.Module):
    """Periodic embeddings; each input has its own frequencies and its own linear map.

    Args:
        features: Number of inputs.
        width: Numbers per embedded input.
        frequencies: Frequencies per input.
    """

    def __init__(self, features: int, width: int, frequencies: int = FREQUENCIES) -> None:
        super().__init__()
        bound = 3 * FREQUENCY_SCALE
        self.frequencies = nn.Parameter(torch.empty(features, frequencies))
        nn.init.trunc_normal_(self.frequencies, std=FREQUENCY_SCALE, a=-bound, b=bound)
        limit = (2 * frequencies) ** -0.5
        self.weight = nn.Parameter(torch.empty(features, 2 * frequencies, width).uniform_(-limit, limit))
        self.bias = nn.Parameter(torch.empty(features, width).uniform_(-limit, limit))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs of shape (batch, features) to embeddings (batch, features, width)."""
        angles = 2 * math.pi * self.frequencies * inputs.unsqueeze(-1)  # (batch, features, frequencies)
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1)
        mapped = torch.baddbmm(self.bias.unsqueeze(1), waves.transpose(0, 1), self.weight)  # (features, batch, width)
        return F.relu(mapped).transpose(0, 1).contiguous()


class PMSSMFeedForwardPLR(PMSSMFeedForward):
    """PMSSMFeedForward with periodic embeddings; 1,530,449 parameters by default.

    Args:
        features: Number of inputs.
        embedding: Numbers per embedded input.
        width: Units of a hidden layer.
        depth: Number of hidden layers.
        frequencies: Frequencies per input.
    """

    body = ("hidden.",)

    def __init__(
        self,
        *,
        features: int = 19,
        embedding: int = 64,
        width: int = 512,
        depth: int = 4,
        frequencies: int = FREQUENCIES,
    ) -> None:
        super().__init__(features=features, embedding=embedding, width=width, depth=depth)
        del self.embedding
        self.periodic = PeriodicEmbeddings(features, embedding, frequencies)

    def _first(self, inputs: Tensor) -> Tensor:
        return self.hidden[0](cast_like(self.hidden[0], self.periodic(inputs).flatten(1)))  # type: ignore[no-any-return]


class PMSSMTransformerPLR(PMSSMTransformer):
    """PMSSMTransformer with periodic embeddings as tokens; 1,032,081 parameters by default."""

    def __init__(
        self, *, features: int = 19, width: int = 128, heads: int = 4, feedforward: int = 512, depth: int = 3
    ) -> None:
        super().__init__(features=features, width=width, heads=heads, feedforward=feedforward, depth=depth)
        del self.embedding, self.embedding_norm
        self.periodic = PeriodicEmbeddings(features, width)

    def _embed(self, inputs: Tensor) -> Tensor:
        return self.periodic(inputs) + self.position  # type: ignore[no-any-return]


class PMSSMTransformerTabularPLR(PMSSMTransformerTabular):
    """PMSSMTransformerTabular with periodic embeddings as tokens."""

    def __init__(
        self, *, features: int = 19, width: int = 128, heads: int = 4, feedforward: int = 512, depth: int = 3
    ) -> None:
        super().__init__(features=features, width=width, heads=heads, feedforward=feedforward, depth=depth)
        del self.embeddings, self.embedding_norms
        self.periodic = PeriodicEmbeddings(features, width)

    def _embed_and_project(self, inputs: Tensor, layer: Layer) -> tuple[Tensor, Tensor]:
        tokens = cast_like(layer, self.periodic(inputs))
        return tokens, project(layer, tokens)
