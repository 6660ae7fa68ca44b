from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pmssm.trainers.errors import OptionError
from pmssm.trainers.models.recipes import RECIPES
from pmssm.trainers.precision import Precision, choose_precision
from pmssm.trainers.signals import StopRequest
from pmssm.trainers.training.adamw import FlatAdamW
from pmssm.trainers.training.checkpoint import Checkpoints
from pmssm.trainers.training.cuda_graph import warm_up
from pmssm.trainers.training.flat_parameters import FlatParameters
from pmssm.trainers.training.loop import Trainer
from pmssm.trainers.training.metrics import MetricsWriter
from pmssm.trainers.training.state import TrainingConfig
from pmssm.trainers.training.step import TrainingData, TrainingStep, epoch_order
from pmssm.trainers.training.train import TrainingJob, build_models, resolve_precision
from torch import Tensor, nn

NAMES = ["transformer", "transformer_tabular", "mlp"]
CPU = torch.device("cpu")


def data(rows: int = 70, dtype: torch.dtype = torch.float64) -> TrainingData:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(rows + 20, 19, generator=generator, dtype=dtype)
    targets = torch.sin(inputs[:, 0]) * inputs[:, 1]
    return TrainingData(inputs[:rows], targets[:rows], inputs[rows:], targets[rows:])


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(19, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs).squeeze(-1)


def settings(name: str, **changes: object) -> TrainingConfig:
    recipe = RECIPES["mlp" if name == "tiny" else name]
    basis = TrainingConfig(
        learning_rate=1e-3, weight_decay=recipe.weight_decay, cosine=recipe.cosine, clip_norm=recipe.clip_norm,
        epochs=3, batch_size=32, checkpoint_seconds=1e9,
    )  # fmt: skip
    return replace(basis, **changes)  # type: ignore[arg-type]


def trained(folder: Path, name: str, how: TrainingConfig, *, on: TrainingData | None = None) -> Trainer:
    on = data() if on is None else on
    models = []
    for seed in range(how.seed, how.seed + how.ensemble):
        torch.manual_seed(seed)
        models.append((Tiny() if name == "tiny" else RECIPES[name].build()).to(on.train_inputs.dtype))
    training = Trainer(models, on, how, stop=StopRequest())
    checkpoints = Checkpoints(folder, {})
    if (state := checkpoints.load()) is not None:
        training.load(state)
    training.run(checkpoints, MetricsWriter(folder))
    return training


def epoch_losses(training: Trainer) -> list[float]:
    return [value for row in training.progress.rows for value in (row.train_mse, row.val_mse)]


@pytest.mark.parametrize("name", NAMES)
def test_each_model_of_an_ensemble_takes_the_way_it_would_have_taken_alone_to_1e_12(name: str, tmp_path: Path) -> None:
    how, on = settings(name, epochs=2, batch_size=8), data(rows=18)
    together = trained(tmp_path, name, replace(how, ensemble=3), on=on)
    alone = []
    for seed in (42, 43, 44):
        (folder := tmp_path / str(seed)).mkdir()
        alone.append(trained(folder, name, replace(how, seed=seed), on=on))
    for index, training in enumerate(alone):
        assert together.progress.best_epochs[index] == training.progress.best_epoch
        assert together.progress.best_vals[index] == pytest.approx(training.progress.best_vals[0], rel=1e-12)
        torch.testing.assert_close(together.progress.best[index], training.progress.best[0], rtol=1e-9, atol=1e-12)
    for number, row in enumerate(together.progress.rows):
        vals = torch.tensor([training.progress.rows[number].val_mse for training in alone])
        assert row.val_mse == pytest.approx(vals.mean().item())
        assert row.val_mse_std == pytest.approx(vals.std(correction=0).item(), rel=1e-4)


