"""Metrics of each epoch: metrics.csv, metrics.jsonl and, on request, TensorBoard events."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from ..fence import check_fence
from ..files import write_atomic
from ..log import LOGGER
from .epoch_metrics import EpochMetrics
from .tensorboard import TensorBoardWriter


class MetricsWriter:
    """Writer of the metrics files of one training.

    The files are rewritten at the start of an attempt; each epoch appends one row.

    Args:
        folder: Output folder of the training.
        tensorboard: Also write TensorBoard event files.

    Raises:
        OptionError: tensorboardX is not installed.
    """

    def __init__(self, folder: Path, *, tensorboard: bool = False) -> None:
        self.csv, self.jsonl = folder / "metrics.csv", folder / "metrics.jsonl"
        self.events = TensorBoardWriter(folder / "tensorboard") if tensorboard else None

    def rewrite(self, rows: Sequence[EpochMetrics]) -> None:
        """Replace the contents of the files by `rows`; a killed attempt may have left more."""
        table = "".join(_csv_line(row) for row in (EpochMetrics._fields, *rows))
        jsonl = "".join(_json_line(row) for row in rows)
        write_atomic(self.csv, lambda file: file.write(table.encode()))
        write_atomic(self.jsonl, lambda file: file.write(jsonl.encode()))
        if self.events is not None:
            self.events.rewrite(rows)

    def append(self, row: EpochMetrics) -> None:
        """Append `row` to the files.

        A full disk costs this row (until the next rewrite), not the training; the log reports it.

        Raises:
            FencedError: A newer attempt of this run was started.
        """
        check_fence()
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
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(row)
    return line.getvalue()


def _json_line(row: EpochMetrics) -> str:
    return json.dumps(row._asdict()) + "\n"
