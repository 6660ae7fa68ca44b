"""What is opt-in: periodic embeddings, TabM, Muon, warm-up, running averages, TensorBoard."""

from __future__ import annotations

import math
import signal
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from pmssm.trainers.models.periodic import PeriodicEmbeddings
from pmssm.trainers.models.recipes import RECIPES
from pmssm.trainers.models.tabm import PMSSMTabM
from pmssm.trainers.signals import Stopped, StopRequest
from pmssm.trainers.training.checkpoint import Checkpoints
from pmssm.trainers.training.epoch_metrics import EpochMetrics
from pmssm.trainers.training.flat_parameters import FlatParameters
from pmssm.trainers.training.loop import Trainer
from pmssm.trainers.training.metrics import MetricsWriter
from pmssm.trainers.training.muon import FlatMuon, hidden_matrices, orthogonalise
from pmssm.trainers.training.state import TrainingConfig
from pmssm.trainers.training.step import TrainingData
from pmssm.trainers.training.tensorboard import TAGS
from torch import Tensor, nn
from torch.nn import functional as F

SETTINGS = TrainingConfig(
    learning_rate=3e-3, weight_decay=1e-2, cosine=True, clip_norm=1.0, epochs=3, batch_size=32, checkpoint_seconds=1e9
)
BETTER = ["transformer_plr", "transformer_tabular_plr", "mlp_plr", "tabm"]


