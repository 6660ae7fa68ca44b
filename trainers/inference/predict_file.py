"""`predict`: a trained model on the points of a file, chunk by chunk."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.columns import parameter_columns
from ..data.formats.common import Rows
from ..data.reading import READERS, read_chunks
from ..data.writing import table_writer
from ..device import choose_device
from ..errors import OptionError
from ..log import LOGGER
from ..precision import choose_precision
from .model_file import load_surrogate
from .surrogate import Surrogate

PROGRESS_SECONDS = 2.0


def predict_file(
    model: Path, source: Path, output: Path, *, tree: str, branches: Sequence[str], device: str, precision: str = "fp32"
) -> None:
    """Nothing; `output` has a row for each point of `source`, in the same order.

    Raises TrainerError where a file or an option is of no use, OSError where one can't be read or written; `output` is
    then as it was.
    """
    if source.suffix.lower() not in READERS:
        raise OptionError(f"--input {source}: its name must end in one of {', '.join(READERS)}")
    if not source.is_file():
        raise OptionError(f"--input {source}: no such file")
    if output.exists() and output.samefile(source):
        raise OptionError(f"--output {output}: is the input; choose another name")
    columns = parameter_columns(branches)
    place = choose_device(device)
    surrogate = load_surrogate(model).to(place, choose_precision(precision, place))
    start = said = time.monotonic()
    rows, outside = 0, np.zeros(len(columns), dtype=np.int64)
    any_outside = beyond_cuts = 0
    with table_writer(output) as append:
        for points in prefetch(read_chunks(source, columns, tree=tree)):
            table, misses = predict_points(surrogate, points)
            append(table)
            rows += len(points)
            outside += misses.sum(axis=0)
            any_outside += int(misses.any(axis=1).sum())
            beyond_cuts += int(surrogate.target.beyond_cuts(table[surrogate.target.name]).sum())
            if time.monotonic() - said >= PROGRESS_SECONDS:
                said = time.monotonic()
                LOGGER.info("%s points, %s a second", f"{rows:,}", f"{rows / (said - start):,.0f}")
    seconds = time.monotonic() - start
    LOGGER.info("%s points in %.1f s: %s in %s", f"{rows:,}", seconds, surrogate.target.label, output)
    if any_outside:
        names = [f"{name.name} ({count:,})" for name, count in zip(columns, outside, strict=True) if count]
        LOGGER.warning("%s points (%.1f %%) lie outside the training range, where the model has seen nothing: %s",
                       f"{any_outside:,}", 100 * any_outside / rows, ", ".join(names))  # fmt: skip
    if beyond_cuts:
        LOGGER.warning("%s predictions (%.1f %%) are not within %s, as all training points were",
                       f"{beyond_cuts:,}", 100 * beyond_cuts / rows, surrogate.target.cuts)  # fmt: skip


def prefetch(chunks: Iterator[Rows]) -> Iterator[Rows]:
    """The same chunks; a thread of its own reads the next one while this one is worked on."""
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
        coming = reader.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = reader.submit(next, chunks, None)
            yield chunk


def predict_points(
    surrogate: Surrogate, points: Rows
) -> tuple[dict[str, NDArray[np.float64] | NDArray[np.bool_]], NDArray[np.bool_]]:
    """The columns of the table for `points`, `(n, 19)`, and which parameters lie outside, `(n, 19)`."""
    members, outside = surrogate.predict_members(points, warn=False), surrogate.outside_training_range(points)
    name = surrogate.target.name
    table: dict[str, NDArray[np.float64] | NDArray[np.bool_]] = {name: np.asarray(members.mean(axis=0))}
    if len(members) > 1:
        table[f"{name}_spread"] = members.std(axis=0)
    table["outside_training_range"] = np.asarray(outside.any(axis=1))
    return table, outside
