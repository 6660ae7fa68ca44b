"""metrics.csv, metrics.jsonl and TensorBoard's event files."""

from __future__ import annotations

import csv
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pmssm.trainers.training.epoch_metrics import EpochMetrics
from pmssm.trainers.training.metrics import MetricsWriter
from pmssm.trainers.training.tensorboard import TAGS

ROWS = [EpochMetrics(epoch, 1 / epoch, 2 / epoch, 1e-3, 0.1, 0.0, 0.5) for epoch in range(1, 60)]


def test_metrics_csv_has_unix_line_ends_and_every_digit(tmp_path: Path) -> None:
    MetricsWriter(tmp_path).rewrite(ROWS[2:3])
    assert (tmp_path / "metrics.csv").read_bytes() == (
        b"epoch,train_mse,val_mse,lr,val_mse_physical,val_mse_std,seconds\n"
        b"3,0.3333333333333333,0.6666666666666666,0.001,0.1,0.0,0.5\n"
    )


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no write go beyond `size` bytes of a file, as on a full disk, while the block runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_costs_rows_and_not_the_training_and_the_next_rewrite_has_them_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = MetricsWriter(tmp_path, tensorboard=True)
    writer.rewrite(ROWS[:1])
    with largest_file(1):
        for row in ROWS[1:]:
            writer.append(row)
    assert caplog.text.count("Metrics not written, training goes on") == 3 * len(ROWS[1:])
    writer.rewrite(ROWS)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == [str(row.epoch) for row in ROWS]
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert [step for step, _ in scalars(events, "MSE/training")] == [row.epoch for row in ROWS]


def test_event_files_hold_each_epoch_once_also_after_a_resume(tmp_path: Path) -> None:
    rows = ROWS[:4]
    first = MetricsWriter(tmp_path, tensorboard=True)
    first.rewrite(rows[:1])
    first.append(rows[1])
    first.append(rows[2])  # and is killed before the checkpoint of epoch 3
    second = MetricsWriter(tmp_path, tensorboard=True)
    second.rewrite(rows[:2])
    second.append(rows[2])
    second.append(rows[3])
    (path,) = (tmp_path / "tensorboard").iterdir()
    assert scalars(path, "MSE/validation") == [(1, 2.0), (2, 1.0), (3, pytest.approx(2 / 3)), (4, 0.5)]
    for tag in TAGS.values():
        assert [step for step, _ in scalars(path, tag)] == [1, 2, 3, 4]


def scalars(path: Path, tag: str) -> list[tuple[int, float]]:
    """Step and value of each event with `tag` in a TFRecord file: length, its checksum, event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    raw, position, found = path.read_bytes(), 0, []
    while position < len(raw):
        length = int.from_bytes(raw[position : position + 8], "little")
        event = Event.FromString(raw[position + 12 : position + 12 + length])
        found += [(event.step, value.simple_value) for value in event.summary.value if value.tag == tag]
        position += length + 16
    return found
