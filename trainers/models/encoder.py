"""A pre-norm encoder layer computed for the tokens somebody asks for.

Parameters and their names are those of `torch.nn.TransformerEncoderLayer(norm_first=True)`, which gives the same
numbers up to rounding. Source: Vaswani et al., arXiv:1706.03762; pre-norm: Xiong et al., arXiv:2002.04745.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def encoder_layers(*, width: int, heads: int, feedforward: int, depth: int) -> nn.ModuleList:
    """`depth` independently initialised layers without dropout."""
    return nn.ModuleList(
        nn.TransformerEncoderLayer(width, heads, feedforward, dropout=0.0, batch_first=True, norm_first=True)
        for _ in range(depth)
    )


def encode(layer: nn.Module, tokens: Tensor, first: int | None = None) -> Tensor:
    """What `layer` makes of the first `first` of `tokens` (all: None); they attend to all tokens.

    `tokens`: (batch, token, width); result (batch, first, width).
    """
    assert isinstance(layer, nn.TransformerEncoderLayer)
    attention = layer.self_attn
    batch, count, width = tokens.shape
    heads = (attention.num_heads, width // attention.num_heads)
    normed = layer.norm1(tokens)
    if first is None:
        q, k, v = F.linear(normed, attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=-1)
    else:
        tokens = tokens[:, :first]
        weight, bias = attention.in_proj_weight, attention.in_proj_bias  # rows: query, key, value
        q = F.linear(normed[:, :first], weight[:width], bias[:width])
        k, v = F.linear(normed, weight[width:], bias[width:]).chunk(2, dim=-1)
    mixed = F.scaled_dot_product_attention(
        q.reshape(batch, -1, *heads).transpose(1, 2),  # (batch, head, first, width / heads)
        k.reshape(batch, count, *heads).transpose(1, 2),
        v.reshape(batch, count, *heads).transpose(1, 2),
    )
    # Rows of a matrix from here on: there, a ReLU in place costs neither a copy nor a view of its gradient.
    rows = (tokens + attention.out_proj(mixed.transpose(1, 2).reshape(batch, -1, width))).view(-1, width)
    hidden = F.relu(layer.linear1(layer.norm2(rows)), inplace=True)  # (batch × first, feedforward)
    return (rows + layer.linear2(hidden)).view(batch, -1, width)  # type: ignore[no-any-return]
