"""The training loop of all three models."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import fmean, pstdev
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..device import peak_memory_mib
from ..errors import TrainingError
from ..inference.batched import Interrupted, predict, smaller_batch
from ..log import LOGGER
from ..precision import Precision
from ..signals import Stopped, StopRequest
from .adamw import FlatAdamW
from .checkpoint import Checkpoints
from .cuda_graph import CudaGraphStep
from .epoch_metrics import EpochMetrics
from .evaluation import PhysicalMse
from .flat_parameters import FlatParameters
from .kernel_replay import ReplayedStep
from .metrics import MetricsWriter
from .muon import FlatMuon
from .step import TrainingData, TrainingStep

FINAL_LEARNING_RATE = 1e-6
OPTIMIZERS = {"adamw": FlatAdamW, "muon": FlatMuon}


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How to train; what a Recipe leaves open and what it says."""

    learning_rate: float
    weight_decay: float
    cosine: bool
    clip_norm: float | None
    epochs: int = 2000
    batch_size: int = 256
    early_stopping: bool = False
    patience: int = 500
    seed: int = 42
    ensemble: int = 1
    """Models trained together; the seeds are `seed`, `seed` + 1, …"""
    precision: Precision = Precision.FP32
    checkpoint_seconds: float = 30.0
    optimizer: str = "adamw"
    warmup_epochs: int = 0
    ema: float | None = None

    def learning_rate_in(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0."""
        warmth = min(1.0, (epoch + 1) / (self.warmup_epochs + 1))
        if not self.cosine:
            return self.learning_rate * warmth
        share = (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        return (FINAL_LEARNING_RATE + (self.learning_rate - FINAL_LEARNING_RATE) * share) * warmth

    def identity(self) -> dict[str, Any]:
        """What two attempts must agree in so that one can go on where the other ended."""
        names = ("batch_size", "learning_rate", "seed", "ensemble", "precision")
        identity = {name.replace("_", "-"): str(getattr(self, name)) for name in names}
        identity |= {"epochs, which the cosine schedule spans,": str(self.epochs)} if self.cosine else {}
        choices = {"optimizer": self.optimizer, "warmup-epochs": self.warmup_epochs, "ema": self.ema}
        return identity | {name: str(value) for name, value in choices.items() if value not in ("adamw", 0, None)}


@dataclass
class TrainingState:
    """Where a training stands; everything of a checkpoint but the optimizer's state. Lists: one entry a model."""

    batch_size: int
    loss_sum: Tensor
    """Squared errors of the epoch so far, `(models,)` float64."""
    best: Tensor
    """The parameters of each model in its best epoch, `(models, size)`."""
    best_epochs: list[int]
    best_vals: list[float]
    epoch: int = 0
    row: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    peak_memory_mib: float = 0.0
    rows: list[EpochMetrics] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The epoch of the best weights; of several models, the latest one."""
        return max(self.best_epochs)


class Trainer:
    """One model on its way through the epochs, or several side by side that know nothing of each other."""

    def __init__(
        self,
        models: Sequence[nn.Module],
        data: TrainingData,
        settings: TrainingConfig,
        *,
        stop: StopRequest,
        physical: PhysicalMse | None = None,
    ) -> None:
        self.models = list(models)
        self.model = self.models[0]
        self.data = data
        self.settings = settings
        self.physical = physical or PhysicalMse()
        self.stop = stop
        self.optimizer = OPTIMIZERS[settings.optimizer](
            FlatParameters(self.models, settings.precision),
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            clip_norm=settings.clip_norm,
            ema=settings.ema,
        )
        on_gpu = data.train_inputs.device.type == "cuda"
        apart = not on_gpu and getattr(self.model, "rows_apart", False)
        self.step = TrainingStep(
            data, self.optimizer, settings.batch_size, parts=torch.get_num_threads() if apart else 1
        )
        self.take_step: Callable[[int], None] = CudaGraphStep(self.step) if on_gpu else ReplayedStep(self.step)
        count = len(self.models)
        self.progress = TrainingState(
            batch_size=settings.batch_size,
            loss_sum=self.step.loss_sum,
            best=self.optimizer.flat.clone(),
            best_epochs=[0] * count,
            best_vals=[math.inf] * count,
        )
        self.on_first_step: Callable[[], None] | None = None
        self._clock = self._saved = time.monotonic()

    # -- the recipe --------------------------------------------------------------------------------------------

    def run(self, checkpoints: Checkpoints, metrics: MetricsWriter) -> None:
        """Nothing; every epoch is trained and the end is checkpointed.

        Raises Stopped after a signal, TrainingError where the loss is not finite. Both leave a good checkpoint.
        """
        self._clock = self._saved = time.monotonic()
        with self.stop.deferred():
            while not self.finished():
                row = self.epoch(checkpoints)
                metrics.append(row)
                spread = f" | Val std = {row.val_mse_std:.6f}" if len(self.models) > 1 else ""
                LOGGER.info(
                    "Epoch %04d | Train MSE = %.6f | Val MSE = %.6f | LR = %.6e%s",
                    row.epoch, row.train_mse, row.val_mse, row.lr, spread,
                )  # fmt: skip
            self._save(checkpoints)
        if self.stop.signum is not None:
            raise Stopped(self.stop.signum)

    def epoch(self, checkpoints: Checkpoints) -> EpochMetrics:
        """What an epoch gave, trained from where the training stands; raises as `run` does."""
        self._train_epoch(checkpoints)
        return self._end_epoch(checkpoints)

    def finished(self) -> bool:
        """Whether all epochs are done, or early stopping has run out of patience."""
        return self.progress.epoch >= self.settings.epochs or not any(self._hopeful())

    def _hopeful(self) -> list[bool]:
        """For each model, whether it would still be trained if it were alone."""
        patience = self.settings.patience if self.settings.early_stopping else math.inf
        return [self.progress.epoch - best < patience for best in self.progress.best_epochs]

    def _train_epoch(self, checkpoints: Checkpoints) -> None:
        progress, settings = self.progress, self.settings
        self.optimizer.rate.fill_(settings.learning_rate_in(progress.epoch))
        seeds = range(settings.seed, settings.seed + len(self.models))
        self.step.begin(seeds, progress.epoch, progress.row)
        for model in self.models:
            model.train()
        while progress.row < len(self.data.train_inputs):
            self._take_step(min(progress.batch_size, len(self.data.train_inputs) - progress.row))
            if self.stop.signum is not None:
                self._stop(checkpoints, self.stop.signum)
            if time.monotonic() - self._saved >= settings.checkpoint_seconds:
                self._try_to_save(checkpoints)

    def _take_step(self, rows: int) -> None:
        progress = self.progress
        with suppress(torch.OutOfMemoryError):  # whose traceback holds on to memory until this block is left
            self.take_step(rows)
            progress.row += rows
            if self.on_first_step is not None:
                self.on_first_step()
                self.on_first_step = None
            return
        progress.batch_size = smaller_batch(progress.batch_size, "batch size")

    def _end_epoch(self, checkpoints: Checkpoints) -> EpochMetrics:
        progress = self.progress
        predictions = self._validate(checkpoints)  # (models, n)
        truth = self.data.val_targets
        losses = torch.stack([
            progress.loss_sum / len(self.data.train_inputs),
            torch.stack([F.mse_loss(prediction, truth) for prediction in predictions]).double(),
            torch.stack([self.physical(prediction, truth) for prediction in predictions]),
        ])  # fmt: skip
        train, vals, physical = losses.tolist()  # the one sync of an epoch
        if not all(map(math.isfinite, train + vals)):
            self._diverged()
        self._tick()
        row = EpochMetrics(
            epoch=progress.epoch + 1,
            train_mse=fmean(train),
            val_mse=fmean(vals),
            lr=self.settings.learning_rate_in(progress.epoch),
            val_mse_physical=fmean(physical),
            val_mse_std=pstdev(vals),
            seconds=round(progress.epoch_seconds, 3),
        )
        progress.rows.append(row)
        for index, (val, hopeful) in enumerate(zip(vals, self._hopeful(), strict=True)):
            if hopeful and val < progress.best_vals[index]:
                progress.best_vals[index], progress.best_epochs[index] = val, row.epoch
                progress.best[index].copy_(self.optimizer.result[index])
        progress.epoch, progress.row, progress.epoch_seconds = row.epoch, 0, 0.0
        progress.loss_sum.zero_()
        return row

    def _validate(self, checkpoints: Checkpoints) -> Tensor:
        try:
            with self.optimizer.result_in_use():
                return torch.stack([
                    predict(model.eval(), self.data.val_inputs, stop=self.stop) for model in self.models
                ])  # fmt: skip
        except Interrupted as stop:
            self._stop(checkpoints, stop.signum)

    # -- coming and going --------------------------------------------------------------------------------------

    def use_best(self) -> None:
        """Nothing; the model then is the best one of the training."""
        self.optimizer.flat.copy_(self.progress.best)

    def _tick(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self._clock
        self.progress.epoch_seconds += now - self._clock
        self._clock = now

    def _diverged(self) -> None:
        raise TrainingError(
            f"the loss is not finite in epoch {self.progress.epoch + 1}: start over with --fresh and a "
            f"--learning-rate below {self.settings.learning_rate:g}"
        )

    def _save(self, checkpoints: Checkpoints) -> None:
        sound = torch.isfinite(self.progress.loss_sum).all() & torch.isfinite(self.optimizer.flat).all()
        if not sound.item():  # a sync, as writing to the disk is
            self._diverged()
        self._tick()
        checkpoints.save(self.state())
        self._saved = time.monotonic()

    def _try_to_save(self, checkpoints: Checkpoints) -> None:
        try:
            self._save(checkpoints)
        except OSError as error:
            self._saved = time.monotonic()
            LOGGER.error("Checkpoint not written, training goes on: %s", error)

    def _stop(self, checkpoints: Checkpoints, signum: int) -> NoReturn:
        self._save(checkpoints)
        LOGGER.info("Checkpoint saved at epoch %04d, row %d", self.progress.epoch + 1, self.progress.row)
        raise Stopped(signum)

    def state(self) -> dict[str, Any]:
        """Everything a resume needs, as tensors and plain numbers; the tensors are the live ones."""
        progress = self.progress
        progress.peak_memory_mib = max(progress.peak_memory_mib, peak_memory_mib(progress.best.device))
        plain = {**vars(progress), "rows": [list(row) for row in progress.rows]}
        return {"optimizer": self.optimizer.state(), "progress": plain}

    def load(self, state: dict[str, Any]) -> None:
        """Nothing; the training then stands where `state()` was taken."""
        self.optimizer.load(state["optimizer"])
        for name in ("loss_sum", "best"):  # into the tensors that the step knows
            getattr(self.progress, name).copy_(state["progress"][name])
        tensors = {"loss_sum": self.progress.loss_sum, "best": self.progress.best}
        rows = [EpochMetrics(*row) for row in state["progress"]["rows"]]
        self.progress = TrainingState(**{**state["progress"], **tensors, "rows": rows})
