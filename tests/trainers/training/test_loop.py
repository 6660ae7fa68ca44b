from __future__ import annotations

import csv
import json
import math
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pmssm.trainers.errors import TrainingError
from pmssm.trainers.inference.batched import PREDICTION_ROWS, predict
from pmssm.trainers.signals import Stopped, StopRequest
from pmssm.trainers.training.checkpoint import Checkpoints
from pmssm.trainers.training.epoch_metrics import EpochMetrics
from pmssm.trainers.training.loop import Trainer
from pmssm.trainers.training.metrics import MetricsWriter
from pmssm.trainers.training.state import TrainingConfig
from pmssm.trainers.training.step import TrainingData, epoch_order
from torch import Tensor, nn
from torch.nn import functional as F

SETTINGS = TrainingConfig(
    learning_rate=1e-3, weight_decay=1e-4, cosine=True, clip_norm=1.0, epochs=4, batch_size=32, checkpoint_seconds=1e9
)


class Small(nn.Module):
    """A model that calls `before(rows)` in front of each validation; `train` does in front of each step."""

    def __init__(self, before: Callable[[int], None] = lambda _: None) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layers = nn.Sequential(nn.Linear(19, 8), nn.Tanh(), nn.Linear(8, 1))
        self.before = before

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            self.before(len(inputs))
        return self.layers(inputs).squeeze(-1)


def data(rows: int = 100, dtype: torch.dtype = torch.float32) -> TrainingData:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(rows + 30, 19, generator=generator, dtype=dtype)
    targets = inputs[:, 0] * inputs[:, 1]
    return TrainingData(inputs[:rows], targets[:rows], inputs[rows:], targets[rows:])


def train(
    folder: Path,
    model: nn.Module,
    settings: TrainingConfig = SETTINGS,
    stop: StopRequest | None = None,
    **options: TrainingData,
) -> Trainer:
    """A training that went as far as it goes, resumed from what `folder` holds."""
    training = Trainer([model], options.get("on", data()), settings, stop=stop or StopRequest())
    if isinstance(model, Small):
        before, take_step = model.before, training.take_step

        def step(rows: int) -> None:
            before(rows)
            take_step(rows)

        training.take_step = step
    checkpoints = Checkpoints(folder, {"model": "small"})
    if (state := checkpoints.load()) is not None:
        training.load(state)
    metrics = MetricsWriter(folder)
    metrics.rewrite(training.progress.rows)
    training.run(checkpoints, metrics)
    return training


def numbers(training: Trainer) -> list[tuple[float, ...]]:
    return [tuple(row)[:4] for row in training.progress.rows]