class Small(nn.Module):
    """Two hidden matrices."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layers = nn.Sequential(nn.Linear(19, 8), nn.Tanh(), nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs).squeeze(-1)


def points() -> TrainingData:
    inputs = torch.randn(130, 19, generator=torch.Generator().manual_seed(1))
    targets = inputs[:, 0] * inputs[:, 1]
    return TrainingData(inputs[:100], targets[:100], inputs[100:], targets[100:])


def train(folder: Path, settings: TrainingConfig, stop_after: int = -1) -> Trainer:
    """A training that went as far as it goes, or as many steps, resumed from what `folder` holds."""
    folder.mkdir(exist_ok=True)
    stop = StopRequest()
    training = Trainer([Small()], points(), settings, stop=stop)
    take_step, steps = training.take_step, count(1)

    def step(rows: int) -> None:
        if next(steps) == stop_after:
            stop.signum = signal.SIGTERM
        take_step(rows)

    training.take_step = step
    checkpoints, metrics = Checkpoints(folder, settings.identity()), MetricsWriter(folder)
    if (state := checkpoints.load()) is not None:
        training.load(state)
    metrics.rewrite(training.progress.rows)
    training.run(checkpoints, metrics)
    return training


@pytest.mark.parametrize("name", BETTER)
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
    training = Trainer([model], data, replace(SETTINGS, batch_size=40), stop=StopRequest())
    training.step.start_epoch([SETTINGS.seed], 0, 0)
    each = model(inputs)
    assert each.shape == (40, 4)
    expected = torch.stack([F.mse_loss(each[:, member], inputs[:, 0]) for member in range(4)]).mean()
    training.step(40)
    assert training.progress.loss_sum.item() / 40 == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(model.eval()(inputs), model.train()(inputs).mean(dim=1))


def test_muon_is_that_of_pytorch_beside_adamw() -> None:
    data, reference = points(), Small()
    muon = FlatMuon(FlatParameters([model := Small()]), learning_rate=1e-2, weight_decay=0.1, clip_norm=None)
    matrices = hidden_matrices(reference)
    assert [tuple(matrix.shape) for matrix in matrices] == [(8, 19), (12, 8)]
    others = [each for each in reference.parameters() if all(each is not matrix for matrix in matrices)]
    optimizers = [
        torch.optim.Muon(matrices, lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=1e-2, weight_decay=0.1),
    ]
    for _ in range(10):
        muon.weights.backward_into(muon.gradient, F.mse_loss(model(data.train_inputs), data.train_targets))
        muon.step()
        for optimizer in optimizers:
            optimizer.zero_grad()
        F.mse_loss(reference(data.train_inputs), data.train_targets).backward()
        for optimizer in optimizers:
            optimizer.step()
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-3)  # PyTorch's iterates in bfloat16


@pytest.mark.parametrize("shape", [(3, 20, 50), (50, 20), (2, 1, 30, 30)])
def test_orthogonalised_matrices_have_singular_values_near_1(shape: tuple[int, ...]) -> None:
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(2))))
    assert values.min() > 0.3 and values.max() < 1.3


def test_the_running_average_is_validated_and_kept_and_the_training_goes_on_beside_it(tmp_path: Path) -> None:
    plain = train(tmp_path / "plain", SETTINGS)
    averaged = train(tmp_path / "ema", replace(SETTINGS, ema=0.9))
    assert torch.equal(plain.optimizer.flat, averaged.optimizer.flat)
    assert not torch.equal(averaged.progress.best, plain.progress.best)
    data = averaged.data
    averaged.use_best()
    with torch.no_grad():
        mse = F.mse_loss(averaged.model(data.val_inputs), data.val_targets).item()
    assert mse == pytest.approx(averaged.progress.best_vals[0], rel=1e-6)


def test_the_learning_rate_warms_up_and_then_follows_its_schedule() -> None:
    warm = replace(SETTINGS, epochs=20, warmup_epochs=3)
    cold = replace(warm, warmup_epochs=0)
    rates = [warm.learning_rate_at(epoch) / cold.learning_rate_at(epoch) for epoch in range(20)]
    assert rates == pytest.approx([0.25, 0.5, 0.75] + [1.0] * 17)
    assert math.isclose(cold.learning_rate_at(0), SETTINGS.learning_rate)


@pytest.mark.parametrize("choice", [{"optimizer": "muon", "ema": 0.9}, {"warmup_epochs": 2, "ema": 0.99}])
def test_with_options_too_a_stopped_training_goes_on_to_the_same_bits(
    tmp_path: Path, choice: dict[str, str | int | float]
) -> None:
    settings = replace(SETTINGS, **choice)  # type: ignore[arg-type]
    whole = train(tmp_path / "whole", settings)
    with pytest.raises(Stopped):
        train(tmp_path / "broken", settings, stop_after=6)
    resumed = train(tmp_path / "broken", settings)
    assert torch.equal(resumed.optimizer.flat, whole.optimizer.flat)
    assert torch.equal(resumed.progress.best, whole.progress.best)


def test_checkpoints_of_the_default_recipe_name_no_option_that_was_not_given() -> None:
    assert not {"optimizer", "ema", "warmup-epochs"} & SETTINGS.identity().keys()
    assert replace(SETTINGS, ema=0.9).identity()["ema"] == "0.9"


def test_event_files_hold_each_epoch_once_also_after_a_resume(tmp_path: Path) -> None:
    rows = [EpochMetrics(epoch, 1 / epoch, 2 / epoch, 1e-3, 0.1, 0.0, 0.5) for epoch in (1, 2, 3, 4)]
    first = MetricsWriter(tmp_path, tensorboard=True)
    first.rewrite(rows[:1])
    first.append(rows[1])
    first.append(rows[2])  # and is killed before the checkpoint of epoch 3
    second = MetricsWriter(tmp_path, tensorboard=True)
    second.rewrite(rows[:2])
    second.append(rows[2])
    second.append(rows[3])
    (path,) = (tmp_path / "tensorboard").iterdir()
    assert scalars(path, "MSE/validation") == [(1, 2.0), (2, 1.0), (3, pytest.approx(2 / 3)), (4, 0.5)]
    for tag in TAGS.values():
        assert [step for step, _ in scalars(path, tag)] == [1, 2, 3, 4]


def scalars(path: Path, tag: str) -> list[tuple[int, float]]:
    """Step and value of each event with `tag` in a TFRecord file: length, its checksum, event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    raw, position, found = path.read_bytes(), 0, []
    while position < len(raw):
        length = int.from_bytes(raw[position : position + 8], "little")
        event = Event.FromString(raw[position + 12 : position + 12 + length])
        found += [(event.step, value.simple_value) for value in event.summary.value if value.tag == tag]
        position += length + 16
    return found
