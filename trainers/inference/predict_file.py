"""`predict`: apply a trained model to the points of a file, chunk by chunk."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.columns import parameter_columns
from ..data.formats.common import Rows
from ..data.formats.slha_file import SLHA_SUFFIXES, find_slha_files, read_slha_chunks
from ..data.reading import SUFFIXES, read_chunks
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
    """Predict the target for each point of `source`, in the same order.

    Args:
        model: model.pt of a finished training.
        source: File of points; or an SLHA file, a folder of them, or a glob pattern.
        output: Table to write; it stays unchanged after an error.
        tree: Tree of a ROOT file.
        branches: Values of `--branches`.
        device: `auto`, `cpu` or `cuda`.
        precision: `fp32` or `bf16`.

    Raises:
        TrainerError: A file or an option cannot be used.
        OSError: A file cannot be read or written.
    """
    slha = find_slha_files(source)
    if slha is None:
        _check_table(source, output)
    columns = parameter_columns(branches)
    file_names = np.array([path.name for path in slha or ()])
    torch_device = choose_device(device)
    surrogate = load_surrogate(model).to(torch_device, choose_precision(precision, torch_device))
    start = last_report = time.monotonic()
    rows, outside_counts = 0, np.zeros(len(columns), dtype=np.int64)
    points_outside = outside_cuts = 0
    with table_writer(output) as append:
        chunks = read_chunks(source, columns, tree=tree) if slha is None else read_slha_chunks(slha)
        for points in prefetch(chunks):
            table, outside = predict_points(surrogate, points)
            append(table if slha is None else {"file": file_names[rows : rows + len(points)], **table})
            rows += len(points)
            outside_counts += outside.sum(axis=0)
            points_outside += int(outside.any(axis=1).sum())
            outside_cuts += int(surrogate.target.outside_cuts(table[surrogate.target.name]).sum())
            if time.monotonic() - last_report >= PROGRESS_SECONDS:
                last_report = time.monotonic()
                LOGGER.info("%s points, %s a second", f"{rows:,}", f"{rows / (last_report - start):,.0f}")
    seconds = time.monotonic() - start
    LOGGER.info("%s points in %.1f s: %s in %s", f"{rows:,}", seconds, surrogate.target.label, output)
    if points_outside:
        names = [f"{name.name} ({count:,})" for name, count in zip(columns, outside_counts, strict=True) if count]
        consequence = "; they get no interval (no guarantee)" if surrogate.calibrated is not None else ""
        LOGGER.warning("%s points (%.1f %%) lie outside the training range, where the model has seen nothing%s: %s",
                       f"{points_outside:,}", 100 * points_outside / rows, consequence, ", ".join(names))  # fmt: skip
    if outside_cuts:
        LOGGER.warning("%s predictions (%.1f %%) are not within %s, as all training points were",
                       f"{outside_cuts:,}", 100 * outside_cuts / rows, surrogate.target.cuts)  # fmt: skip


def _check_table(source: Path, output: Path) -> None:
    """Raise OptionError unless the input is a file of points, and not the output."""
    if not source.exists():
        raise OptionError(f"--input {source}: no such file; give a file of points, or a folder of SLHA files")
    if source.suffix.lower() not in SUFFIXES:
        suffixes = (*SUFFIXES, *SLHA_SUFFIXES)
        raise OptionError(f"--input {source}: its name must end in one of {', '.join(suffixes)}")
    if not source.is_file():
        raise OptionError(f"--input {source}: is not a file")
    if output.exists() and output.samefile(source):
        raise OptionError(f"--output {output}: is the input file; choose another name")


def prefetch(chunks: Iterator[Rows]) -> Iterator[Rows]:
    """Yield the same chunks, while a thread reads the next one."""
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
        next_chunk = reader.submit(next, chunks, None)
        while (chunk := next_chunk.result()) is not None:
            next_chunk = reader.submit(next, chunks, None)
            yield chunk


def predict_points(
    surrogate: Surrogate, points: Rows
) -> tuple[dict[str, NDArray[np.float64] | NDArray[np.bool_]], NDArray[np.bool_]]:
    """Predict the target of `points`, shape (n, 19).

    Returns:
        The columns of the table, and which parameters lie outside the training range, shape (n, 19).
    """
    members, outside = surrogate.predict_members(points, warn=False), surrogate.outside_training_range(points)
    name = surrogate.target.name
    table: dict[str, NDArray[np.float64] | NDArray[np.bool_]] = {name: np.asarray(members.mean(axis=0))}
    if len(members) > 1:
        table[f"{name}_spread"] = members.std(axis=0)
    if surrogate.calibrated is not None:
        table |= surrogate.intervals_of(points, members)._asdict()
    if surrogate.usability is not None:
        outcomes = surrogate.outcomes(points)
        table |= {"p_usable": outcomes.usable, "p_failed": outcomes.failed, "p_overclosed": outcomes.overclosed}
    table["outside_training_range"] = np.asarray(outside.any(axis=1))
    return table, outside