def test_the_loop_follows_plain_pytorch_with_its_scheduler_to_1e_12(tmp_path: Path) -> None:
    on = data(dtype=torch.float64)
    plain = Small().double()
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-3, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4, eta_min=1e-6)
    expected = []
    for epoch in range(4):
        order, total = epoch_order(100, 42, epoch), 0.0
        for start in range(0, 100, 32):  # the last batch has 4 rows and is a step like the others
            rows = order[start : start + 32]
            loss = F.mse_loss(plain(on.train_inputs[rows]), on.train_targets[rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
            optimizer.step()
            total += loss.item() * len(rows)
        with torch.no_grad():
            val = F.mse_loss(plain(on.val_inputs), on.val_targets).item()
        expected.append((epoch + 1, total / 100, val, scheduler.get_last_lr()[0]))
        scheduler.step()
    training = train(tmp_path, Small().double(), on=on)
    for ours, theirs in zip(numbers(training), expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 8, 11, 16])
def test_a_training_stopped_after_any_step_goes_on_to_the_same_bits(tmp_path: Path, steps: int) -> None:
    whole = train(tmp_path / "whole" if (tmp_path / "whole").mkdir() is None else tmp_path, Small())
    stop, seen = StopRequest(), 0

    def count(rows: int) -> None:
        nonlocal seen
        seen += rows != 30  # not the validation
        if seen == steps:
            stop.signum = signal.SIGTERM

    with pytest.raises(Stopped) as stopped:
        train(tmp_path, Small(count), stop=stop)
    assert stopped.value.code == 143
    resumed = train(tmp_path, Small())
    assert torch.equal(resumed.optimizer.flat, whole.optimizer.flat)
    assert torch.equal(resumed.progress.best, whole.progress.best)
    assert numbers(resumed) == numbers(whole)


@pytest.mark.parametrize("name", ["epoch", "best", "best_vals", "rows"])
def test_a_state_of_another_training_is_an_error_and_changes_nothing(tmp_path: Path, name: str) -> None:
    state = train(tmp_path, Small()).state()
    state["progress"][name] = [["x"]]
    training = Trainer([Small()], data(), SETTINGS, stop=StopRequest())
    before = training.optimizer.flat.clone()
    with pytest.raises(ValueError, match="not that of such a training"):
        training.load(state)
    assert torch.equal(training.optimizer.flat, before)


def test_a_signal_during_validation_is_obeyed_and_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = train(tmp_path / "whole", Small())
    stop = StopRequest()

    def at_validation(rows: int) -> None:
        if rows == PREDICTION_ROWS["cpu"]:
            stop.signum = signal.SIGTERM

    on = data()
    many = on._replace(val_inputs=on.val_inputs.repeat(600, 1), val_targets=on.val_targets.repeat(600))
    with pytest.raises(Stopped):
        train(tmp_path, Small(at_validation), stop=stop, on=many)
    assert numbers(train(tmp_path, Small())) == numbers(whole)


def test_metrics_have_one_row_an_epoch_also_after_a_kill_between_row_and_checkpoint(tmp_path: Path) -> None:
    train(tmp_path, Small(), replace(SETTINGS, epochs=2, cosine=False))
    MetricsWriter(tmp_path).append(EpochMetrics(3, 0.1, 0.1, 0.1, 0.1, 0.0, 0.1))
    train(tmp_path, Small(), replace(SETTINGS, cosine=False))
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert list(rows[0]) == ["epoch", "train_mse", "val_mse", "lr", "val_mse_physical", "val_mse_std", "seconds"]
    objects = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [{name: str(value) for name, value in row.items()} for row in objects] == rows


def test_best_weights_are_those_of_the_best_epoch_not_of_the_last(tmp_path: Path) -> None:
    training = train(tmp_path, Small(), replace(SETTINGS, learning_rate=0.5, cosine=False, epochs=12))
    best = min(training.progress.rows, key=lambda row: row.val_mse)
    assert training.progress.best_epoch == best.epoch < 12
    training.use_best()
    val = F.mse_loss(predict(training.model, data().val_inputs), data().val_targets).item()
    assert val == best.val_mse


def test_early_stopping_waits_for_as_many_epochs_as_its_patience(tmp_path: Path) -> None:
    settings = replace(SETTINGS, learning_rate=0.5, cosine=False, epochs=1000, early_stopping=True, patience=5)
    training = train(tmp_path, Small(), settings)
    assert training.progress.epoch == training.progress.best_epoch + 5 < 1000
    assert training.finished()


def test_out_of_memory_halves_the_batch_until_it_fits_and_no_row_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sizes = []

    def limited(rows: int) -> None:
        if rows > 10:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(rows)

    with caplog.at_level("INFO", "pmssm.trainers"):
        training = train(tmp_path, Small(limited), replace(SETTINGS, epochs=1))
    assert "batch size 32 → 16" in caplog.text
    assert "batch size 16 → 8" in caplog.text
    assert sizes[:13] == [8] * 12 + [4]
    assert training.progress.batch_size == 8
    eighths = train(tmp_path, Small(), replace(SETTINGS, epochs=2, cosine=False))
    assert eighths.progress.batch_size == 8, "a resume goes on with the batch that fits"


def test_out_of_memory_in_the_middle_of_an_epoch_repeats_that_batch_only(tmp_path: Path) -> None:
    failures = [1]

    def once(rows: int) -> None:
        if rows == 4 and failures:
            failures.pop()
            raise torch.OutOfMemoryError("CUDA out of memory")

    training = train(tmp_path, Small(once), replace(SETTINGS, epochs=1))
    (tmp_path / "plain").mkdir()
    plain = train(tmp_path / "plain", Small(), replace(SETTINGS, epochs=1))
    assert numbers(training) == numbers(plain)


def test_out_of_memory_with_one_row_ends_the_training(tmp_path: Path) -> None:
    def never(_: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(TrainingError, match="even with a single row"):
        train(tmp_path, Small(never))


def test_a_loss_that_is_not_finite_ends_the_training_and_is_never_checkpointed(tmp_path: Path) -> None:
    on = data()
    on.train_targets[50] = math.inf
    with pytest.raises(TrainingError, match="not finite in epoch 1") as error:
        train(tmp_path, Small(), replace(SETTINGS, checkpoint_seconds=0), on=on)
    assert error.value.exit_code == 1
    state = Checkpoints(tmp_path, {"model": "small"}).load()
    assert state is None or torch.isfinite(state["optimizer"]["flat"]).all()


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    save, failures = Checkpoints.save, [1, 1]

    def full(self: Checkpoints, state: dict[str, object]) -> None:
        if failures:
            failures.pop()
            raise OSError(28, "No space left on device")
        save(self, state)

    monkeypatch.setattr(Checkpoints, "save", full)
    training = train(tmp_path, Small(), replace(SETTINGS, checkpoint_seconds=0))
    assert training.finished()
    assert "No space left on device" in caplog.text


def test_an_epochs_order_is_a_permutation_that_seed_and_epoch_decide() -> None:
    assert torch.equal(epoch_order(50, 1, 2).sort().values, torch.arange(50))
    assert torch.equal(epoch_order(50, 1, 2), epoch_order(50, 1, 2))
    assert not torch.equal(epoch_order(50, 1, 2), epoch_order(50, 1, 3))
    assert not torch.equal(epoch_order(50, 1, 2), epoch_order(50, 2, 2))


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error: out of memory")]
)
def test_out_of_memory_in_predictions_halves_their_batch(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def limited(rows: int) -> None:
        if rows > 200:
            raise error

    inputs = torch.randn(9000, 19)
    predictions = predict(Small(limited).eval(), inputs)
    assert "prediction batch 256 → 128" in caplog.text
    with torch.no_grad():
        torch.testing.assert_close(predictions, Small()(inputs))
