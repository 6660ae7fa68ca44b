"""The models that plans can choose instead of the lab's: periodic embeddings and TabM."""

from __future__ import annotations

import pytest
import torch
from pmssm.trainers.models.periodic import PeriodicEmbeddings
from pmssm.trainers.models.recipes import RECIPES
from pmssm.trainers.models.tabm import PMSSMTabM
from pmssm.trainers.signals import StopRequest
from pmssm.trainers.training.loop import Trainer
from pmssm.trainers.training.state import TrainingConfig
from pmssm.trainers.training.step import TrainingData
from torch import Tensor
from torch.nn import functional as F

NAMES = [name for name in RECIPES if name not in ("transformer", "transformer_tabular", "mlp")]


@pytest.mark.parametrize("name", NAMES)
def test_a_better_model_gives_one_number_a_row_in_any_company(name: str, inputs: Tensor) -> None:
    model = RECIPES[name].build().double().eval()
    with torch.no_grad():
        assert model(inputs).shape == (len(inputs),)
        torch.testing.assert_close(model(inputs)[3:5], model(inputs[3:5]), rtol=1e-12, atol=1e-14)
        assert not torch.allclose(model(inputs), model(inputs.flip(1)))
    with pytest.raises(ValueError, match=r"inputs must be \(batch, 19\), not \(40, 18\)"):
        model(inputs[:, :18])


def test_periodic_embeddings_are_those_of_their_authors_package(inputs: Tensor) -> None:
    from rtdl_num_embeddings import PeriodicEmbeddings as Reference

    ours, theirs = PeriodicEmbeddings(19, 8).double(), Reference(19, 8, lite=False).double()
    with torch.no_grad():
        theirs.periodic.weight.copy_(ours.frequencies)
        theirs.linear.weight.copy_(ours.weight)
        theirs.linear.bias.copy_(ours.bias)
        torch.testing.assert_close(ours(inputs), theirs(inputs), rtol=1e-12, atol=1e-12)


def test_each_member_of_tabm_is_trained_for_itself(inputs: Tensor) -> None:
    model = PMSSMTabM(width=16, members=4).double()
    data = TrainingData(inputs, inputs[:, 0], inputs, inputs[:, 0])
    config = TrainingConfig(learning_rate=3e-3, weight_decay=1e-2, cosine=True, clip_norm=1.0, batch_size=40)
    training = Trainer([model], data, config, stop=StopRequest())
    training.step.start_epoch([config.seed], 0, 0)
    each = model(inputs)
    assert each.shape == (40, 4)
    expected = torch.stack([F.mse_loss(each[:, member], inputs[:, 0]) for member in range(4)]).mean()
    training.step(40)
    assert training.progress.loss_sum.item() / 40 == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(model.eval()(inputs), model.train()(inputs).mean(dim=1))
