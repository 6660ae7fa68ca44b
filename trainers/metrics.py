"""`metrics.csv`: one row an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .files import write_atomically
from .log import LOGGER


class EpochRow(NamedTuple):
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


class MetricsFile:
    """The file, rewritten whole at the start of an attempt and appended to after each epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rewrite(self, rows: Sequence[EpochRow]) -> None:
        """Nothing; the file holds exactly `rows`, whatever an attempt that was killed left in it."""
        text = "".join(_line(row) for row in (EpochRow._fields, *rows))
        write_atomically(self.path, lambda file: file.write(text.encode()))

    def append(self, row: EpochRow) -> None:
        """Nothing; the file ends with `row`. A full disk costs the line (until the next rewrite), not the training."""
        try:
            with self.path.open("a") as file:
                file.write(_line(row))
        except OSError as error:
            LOGGER.error("Metrics not written, training goes on: %s", error)


def _line(row: Sequence[object]) -> str:
    return ",".join(str(value) for value in row) + "\n"
