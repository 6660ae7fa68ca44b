"""Metrics as event files for TensorBoard (`--tensorboard`)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OptionError

if TYPE_CHECKING:
    from .epoch_metrics import EpochMetrics

TAGS = {
    "train_mse": "MSE/training",
    "val_mse": "MSE/validation",
    "val_mse_physical": "MSE/validation_physical",
    "lr": "learning_rate",
    "seconds": "seconds_an_epoch",
}
"""Fields of EpochMetrics and their TensorBoard tags, which cannot contain spaces."""


class TensorBoardWriter:
    """Writer of one event file, without thread and queue.

    tensorboardX's `SummaryWriter` is not used, because a full disk ends its writer thread: after ten more
    values its queue is full, and `add_scalar` blocks the training forever. `flush` also does not wait for
    the queue.

    Args:
        folder: Folder for the event file.

    Raises:
        OptionError: tensorboardX is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboardX.event_file_writer import EventsWriter  # noqa: PLC0415 (250 ms)
        except ImportError:
            raise OptionError("--tensorboard: needs the package tensorboardX; `pip install tensorboardX`, or remove "
                              "the option (metrics.csv and metrics.jsonl are always written)") from None  # fmt: skip
        self.folder = folder
        self._open = EventsWriter
        self._file: EventsWriter | None = None

    def rewrite(self, rows: Sequence[EpochMetrics]) -> None:
        """Replace the contents of the folder by `rows`; a killed attempt may have left more."""
        self.folder.mkdir(exist_ok=True)
        if self._file is not None:
            self._file.close()
        for old in self.folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._file = self._open(str(self.folder / "events"))
        start = time.time() - sum(row.seconds for row in rows)
        for row in rows:
            start += row.seconds
            self._write(row, start)
        self._file.flush()

    def append(self, row: EpochMetrics) -> None:
        """Write `row` to the disk.

        Raises:
            OSError: The file cannot be written.
        """
        assert self._file is not None, "rewrite() comes first"
        self._write(row, time.time())
        self._file.flush()

    def _write(self, row: EpochMetrics, wall_time: float) -> None:
        from tensorboardX.proto.event_pb2 import Event  # noqa: PLC0415
        from tensorboardX.summary import scalar  # noqa: PLC0415

        assert self._file is not None
        for field, tag in TAGS.items():
            summary = scalar(tag, getattr(row, field))
            self._file.write_event(Event(wall_time=wall_time, step=row.epoch, summary=summary))
