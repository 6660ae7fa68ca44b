"""The numbers of one epoch."""

from __future__ import annotations

from typing import NamedTuple


class EpochMetrics(NamedTuple):
    """What an epoch gave; `epoch` counts from 1, errors are of z-scores, `val_mse_physical` in the target's unit².

    Of several models trained together errors are means, and `val_mse_std` is their spread (0 for one).
    """

    epoch: int
    train_mse: float
    val_mse: float
    lr: float
    val_mse_physical: float
    val_mse_std: float
    seconds: float