@pytest.mark.parametrize("name", ["transformer", "transformer_tabular"])
def test_a_batch_in_parts_gives_the_trajectory_of_a_whole_one_to_1e_12(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pmssm.trainers.training.step.MIN_SLICE_ROWS", 8)
    points, how, losses = data(rows=40), settings(name, batch_size=25), []
    for parts in (1, 3):
        weights = FlatParameters([model.double() for model in build_models(name, how, CPU)])
        optimizer = FlatAdamW(weights, learning_rate=1e-3, weight_decay=0.1, clip_norm=1.0)
        step = TrainingStep(points, optimizer, 25, slices=parts)
        assert step.slices == parts
        for epoch in range(3):
            step.start_epoch([42], epoch, row=0)
            step(25)
            step(15)
        losses.append(step.loss_sum.item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-12)


def test_an_ensemble_stops_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    how = settings("tiny", ensemble=2, epochs=4)
    (tmp_path / "whole").mkdir()
    whole = trained(tmp_path / "whole", "tiny", how)
    trained(tmp_path, "tiny", replace(how, epochs=2))  # a constant learning rate: the first half is that of the whole
    resumed = trained(tmp_path, "tiny", how)
    assert torch.equal(resumed.optimizer.flat, whole.optimizer.flat)
    assert epoch_losses(resumed) == epoch_losses(whole)


def test_patience_runs_out_for_each_model_of_an_ensemble_by_itself(tmp_path: Path) -> None:
    how = settings("tiny", learning_rate=0.2, epochs=60, early_stopping=True, patience=2)
    together = trained(tmp_path, "tiny", replace(how, ensemble=3))
    for index, seed in enumerate((42, 43, 44)):
        (folder := tmp_path / str(seed)).mkdir()
        alone = trained(folder, "tiny", replace(how, seed=seed))
        assert alone.progress.epoch <= together.progress.epoch < 60
        assert together.progress.best_epochs[index] == alone.progress.best_epoch
        assert together.progress.best_vals[index] == pytest.approx(alone.progress.best_vals[0], rel=1e-6)


def test_a_warm_up_leaves_everything_as_it_was() -> None:
    warm, cold = (
        Trainer([RECIPES["mlp"].build()], data(dtype=torch.float32), settings("mlp"), stop=StopRequest())
        for _ in range(2)
    )
    cold.optimizer.load(warm.optimizer.state())
    for training in (warm, cold):
        training.step.start_epoch([42], epoch=0, row=0)
    for rows in (32, 32, 6):
        warm_up(warm.step, rows)
        warm.step(rows)
        cold.step(rows)
    for ours, theirs in zip(warm.step.buffers(), cold.step.buffers(), strict=True):
        assert torch.equal(ours, theirs)
    assert int(warm.step.next_positions[0]) == 70


@pytest.mark.parametrize("name", NAMES)
def test_bf16_keeps_weights_and_losses_in_fp32_and_stays_close_to_it(name: str, tmp_path: Path) -> None:
    on = data(dtype=torch.float32)
    full = trained(tmp_path, name, settings(name, epochs=2, learning_rate=1e-4), on=on)
    (tmp_path / "half").mkdir()
    half = trained(
        tmp_path / "half", name, settings(name, epochs=2, learning_rate=1e-4, precision=Precision.BF16), on=on
    )
    assert half.optimizer.flat.dtype == half.optimizer.moments["exp_avg"].dtype == torch.float32
    assert epoch_losses(half) == pytest.approx(epoch_losses(full), rel=0.05)
    assert epoch_losses(half) != epoch_losses(full)


@pytest.mark.parametrize("name", NAMES)
def test_in_bf16_the_body_has_half_the_digits_of_what_is_kept_and_the_ends_have_all(name: str) -> None:
    model = RECIPES[name].build()
    weights = FlatParameters([model], Precision.BF16)
    weights.flat.mul_(1 + 1e-3)
    weights.update_bf16_copy()
    for (label, kept), used in zip(model.named_parameters(), weights.parameters, strict=True):
        in_body = label.startswith(model.body)
        assert used.dtype == (torch.bfloat16 if in_body else torch.float32)
        assert torch.equal(used, kept.to(used.dtype))
    assert model(torch.zeros(2, 19)).dtype == weights.forward(torch.zeros(1, 2, 19)).dtype == torch.float32


def test_bf16_stops_and_resumes_to_the_same_bits_alone_and_as_an_ensemble(tmp_path: Path) -> None:
    on = data(dtype=torch.float32)
    for count in (1, 2):
        how = settings("mlp", ensemble=count, epochs=2, precision=Precision.BF16)
        (whole_folder := tmp_path / f"whole{count}").mkdir()
        (halves_folder := tmp_path / f"halves{count}").mkdir()
        whole = trained(whole_folder, "mlp", how, on=on)
        trained(halves_folder, "mlp", replace(how, epochs=1), on=on)
        resumed = trained(halves_folder, "mlp", how, on=on)
        assert torch.equal(resumed.optimizer.flat, whole.optimizer.flat)
        assert epoch_losses(resumed) == epoch_losses(whole)


def test_an_ensemble_of_a_model_that_is_one_already_is_refused() -> None:
    with pytest.raises(OptionError, match="--ensemble 2: tabm is already an ensemble; remove the option"):
        build_models("tabm", settings("tabm", ensemble=2), CPU)


def test_a_precision_that_a_cpu_lacks_is_refused() -> None:
    assert choose_precision("fp32", CPU) is Precision.FP32
    with pytest.raises(OptionError, match="--precision tf32: CPUs do not support it; use --precision fp32"):
        choose_precision("tf32", CPU)


@pytest.mark.parametrize(("has", "chosen"), [(True, Precision.BF16), (False, Precision.FP32)])
def test_by_itself_a_cpu_computes_in_bf16_where_it_has_that(
    monkeypatch: pytest.MonkeyPatch, has: bool, chosen: Precision
) -> None:
    monkeypatch.setattr("pmssm.trainers.precision.cpu_has_bf16", lambda: has)
    assert choose_precision("auto", CPU) is chosen
    assert resolve_precision(job("mlp", "auto"), CPU) is chosen
    assert resolve_precision(job("transformer_tabular_plr", "auto"), CPU) is Precision.FP32


def test_a_model_without_a_part_for_bf16_computes_in_fp32_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert resolve_precision(job("tabm", "bf16"), CPU) is Precision.FP32
    assert "tabm computes in fp32 alone: --precision bf16 has no effect" in caplog.text


def job(name: str, precision: str) -> TrainingJob:
    return TrainingJob(name=name, data=Path("data"), output=Path("output"), threads=1, precision=precision)


def test_the_order_of_an_epoch_shows_no_pattern() -> None:
    order = epoch_order(10_000, 42, 0).double()
    assert (order - torch.arange(10_000)).abs().mean() == pytest.approx(10_000 / 3, rel=0.03)
    neighbours = torch.corrcoef(torch.stack([order[:-1], order[1:]]))[0, 1]
    assert abs(neighbours.item()) < 0.04
