"""Metrics of one epoch."""

from __future__ import annotations

from typing import NamedTuple


class EpochMetrics(NamedTuple):
    """Metrics of one epoch; for several models trained together, means over the models.

    The names are the columns of metrics.csv.

    Attributes:
        epoch: Number of the epoch, counted from 1.
        train_mse: Mean squared error of z-scores over the training rows, while they were trained on.
        val_mse: Mean squared error of z-scores over the validation rows.
        lr: Learning rate.
        val_mse_physical: Validation error in the squared unit of the target.
        val_mse_std: Standard deviation of `val_mse` over the models; 0 for one model.
        seconds: Wall time.
    """

    epoch: int
    train_mse: float
    val_mse: float
    lr: float
    val_mse_physical: float
    val_mse_std: float
    seconds: float
