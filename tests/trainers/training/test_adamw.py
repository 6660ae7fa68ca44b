from __future__ import annotations

import torch
from pmssm.trainers.training.adamw import FlatAdamW
from pmssm.trainers.training.flat_parameters import FlatParameters
from torch import nn
from torch.nn import functional as F


def test_the_flat_optimizer_is_the_fused_adamw_of_pytorch_to_the_last_digits() -> None:
    inputs = torch.randn(64, 19, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    targets = inputs[:, 0] * inputs[:, 1]
    torch.manual_seed(5)
    ours = nn.Sequential(nn.Linear(19, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)).double()
    theirs = nn.Sequential(nn.Linear(19, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)).double()
    theirs.load_state_dict(ours.state_dict())
    flat = FlatAdamW(FlatParameters([ours]), learning_rate=1e-2, weight_decay=0.1, clip_norm=1.0)
    fused = torch.optim.AdamW(theirs.parameters(), lr=1e-2, weight_decay=0.1, fused=True)
    for step in range(30):
        scale = 10.0 if step < 15 else 1e-3  # gradients above and below the clip
        flat.weights.backward_into(flat.gradient, scale * F.mse_loss(ours(inputs), targets))
        flat.step()
        fused.zero_grad()
        (scale * F.mse_loss(theirs(inputs), targets)).backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        fused.step()
    for mine, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-12, atol=1e-12)
