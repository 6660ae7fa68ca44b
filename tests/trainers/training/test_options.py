"""Options of a training: warm-up, running average, Muon."""

from __future__ import annotations

import math
import signal
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch
from pmssm.trainers.signals import Stopped, StopRequest
from pmssm.trainers.training.checkpoint import Checkpoints
from pmssm.trainers.training.loop import Trainer
from pmssm.trainers.training.metrics import MetricsWriter
from pmssm.trainers.training.state import TrainingConfig
from pmssm.trainers.training.step import TrainingData
from support.small_model import Small
from torch.nn import functional as F

SETTINGS = TrainingConfig(
    learning_rate=3e-3, weight_decay=1e-2, cosine=True, clip_norm=1.0, epochs=3, batch_size=32, checkpoint_seconds=1e9
)


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
