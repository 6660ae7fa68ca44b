"""The training loop of all models."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from statistics import fmean, pstdev
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..device import peak_memory_mib
from ..errors import TrainingError
from ..inference.batched import Interrupted, predict, smaller_batch
from ..log import LOGGER
from ..signals import Stopped, StopRequest
from .checkpoint import Checkpoints, check_state
from .cuda_graph import CudaGraphStep
from .epoch_metrics import EpochMetrics
from .evaluation import PhysicalMse
from .flat_parameters import FlatParameters
from .kernel_replay import ReplayedStep
from .metrics import MetricsWriter
from .registry import loss_function, optimizer_class
from .state import TrainingConfig, TrainingState
from .step import TrainingData, TrainingStep


class Trainer:
    """Training of one model, or of an ensemble of independent models in lockstep.

    Args:
        models: Models of the same architecture on the device of `data`; also an attribute.
        data: z-scores; also an attribute.
        settings: How to train; also an attribute.
        stop: Receives signals; also an attribute.
        physical: Computes the validation error in physical units; default: the error of z-scores. Also an
            attribute.

    Attributes:
        model: The first of the models.
        optimizer: Holds the parameters of all models.
        step: One optimizer step.
        take_step: Calls `step` as fast as the device allows: captured on a GPU, replayed on a CPU.
        progress: State of the training.
        on_first_step: Called once after the first step, if set.
    """

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
        self.optimizer = optimizer_class(settings.optimizer)(
            FlatParameters(self.models, settings.precision),
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            clip_norm=settings.clip_norm,
            ema=settings.ema,
        )
        on_gpu = data.train_inputs.device.type == "cuda"
        splits_batch = not on_gpu and getattr(self.model, "splits_batch", False)
        self.step = TrainingStep(
            data,
            self.optimizer,
            settings.batch_size,
            slices=torch.get_num_threads() if splits_batch else 1,
            loss=loss_function(settings.loss),
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

    # -- train --------------------------------------------------------------------------------------------------

    def run(self, checkpoints: Checkpoints, metrics: MetricsWriter) -> None:
        """Train all remaining epochs and save a final checkpoint.

        Args:
            checkpoints: Where the state is saved, at intervals and at the end.
            metrics: Receives one row per epoch.

        Raises:
            Stopped: A signal arrived; a checkpoint was written first.
            TrainingError: The loss is not finite; the last checkpoint is intact.
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
        """Finish the current epoch and return its metrics.

        Raises:
            Stopped: A signal arrived; a checkpoint was written first.
            TrainingError: The loss is not finite.
        """
        self._train_epoch(checkpoints)
        return self._finish_epoch(checkpoints)

    def finished(self) -> bool:
        """Return whether all epochs are done or early stopping has run out of patience."""
        return self.progress.epoch >= self.settings.epochs or not any(self._within_patience())

    def _within_patience(self) -> list[bool]:
        """Return for each model whether it would still be trained if it were alone."""
        patience = self.settings.patience if self.settings.early_stopping else math.inf
        return [self.progress.epoch - best < patience for best in self.progress.best_epochs]

    def _train_epoch(self, checkpoints: Checkpoints) -> None:
        progress, settings = self.progress, self.settings
        self.optimizer.learning_rate.fill_(settings.learning_rate_at(progress.epoch))
        seeds = range(settings.seed, settings.seed + len(self.models))
        self.step.start_epoch(seeds, progress.epoch, progress.row)
        for model in self.models:
            model.train()
        while progress.row < len(self.data.train_inputs):
            self._take_step(min(progress.batch_size, len(self.data.train_inputs) - progress.row))
            if self.stop.signum is not None:
                self._save_and_stop(checkpoints, self.stop.signum)
            if time.monotonic() - self._saved >= settings.checkpoint_seconds:
                self._try_to_save(checkpoints)

    def _take_step(self, rows: int) -> None:
        progress = self.progress
        with suppress(torch.OutOfMemoryError):  # its traceback keeps memory until this block ends
            self.take_step(rows)
            progress.row += rows
            if self.on_first_step is not None:
                self.on_first_step()
                self.on_first_step = None
            return
        progress.batch_size = smaller_batch(progress.batch_size, "batch size")

    def _finish_epoch(self, checkpoints: Checkpoints) -> EpochMetrics:
        progress = self.progress
        predictions = self._validate(checkpoints)  # (models, n)
        truth, loss = self.data.val_targets, loss_function(self.settings.loss).value
        losses = torch.stack([
            progress.loss_sum / len(self.data.train_inputs),
            torch.stack([F.mse_loss(prediction, truth) for prediction in predictions]).double(),
            torch.stack([self.physical(prediction, truth) for prediction in predictions]),
            torch.stack([loss(prediction - truth).mean() for prediction in predictions]).double(),
        ])  # fmt: skip
        train, vals, physical, criteria = losses.tolist()  # the only synchronization per epoch
        if not all(map(math.isfinite, train + vals)):
            self._raise_diverged()
        self._update_clock()
        row = EpochMetrics(
            epoch=progress.epoch + 1,
            train_mse=fmean(train),
            val_mse=fmean(vals),
            lr=self.settings.learning_rate_at(progress.epoch),
            val_mse_physical=fmean(physical),
            val_mse_std=pstdev(vals),
            seconds=round(progress.epoch_seconds, 3),
        )
        progress.rows.append(row)
        for index, (val, active) in enumerate(zip(criteria, self._within_patience(), strict=True)):
            if active and val < progress.best_vals[index]:
                progress.best_vals[index], progress.best_epochs[index] = val, row.epoch
                progress.best[index].copy_(self.optimizer.result[index])
        progress.epoch, progress.row, progress.epoch_seconds = row.epoch, 0, 0.0
        progress.loss_sum.zero_()
        return row

    def _validate(self, checkpoints: Checkpoints) -> Tensor:
        try:
            with self.optimizer.using_result():
                return torch.stack([
                    predict(model.eval(), self.data.val_inputs, stop=self.stop) for model in self.models
                ])  # fmt: skip
        except Interrupted as stop:
            self._save_and_stop(checkpoints, stop.signum)

    # -- save and restore ---------------------------------------------------------------------------------------

    def use_best(self) -> None:
        """Set the parameters of the models to those of their best epochs."""
        self.optimizer.flat.copy_(self.progress.best)

    def _update_clock(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self._clock
        self.progress.epoch_seconds += now - self._clock
        self._clock = now

    def _raise_diverged(self) -> None:
        raise TrainingError(
            f"the loss is not finite in epoch {self.progress.epoch + 1}: start over with --fresh and a "
            f"--learning-rate below {self.settings.learning_rate:g}"
        )

    def _save(self, checkpoints: Checkpoints) -> None:
        sound = torch.isfinite(self.progress.loss_sum).all() & torch.isfinite(self.optimizer.flat).all()
        if not sound.item():  # synchronizes; so does writing to the disk
            self._raise_diverged()
        self._update_clock()
        checkpoints.save(self.state())
        self._saved = time.monotonic()

    def _try_to_save(self, checkpoints: Checkpoints) -> None:
        try:
            self._save(checkpoints)
        except OSError as error:
            self._saved = time.monotonic()
            LOGGER.error("Checkpoint not written, training goes on: %s", error)

    def _save_and_stop(self, checkpoints: Checkpoints, signum: int) -> NoReturn:
        self._save(checkpoints)
        LOGGER.info("Checkpoint saved at epoch %04d, row %d", self.progress.epoch + 1, self.progress.row)
        raise Stopped(signum)

    def state(self) -> dict[str, Any]:
        """Return all that a resume needs, as tensors and plain numbers.

        The tensors are live: write them before the next step.
        """
        progress = self.progress
        progress.peak_memory_mib = max(progress.peak_memory_mib, peak_memory_mib(progress.best.device))
        plain = {**vars(progress), "rows": [list(row) for row in progress.rows]}
        return {"optimizer": self.optimizer.state(), "progress": plain}

    def load(self, state: dict[str, Any]) -> None:
        """Restore the training from what `state` returned.

        Raises:
            ValueError: It is not the state of such a training.
        """
        check_state(self.state(), state)
        for row in state["progress"]["rows"]:
            check_state([0] + [0.0] * (len(EpochMetrics._fields) - 1), row, "state.progress.rows")
        self.optimizer.load(state["optimizer"])
        for name in ("loss_sum", "best"):  # into the tensors that the step uses
            getattr(self.progress, name).copy_(state["progress"][name])
        tensors = {"loss_sum": self.progress.loss_sum, "best": self.progress.best}
        rows = [EpochMetrics(*row) for row in state["progress"]["rows"]]
        self.progress = TrainingState(**{**state["progress"], **tensors, "rows": rows})
