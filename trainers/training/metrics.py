"""What each epoch gave, for people and programs: `metrics.csv`, `metrics.jsonl` and, if asked for, TensorBoard's."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from ..files import write_atomic
from ..log import LOGGER
from .epoch_metrics import EpochMetrics
from .tensorboard import TensorBoardWriter


class MetricsWriter:
    """The files in `folder`, rewritten whole at the start of an attempt and appended to after each epoch."""

    def __init__(self, folder: Path, *, tensorboard: bool = False) -> None:
        self.csv, self.jsonl = folder / "metrics.csv", folder / "metrics.jsonl"
        self.events = TensorBoardWriter(folder / "tensorboard") if tensorboard else None

    def rewrite(self, rows: Sequence[EpochMetrics]) -> None:
        """Nothing; the files hold exactly `rows`, whatever an attempt that was killed left in them."""
        csv = "".join(_csv_line(row) for row in (EpochMetrics._fields, *rows))
        jsonl = "".join(_json_line(row) for row in rows)
        write_atomic(self.csv, lambda file: file.write(csv.encode()))
        write_atomic(self.jsonl, lambda file: file.write(jsonl.encode()))
        if self.events is not None:
            self.events.rewrite(rows)

    def append(self, row: EpochMetrics) -> None:
        """Nothing; the files end with `row`. A full disk costs the line (until the next rewrite), not the training."""
        _log_write_errors(lambda: _append(self.csv, _csv_line(row)))
        _log_write_errors(lambda: _append(self.jsonl, _json_line(row)))
        if self.events is not None:
            events = self.events
            _log_write_errors(lambda: events.append(row))


def _log_write_errors(write: Callable[[], None]) -> None:
    try:
        write()
    except OSError as error:
        LOGGER.error("Metrics not written, training goes on: %s", error)


def _append(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line)


def _csv_line(row: Sequence[object]) -> str:
    return ",".join(str(value) for value in row) + "\n"


def _json_line(row: EpochMetrics) -> str:
    return json.dumps(row._asdict()) + "\n"
