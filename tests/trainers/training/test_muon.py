from __future__ import annotations

import pytest
import torch
from pmssm.trainers.training.flat_parameters import FlatParameters
from pmssm.trainers.training.muon import FlatMuon, hidden_matrices, orthogonalise
from support.small_model import Small
from torch.nn import functional as F


def test_muon_is_that_of_pytorch_beside_adamw() -> None:
    inputs = torch.randn(100, 19, generator=torch.Generator().manual_seed(1))
    targets, reference = inputs[:, 0] * inputs[:, 1], Small()
    muon = FlatMuon(FlatParameters([model := Small()]), learning_rate=1e-2, weight_decay=0.1, clip_norm=None)
    matrices = hidden_matrices(reference)
    assert [tuple(matrix.shape) for matrix in matrices] == [(8, 19), (12, 8)]
    others = [each for each in reference.parameters() if all(each is not matrix for matrix in matrices)]
    optimizers = [
        torch.optim.Muon(matrices, lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=1e-2, weight_decay=0.1),
    ]
    for _ in range(10):
        muon.weights.backward_into(muon.gradient, F.mse_loss(model(inputs), targets))
        muon.step()
        for optimizer in optimizers:
            optimizer.zero_grad()
        F.mse_loss(reference(inputs), targets).backward()
        for optimizer in optimizers:
            optimizer.step()
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-3)  # PyTorch's iterates in bfloat16


@pytest.mark.parametrize("shape", [(3, 20, 50), (50, 20), (2, 1, 30, 30)])
def test_orthogonalised_matrices_have_singular_values_near_1(shape: tuple[int, ...]) -> None:
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(2))))
    assert values.min() > 0.3 and values.max() < 1.3
