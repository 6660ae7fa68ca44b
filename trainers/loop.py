"""The training loop of all three models."""

from __future__ import annotations

import hashlib
import math
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .checkpoint import Checkpoints
from .errors import TrainingError
from .evaluate import Interrupted, PhysicalError, predict, smaller_batch
from .log import LOGGER
from .metrics import EpochRow, MetricsFile
from .optimizer import FlatAdamW
from .resources import peak_memory_mib
from .signals import Stopped, StopRequest

FINAL_LEARNING_RATE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Settings:
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
    checkpoint_seconds: float = 30.0

    def learning_rate_in(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0."""
        if not self.cosine:
            return self.learning_rate
        share = (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        return FINAL_LEARNING_RATE + (self.learning_rate - FINAL_LEARNING_RATE) * share

    def identity(self) -> dict[str, Any]:
        """What two attempts must agree in so that one can go on where the other ended."""
        identity = {"batch-size": self.batch_size, "learning-rate": self.learning_rate, "seed": self.seed}
        return identity | ({"epochs, which the cosine schedule spans,": self.epochs} if self.cosine else {})


class Data(NamedTuple):
    """z-scores on the device of the training: inputs `(n, 19)` and targets `(n,)`."""

    train_inputs: Tensor
    train_targets: Tensor
    val_inputs: Tensor
    val_targets: Tensor


@dataclass
class Progress:
    """Where a training stands; everything of a checkpoint but the optimizer's state."""

    batch_size: int
    loss_sum: Tensor
    best: Tensor
    epoch: int = 0
    row: int = 0
    best_epoch: int = 0
    best_val: float = math.inf
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    peak_memory_mib: float = 0.0
    rows: list[EpochRow] = field(default_factory=list)


class Training:
    """One model on its way through the epochs."""

    def __init__(
        self,
        model: nn.Module,
        data: Data,
        settings: Settings,
        *,
        stop: StopRequest,
        physical: PhysicalError | None = None,
    ) -> None:
        self.model = model
        self.data = data
        self.settings = settings
        self.physical = physical or PhysicalError()
        self.stop = stop
        self.optimizer = FlatAdamW(
            model,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            clip_norm=settings.clip_norm,
        )
        flat = self.optimizer.flat
        loss_sum = torch.zeros((), dtype=torch.float64, device=flat.device)
        self.progress = Progress(settings.batch_size, loss_sum, best=flat.clone())
        self._clock = self._saved = time.monotonic()

    # -- the recipe --------------------------------------------------------------------------------------------

    def run(self, checkpoints: Checkpoints, metrics: MetricsFile) -> None:
        """Nothing; every epoch is trained and the end is checkpointed.

        Raises Stopped after a signal, TrainingError where the loss is not finite. Both leave a good checkpoint.
        """
        self._clock = self._saved = time.monotonic()
        with self.stop.deferred():
            while not self.finished():
                row = self.epoch(checkpoints)
                metrics.append(row)
                LOGGER.info(
                    "Epoch %04d | Train MSE = %.6f | Val MSE = %.6f | LR = %.6e",
                    row.epoch, row.train_mse, row.val_mse, row.lr,
                )  # fmt: skip
            self._save(checkpoints)
        if self.stop.signum is not None:
            raise Stopped(self.stop.signum)

    def epoch(self, checkpoints: Checkpoints) -> EpochRow:
        """What an epoch gave, trained from where the training stands; raises as `run` does."""
        self._train_epoch(checkpoints)
        return self._end_epoch(checkpoints)

    def finished(self) -> bool:
        """Whether all epochs are done, or early stopping has run out of patience."""
        return self.progress.epoch >= self.settings.epochs or self._out_of_patience()

    def _out_of_patience(self) -> bool:
        waited = self.progress.epoch - self.progress.best_epoch
        return self.settings.early_stopping and waited >= self.settings.patience

    def _train_epoch(self, checkpoints: Checkpoints) -> None:
        progress, settings = self.progress, self.settings
        self.optimizer.rate.fill_(settings.learning_rate_in(progress.epoch))
        order = epoch_order(len(self.data.train_inputs), settings.seed, progress.epoch)
        order = order.to(self.data.train_inputs.device)
        inputs, targets = self.data.train_inputs[order], self.data.train_targets[order]
        self.model.train()
        while progress.row < len(inputs):
            self._step(inputs, targets)
            if self.stop.signum is not None:
                self._stop(checkpoints, self.stop.signum)
            if time.monotonic() - self._saved >= settings.checkpoint_seconds:
                self._try_to_save(checkpoints)

    def _step(self, inputs: Tensor, targets: Tensor) -> None:
        progress = self.progress
        rows = slice(progress.row, progress.row + progress.batch_size)
        with suppress(torch.OutOfMemoryError):  # whose traceback holds on to memory until this block is left
            self._update(inputs[rows], targets[rows])
            return
        progress.batch_size = smaller_batch(progress.batch_size, "batch size")

    def _update(self, inputs: Tensor, targets: Tensor) -> None:
        loss = F.mse_loss(self.model(inputs), targets)
        self.optimizer.step(loss)
        self.progress.loss_sum.add_(loss.detach(), alpha=len(targets))
        self.progress.row += len(targets)

    def _end_epoch(self, checkpoints: Checkpoints) -> EpochRow:
        progress = self.progress
        self.model.eval()
        try:
            predictions = predict(self.model, self.data.val_inputs, stop=self.stop)
        except Interrupted as stop:
            self._stop(checkpoints, stop.signum)
        val = F.mse_loss(predictions, self.data.val_targets).item()  # the one sync of an epoch, with the next lines
        physical = self.physical(predictions, self.data.val_targets).item()
        train = progress.loss_sum.item() / len(self.data.train_inputs)
        lr = self.settings.learning_rate_in(progress.epoch)
        if not (math.isfinite(train) and math.isfinite(val)):
            self._diverged()
        self._tick()
        row = EpochRow(progress.epoch + 1, train, val, lr, physical, round(progress.epoch_seconds, 3))
        progress.rows.append(row)
        if val < progress.best_val:
            progress.best_val, progress.best_epoch = val, row.epoch
            progress.best.copy_(self.optimizer.flat)
        progress.epoch, progress.row, progress.epoch_seconds = row.epoch, 0, 0.0
        progress.loss_sum.zero_()
        return row

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
        sound = torch.isfinite(self.progress.loss_sum) & torch.isfinite(self.optimizer.flat).all()
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
        device = self.progress.best.device
        tensors = {name: state["progress"][name].to(device) for name in ("loss_sum", "best")}
        rows = [EpochRow(*row) for row in state["progress"]["rows"]]
        self.progress = Progress(**{**state["progress"], **tensors, "rows": rows})


def epoch_order(rows: int, seed: int, epoch: int) -> Tensor:
    """The order in which an epoch sees the rows, `(rows,)` int64; the same on every device and in every attempt."""
    digest = hashlib.sha256(f"{seed} {epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7]))
    return torch.randperm(rows, generator=generator)
