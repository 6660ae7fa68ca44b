"""A pre-norm encoder layer, complete or only for the first token.

Parameters and their names are those of `torch.nn.TransformerEncoderLayer(norm_first=True)`, which gives the
same numbers up to rounding. Source: Vaswani et al., arXiv:1706.03762; pre-norm: Xiong et al.,
arXiv:2002.04745.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Layer = nn.TransformerEncoderLayer


def layers_of(modules: nn.ModuleList) -> list[Layer]:
    """Return the layers that `encoder_layers` made, with their own type."""
    return cast(list[Layer], list(modules))


def encoder_layers(*, width: int, heads: int, feedforward: int, depth: int) -> nn.ModuleList:
    """Return `depth` independently initialised layers without dropout."""
    return nn.ModuleList(
        nn.TransformerEncoderLayer(width, heads, feedforward, dropout=0.0, batch_first=True, norm_first=True)
        for _ in range(depth)
    )


def encode(layer: Layer, tokens: Tensor) -> Tensor:
    """Apply `layer` to `tokens` of shape (batch, token, width); the shape stays."""
    return feed_forward(layer, attend(layer, tokens, project(layer, tokens)))


def project(layer: Layer, tokens: Tensor) -> Tensor:
    """Return queries, keys and values of all tokens.

    Args:
        layer: Encoder layer.
        tokens: Shape (batch, token, width).

    Returns:
        Shape (batch, token, 3 × width).
    """
    attention = layer.self_attn
    return F.linear(layer.norm1(tokens), attention.in_proj_weight, attention.in_proj_bias)


def attend(layer: Layer, tokens: Tensor, projected: Tensor) -> Tensor:
    """Apply the attention half of `layer`.

    Args:
        layer: Encoder layer.
        tokens: Shape (batch, token, width).
        projected: Result of `project`.

    Returns:
        Shape (batch, token, width).
    """
    attention = layer.self_attn
    batch, count, width = tokens.shape
    # (3, batch, head, token, width / heads). The fused kernel is no faster for 20 tokens than matrix products, and its
    # backward pass in bfloat16 on a CPU is 7 times slower.
    q, k, v = projected.view(batch, count, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4).contiguous().unbind(0)
    weights = softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1)  # (batch, head, token, token)
    mixed = (weights @ v).transpose(1, 2).reshape(batch, count, width)
    return tokens + attention.out_proj(mixed)  # type: ignore[no-any-return]


def attend_from_first(layer: Layer, tokens: Tensor) -> Tensor:
    """Apply the attention half of `layer` and return the first token only.

    Neither keys nor values of the tokens are computed. With the query q and the key matrix W of a head, q ·
    (W x + b) = (Wᵀ q) · x + constant, and the softmax cancels the constant. The mean of values is the value
    of the mean.

    Args:
        layer: Encoder layer.
        tokens: Shape (batch, token, width).

    Returns:
        Shape (batch, width).
    """
    attention = layer.self_attn
    batch, _, width = tokens.shape
    heads = attention.num_heads
    normed = layer.norm1(tokens)
    # Each of the three weights has the shape (head, width / heads, width).
    q_weight, k_weight, v_weight = attention.in_proj_weight.view(3, heads, -1, width)
    q_bias, _, v_bias = attention.in_proj_bias.view(3, heads, 1, -1)
    q = normed[:, 0] @ q_weight.transpose(1, 2) + q_bias  # (head, batch, width / heads)
    scored = (q @ k_weight).permute(1, 2, 0)  # (batch, width, head)
    weights = softmax(normed @ scored * q.shape[-1] ** -0.5, dim=1)  # (batch, token, head)
    means = (weights.transpose(1, 2) @ normed).transpose(0, 1)  # (head, batch, width)
    mixed = (means @ v_weight.transpose(1, 2) + v_bias).transpose(0, 1).reshape(batch, width)
    return tokens[:, 0] + attention.out_proj(mixed)  # type: ignore[no-any-return]


def softmax(scores: Tensor, dim: int) -> Tensor:
    """Return the softmax of `scores`, computed with at least fp32 precision.

    On a CPU fp32 is also faster here than bf16.
    """
    return torch.softmax(scores, dim, dtype=torch.promote_types(scores.dtype, torch.float32)).to(scores.dtype)


def hidden(layer: Layer, rows: Tensor) -> Tensor:
    """Return the hidden units of the feed-forward half of `layer`.

    Args:
        layer: Encoder layer.
        rows: Shape (…, width).

    Returns:
        Shape (…, feedforward).
    """
    # Rows of one matrix: a ReLU in place then needs neither a copy nor a view of its gradient.
    flat = rows.reshape(-1, rows.shape[-1])
    return F.relu(layer.linear1(layer.norm2(flat)), inplace=True).view(*rows.shape[:-1], -1)


def feed_forward(layer: Layer, rows: Tensor) -> Tensor:
    """Apply the feed-forward half of `layer` to `rows` of shape (…, width); the shape stays."""
    return rows + layer.linear2(hidden(layer, rows))  # type: ignore[no-any-return]
