"""PMSSMTransformerTabular: one embedding per parameter, attention pooling at the end."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .checks import cast_like, check_inputs
from .encoder import Layer, attend, encoder_layers, feed_forward, hidden, layers_of, project, softmax


class PMSSMTransformerTabular(nn.Module):
    """Transformer encoder with one embedding per input; 803,330 parameters by default.

    Embedding per feature: Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data",
    arXiv:2106.11959.

    Args:
        features: Number of inputs.
        width: Numbers per token.
        heads: Attention heads per layer.
        feedforward: Hidden units of the feed-forward half of a layer.
        depth: Number of layers.
    """

    body: ClassVar[tuple[str, ...]] = ("layers.", "pool.")
    """Prefixes of the parameters that may use bf16."""
    splits_batch: ClassVar[bool] = True
    """Threads share the rows of a batch, not each kernel: faster, because a row takes much computation."""

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
        """Map inputs of shape (batch, features) to predictions of shape (batch,)."""
        check_inputs(inputs, self.features)
        layers = layers_of(self.layers)
        tokens, projected = self._embed_and_project(inputs, layers[0])
        rows = attend(layers[0], tokens, projected)  # (batch, features, width)
        for before, layer in pairwise(layers):
            tokens = feed_forward(before, rows)
            rows = attend(layer, tokens, project(layer, tokens))
        pooled = self._feed_forward_and_pool(layers[-1], rows)
        return self.head(cast_like(self.head, pooled)).squeeze(-1)  # type: ignore[no-any-return]

    def _embed_and_project(self, inputs: Tensor, layer: Layer) -> tuple[Tensor, Tensor]:
        """Return tokens and their queries, keys and values.

        An embedded and normalised parameter x is a sum of three vectors of its feature, token = r x u + r v
        + β with r = 1 / σ(x). The same holds for its second normalisation and for every linear map of it.
        So three coefficients determine all numbers of a token: 3 instead of 128 multiplications per query,
        key and value.

        Args:
            inputs: Shape (batch, features).
            layer: The first encoder layer.

        Returns:
            Tokens, (batch, features, width), and the result of `project` for them, (batch, features, 3 ×
                width).
        """
        weight = _centred(_stack(self.embeddings, "weight").squeeze(-1))
        bias = _centred(_stack(self.embeddings, "bias"))
        gain, shift = _stack(self.embedding_norms, "weight"), _stack(self.embedding_norms, "bias")  # (features, width)
        eps = cast(nn.LayerNorm, self.embedding_norms[0]).eps
        x = inputs.t()  # (features, batch)
        variance = _mean_square(torch.stack([x, torch.ones_like(x)], dim=-1), torch.stack([weight, bias], dim=1))
        r = torch.rsqrt(variance + eps)
        coefficients = torch.stack([r * x, r, torch.ones_like(r)], dim=-1)  # (features, batch, 3)
        vectors = torch.stack([weight * gain, bias * gain, shift], dim=1)  # (features, 3, width)
        tokens = cast_like(layer, coefficients @ vectors).transpose(0, 1).contiguous()
        norm, attention = layer.norm1, layer.self_attn
        vectors = _centred(vectors)
        r = torch.rsqrt(_mean_square(coefficients, vectors) + norm.eps)
        in_proj = attention.in_proj_weight.to(inputs.dtype)
        maps = F.linear(vectors * norm.weight, in_proj)  # (features, 3, 3 × width)
        constant = F.linear(norm.bias.to(inputs.dtype), in_proj, attention.in_proj_bias.to(inputs.dtype))
        projected = torch.baddbmm(constant, r.unsqueeze(-1) * coefficients, maps)
        return tokens, cast_like(layer, projected).transpose(0, 1)

    def _feed_forward_and_pool(self, layer: Layer, rows: Tensor) -> Tensor:
        """Return the attention-weighted mean of the tokens after the last feed-forward half.

        The mean of linear maps is the linear map of the mean, so the second linear map of the feed-forward
        half is applied once per point, not once per token. The weights of the mean need one number of it
        per token, and not its bias.

        Args:
            layer: The last encoder layer.
            rows: Tokens after its attention half, (batch, features, width).

        Returns:
            Shape (batch, width).
        """
        units = hidden(layer, rows)  # (batch, features, feedforward)
        out = layer.linear2
        score_weight = self.pool.weight @ out.weight  # (1, feedforward)
        scores = F.linear(rows, self.pool.weight, self.pool.bias) + F.linear(
            units, score_weight
        )  # (batch, features, 1)
        weights = softmax(scores, dim=1).transpose(1, 2)
        return ((weights @ rows) + out(weights @ units)).squeeze(1)  # type: ignore[no-any-return]


def _stack(modules: nn.ModuleList, name: str) -> Tensor:
    return torch.stack([getattr(module, name) for module in modules])


def _centred(vectors: Tensor) -> Tensor:
    return vectors - vectors.mean(dim=-1, keepdim=True)


def _mean_square(coefficients: Tensor, vectors: Tensor) -> Tensor:
    """Return the mean square of each combination of centred vectors.

    Args:
        coefficients: Shape (features, batch, k).
        vectors: Shape (features, k, width).

    Returns:
        Shape (features, batch).
    """
    gram = vectors @ vectors.transpose(1, 2) / vectors.shape[-1]  # (features, k, k)
    return ((coefficients @ gram) * coefficients).sum(dim=-1)
