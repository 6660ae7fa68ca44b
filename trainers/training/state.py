"""Settings and state of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..precision import Precision
from .epoch_metrics import EpochMetrics

FINAL_LEARNING_RATE = 1e-6
"""Learning rate at the end of the cosine schedule."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Settings of one training: the recipe of the model and the options of the command.

    Attributes:
        learning_rate: The highest learning rate.
        weight_decay: Decoupled weight decay of AdamW and Muon.
        cosine: Decrease the learning rate to 1e-6 along a cosine; otherwise it is constant.
        clip_norm: Largest norm of the gradient of all parameters; None: no clipping.
        epochs: Number of epochs; also the period of the cosine.
        batch_size: Rows of a batch at the start; it is halved when memory runs out.
        early_stopping: Stop after `patience` epochs without a better validation loss.
        patience: Epochs, for `early_stopping`.
        seed: Seed of the first model and of its order of the rows.
        ensemble: Number of models trained together, with the seeds `seed`, `seed` + 1, …
        precision: Precision of the body of the model.
        checkpoint_seconds: Time between two checkpoints.
        optimizer: a key of OPTIMIZERS in registry.py.
        warmup_epochs: Epochs in which the learning rate rises linearly.
        ema: Decay of the running average of the parameters per step; None: no average.
        loss: Loss function, a key of LOSSES in registry.py.
    """

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
    precision: Precision = Precision.FP32
    checkpoint_seconds: float = 30.0
    optimizer: str = "adamw"
    warmup_epochs: int = 0
    ema: float | None = None
    loss: str = "mse"

    def learning_rate_at(self, epoch: int) -> float:
        """Return the learning rate of `epoch`, which counts from 0."""
        warmup = min(1.0, (epoch + 1) / (self.warmup_epochs + 1))
        if not self.cosine:
            return self.learning_rate * warmup
        share = (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        return (FINAL_LEARNING_RATE + (self.learning_rate - FINAL_LEARNING_RATE) * share) * warmup

    def identity(self) -> dict[str, Any]:
        """Return the settings that two attempts must share so that one can resume the other.

        The keys are part of the checkpoint format, and of the error message for a mismatch.
        """
        names = ("batch_size", "learning_rate", "seed", "ensemble", "precision")
        identity = {name.replace("_", "-"): str(getattr(self, name)) for name in names}
        identity |= {"epochs, which the cosine schedule spans,": str(self.epochs)} if self.cosine else {}
        choices = {"optimizer": self.optimizer, "warmup-epochs": self.warmup_epochs, "ema": self.ema, "loss": self.loss}
        return identity | {
            name: str(value) for name, value in choices.items() if value not in ("adamw", 0, None, "mse")
        }


@dataclass
class TrainingState:
    """Progress of a training: all of a checkpoint except the state of the optimizer.

    Lists have one entry per model. The names of the fields are keys of the checkpoint.

    Attributes:
        batch_size: Rows of a batch, after any halving.
        loss_sum: Sum of the squared errors of the epoch so far, shape (models,), float64.
        best: Parameters of each model in its best epoch, shape (models, size).
        best_epochs: Best epoch of each model, counted from 1; 0 before the first one.
        best_vals: Validation loss of that epoch, by the loss function of the training.
        epoch: Number of finished epochs.
        row: Number of rows used in the current epoch.
        seconds: Wall time of all attempts.
        epoch_seconds: Wall time of the current epoch.
        peak_memory_mib: Largest memory use of all attempts, MiB.
        rows: Metrics of the finished epochs.
    """

    batch_size: int
    loss_sum: Tensor
    best: Tensor
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
        """The epoch of the best weights; for several models, the latest of their best epochs."""
        return max(self.best_epochs)
