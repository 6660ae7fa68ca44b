"""`simulate`: the semi-analytic formula for the points of a file, as slow and as unreliable as wanted.

The results are appended to `points.csv`, block by block, so that a simulation that was killed is continued.
`points.root` is written at the end.
"""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.columns import PARAMETERS, parameter_columns
from ..data.reading import SUFFIXES, read_chunks
from ..data.targets import FAILED, RELIC_DENSITY
from ..data.writing import table_writer
from ..errors import OptionError
from ..files import write_atomic
from ..log import LOGGER
from .hits import Goal
from .semi_analytic import COLUMNS, SOURCE, Values, simulate_points

RESULTS_CSV, RESULTS_ROOT, SUMMARY = "points.csv", "points.root", "result.json"
BLOCK_S = 1.0
BLOCK_ROWS = 5_000
"""Largest time, and number of points, between two writes."""


@dataclass(frozen=True)
class Behaviour:
    """What makes the formula resemble a real simulator.

    Attributes:
        failure_rate: Share of the points that fail.
        delay_s: Time per point, s.
        seed: Seed that decides which points fail.
    """

    failure_rate: float = 0.0
    delay_s: float = 0.0
    seed: int = 42


def simulate_file(source: Path, output: Path, behaviour: Behaviour, *, tree: str, branches: Sequence[str] = (),
                  fresh: bool = False) -> None:  # fmt: skip
    """Simulate the points of `source`; continue if `output` holds a part of the results.

    Args:
        source: File of points.
        output: Folder for `points.csv`, `points.root` and `result.json`.
        behaviour: How it fails, and how long it takes.
        tree: Tree of a ROOT file.
        branches: Values of `--branches`.
        fresh: Delete earlier results.

    Raises:
        TrainerError: A file or an option cannot be used.
        OSError: A file cannot be read or written.
    """
    points = read_points(source, tree=tree, branches=branches)
    output.mkdir(parents=True, exist_ok=True)
    table = output / RESULTS_CSV
    if fresh:
        table.unlink(missing_ok=True)
    done = _finished_rows(table, points)
    if done < len(points):
        for name in (RESULTS_ROOT, SUMMARY):  # they describe all points
            (output / name).unlink(missing_ok=True)
    LOGGER.info("Simulating %s points with the %s%s", f"{len(points):,}", SOURCE,
                f"; {done:,} of them are finished" if done else "")  # fmt: skip
    failed = failing_points(points, behaviour)
    with table.open("ab") as file:
        for start, stop in _blocks(done, len(points), behaviour.delay_s):
            time.sleep(behaviour.delay_s * (stop - start))
            columns = simulate_points(points[start:stop], np.arange(start, stop, dtype=np.float64), failed[start:stop])
            file.write(_csv_rows(columns))
            file.flush()
            os.fsync(file.fileno())
            LOGGER.info("Point %d/%d", stop, len(points))
    _write_summary(output, _read_results(table))


def failing_points(points: Values, behaviour: Behaviour) -> NDArray[np.bool_]:
    """Return which points fail, shape (n,): a property of the file and the seed, so a continuation agrees."""
    random = np.random.default_rng(behaviour.seed)
    return np.asarray(random.random(len(points)) < behaviour.failure_rate)


def read_points(source: Path, *, tree: str, branches: Sequence[str] = ()) -> Values:
    """Return the points of a file, shape (n, 19).

    Raises:
        TrainerError: The file is missing, or cannot be read.
    """
    if source.suffix.lower() not in SUFFIXES:
        raise OptionError(f"{source}: its name must end in one of {', '.join(SUFFIXES)}")
    if not source.is_file():
        raise OptionError(f"{source}: no such file; give a file of points, such as one that `propose` wrote")
    return np.concatenate(list(read_chunks(source, parameter_columns(branches), tree=tree)))


def _blocks(start: int, end: int, delay_s: float) -> Iterator[tuple[int, int]]:
    rows = BLOCK_ROWS if delay_s == 0 else max(1, min(BLOCK_ROWS, int(BLOCK_S / delay_s)))
    for first in range(start, end, rows):
        yield first, min(first + rows, end)


def _csv_rows(columns: dict[str, Values]) -> bytes:
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    return "".join(",".join(map(repr, row)) + "\n" for row in rows).encode()


def _finished_rows(table: Path, points: Values) -> int:
    """Return how many points `table` has, after cutting off a line that a kill left incomplete.

    Raises:
        OptionError: The table has results of other points.
    """
    header = (",".join(COLUMNS) + "\n").encode()
    content = table.read_bytes() if table.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if not whole:
        write_atomic(table, lambda file: file.write(header))
        return 0
    if len(whole) < len(content):
        os.truncate(table, len(whole))
    results = _read_results(table) if whole.startswith(header) else {}
    found = np.column_stack([results[name] for name in PARAMETERS]) if results else np.empty((0, 0))
    if not results or len(found) > len(points) or not np.array_equal(found, points[: len(found)]):
        raise OptionError(f"{table}: holds results of other points; use another --output, or start over with --fresh")
    return len(found)


def _read_results(table: Path) -> dict[str, Values]:
    with table.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        names = next(reader)
        try:
            rows = np.array([[float(cell) for cell in row] for row in reader], dtype=np.float64)
        except ValueError as error:
            raise OptionError(f"{table}: damaged ({error}); start over with --fresh") from None
    return dict(zip(names, rows.reshape(-1, len(names)).T, strict=True))


def _write_summary(output: Path, columns: dict[str, Values]) -> None:
    """Write the ROOT file, and result.json last."""
    with table_writer(output / RESULTS_ROOT) as append:
        append({name: np.ascontiguousarray(values) for name, values in columns.items()})
    omega = columns[RELIC_DENSITY]
    failed, hits = int((omega == FAILED).sum()), int(Goal().hits(omega).sum())
    summary = {"source": SOURCE, "points": len(omega), "failed": failed, "hits": hits, "hit_rate": hits / len(omega)}
    text = json.dumps(summary, indent=1) + "\n"
    write_atomic(output / SUMMARY, lambda file: file.write(text.encode()))
    LOGGER.info("%d points by the %s: %d failed, %d hits within 10 %% of 0.12 | Hit rate = %.4f", len(omega), SOURCE,
                failed, hits, hits / len(omega))  # fmt: skip
