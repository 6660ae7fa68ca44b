"""`--tensorboard`: the metrics as event files that TensorBoard reads."""

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
"""Fields of an EpochRow, and what TensorBoard calls them; it takes no spaces."""


class TensorBoardWriter:
    """One event file in `folder`, written by this process itself: no thread, no queue.

    Raises OptionError where tensorboardX is missing.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboardX.event_file_writer import EventsWriter  # noqa: PLC0415 (250 ms)
        except ImportError:
            raise OptionError("--tensorboard: needs the package tensorboardX; `pip install tensorboardX`, or leave "
                              "it out (metrics.csv and metrics.jsonl are always written)") from None  # fmt: skip
        self.folder = folder
        self._open = EventsWriter
        self._file: EventsWriter | None = None

    def rewrite(self, rows: Sequence[EpochMetrics]) -> None:
        """Nothing; the folder holds exactly `rows`, whatever an earlier attempt left in it."""
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
        """Nothing; `row` is on the disk. Raises OSError where it can't be written."""
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
