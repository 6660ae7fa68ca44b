"""A pre-norm encoder layer, whole or as far as somebody reads it.

Parameters and their names are those of `torch.nn.TransformerEncoderLayer(norm_first=True)`, which gives the same
numbers up to rounding. Source: Vaswani et al., arXiv:1706.03762; pre-norm: Xiong et al., arXiv:2002.04745.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Layer = nn.TransformerEncoderLayer


def layers_of(modules: nn.ModuleList) -> list[Layer]:
    """The layers that `encoder_layers` made, under their own type."""
    return cast(list[Layer], list(modules))


def encoder_layers(*, width: int, heads: int, feedforward: int, depth: int) -> nn.ModuleList:
    """`depth` independently initialised layers without dropout."""
    return nn.ModuleList(
        nn.TransformerEncoderLayer(width, heads, feedforward, dropout=0.0, batch_first=True, norm_first=True)
        for _ in range(depth)
    )


def encode(layer: Layer, tokens: Tensor) -> Tensor:
    """What `layer` makes of `tokens`, `(batch, token, width)`: the same shape."""
    return feed_forward(layer, attend(layer, tokens, project(layer, tokens)))


def project(layer: Layer, tokens: Tensor) -> Tensor:
    """Queries, keys and values that `layer` makes of `tokens`, `(batch, token, width)`: `(batch, token, 3 × width)`."""
    attention = layer.self_attn
    return F.linear(layer.norm1(tokens), attention.in_proj_weight, attention.in_proj_bias)


def attend(layer: Layer, tokens: Tensor, projected: Tensor) -> Tensor:
    """`tokens`, `(batch, token, width)`, after the attention half of `layer`; `projected` as `project` gives it."""
    attention = layer.self_attn
    batch, count, width = tokens.shape
    # (3, batch, head, token, width / heads). Matrix products, because the fused kernel is no faster at 20 tokens, and
    # its backward in bfloat16 on a CPU is 7 times slower.
    q, k, v = projected.view(batch, count, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4).contiguous().unbind(0)
    weights = softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, dim=-1)  # (batch, head, token, token)
    mixed = (weights @ v).transpose(1, 2).reshape(batch, count, width)
    return tokens + attention.out_proj(mixed)  # type: ignore[no-any-return]


def attend_from_first(layer: Layer, tokens: Tensor) -> Tensor:
    """The first of `tokens`, `(batch, token, width)`, after the attention half of `layer`: `(batch, width)`.

    Neither keys nor values of the tokens are computed: with q the query and W the key matrix of a head,
    q · (W x + b) = (Wᵀ q) · x + constant, which the softmax drops; and a mean of values is the value of the mean.
    """
    attention = layer.self_attn
    batch, _, width = tokens.shape
    heads = attention.num_heads
    normed = layer.norm1(tokens)
    q_weight, k_weight, v_weight = attention.in_proj_weight.view(
        3, heads, -1, width
    )  # each (head, width / heads, width)
    q_bias, _, v_bias = attention.in_proj_bias.view(3, heads, 1, -1)
    q = normed[:, 0] @ q_weight.transpose(1, 2) + q_bias  # (head, batch, width / heads)
    asked = (q @ k_weight).permute(1, 2, 0)  # (batch, width, head)
    weights = softmax(normed @ asked * q.shape[-1] ** -0.5, dim=1)  # (batch, token, head)
    means = (weights.transpose(1, 2) @ normed).transpose(0, 1)  # (head, batch, width)
    mixed = (means @ v_weight.transpose(1, 2) + v_bias).transpose(0, 1).reshape(batch, width)
    return tokens[:, 0] + attention.out_proj(mixed)  # type: ignore[no-any-return]


def softmax(scores: Tensor, dim: int) -> Tensor:
    """The softmax of `scores`, computed with at least fp32's digits, which on a CPU is also faster than with bf16's."""
    return torch.softmax(scores, dim, dtype=torch.promote_types(scores.dtype, torch.float32)).to(scores.dtype)


def hidden(layer: Layer, rows: Tensor) -> Tensor:
    """The hidden units of the feed-forward half of `layer` for `rows`, `(…, width)`: `(…, feedforward)`."""
    # As rows of one matrix: there, a ReLU in place costs neither a copy nor a view of its gradient.
    flat = rows.reshape(-1, rows.shape[-1])
    return F.relu(layer.linear1(layer.norm2(flat)), inplace=True).view(*rows.shape[:-1], -1)


def feed_forward(layer: Layer, rows: Tensor) -> Tensor:
    """`rows`, `(…, width)`, after the feed-forward half of `layer`: the same shape."""
    return rows + layer.linear2(hidden(layer, rows))  # type: ignore[no-any-return]
