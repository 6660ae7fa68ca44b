"""Helpers of the readers: find the columns of a file and check their contents."""

from __future__ import annotations

import difflib
import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..columns import Column

Rows = NDArray[np.float64]

LONGEST_ARGUMENT = 300
MOST_UNQUESTIONED_BYTES = 1_000_000_000
LARGEST_COMPRESSION = 100

LARGEST_EXACT = 2**53
"""float64 represents all integers up to this one exactly."""


def find_columns(path: Path, columns: Sequence[Column], present: Sequence[str], kind: str) -> dict[str, str]:
    """Return the name in the file of each column that the file contains.

    Args:
        path: File, for messages.
        columns: Columns to find.
        present: Names in the file.
        kind: `column`, `branch` or `array`, for messages.

    Returns:
        Names in the file, by the `name` of the column.

    Raises:
        DataError: A required column is missing, or a column occurs twice. The message lists similar names.
    """
    counts = Counter(present)
    found = {column.name: next((name for name in column.names if name in counts), None) for column in columns}
    missing = [column for column in columns if column.required and found[column.name] is None]
    if missing:
        taken = {found[column.name] for column in columns if column.required}
        others = [name for name in counts if name not in taken]
        raise DataError(_missing(path, missing, others, kind))
    repeated = [name for name in found.values() if name is not None and counts[name] > 1]
    if repeated:
        raise DataError(f"{path}: {kind} '{repeated[0]}' occurs {counts[repeated[0]]} times; keep one of them")
    return {name: in_file for name, in_file in found.items() if in_file is not None}


def _missing(path: Path, missing: Sequence[Column], present: Sequence[str], kind: str) -> str:
    wanted = missing[0].names[0]
    similar = _similar(missing[0], present)
    hint = f" (did you mean {' or '.join(repr(abbreviate(name)) for name in similar)}?)" if similar else ""
    more = f", nor {', '.join(one.names[0] for one in missing[1:4])}{' …' if len(missing) > 4 else ''}"
    name = missing[0].name
    short = name.removeprefix("IN_")
    assignment = as_argument(f"{short}={similar[0]}" if similar else "")
    remedy = f"--branches {assignment or f'{short}={kind.upper()}'}"
    remedy += f", or {missing[0].alternative}" if missing[0].alternative else ""
    return f"{path}: no {kind} named '{wanted}'{hint}{more if missing[1:] else ''}; rename it, or use {remedy}"


def _similar(column: Column, present: Sequence[str]) -> list[str]:
    """Return the names that may mean `column`: in another case, within an object of any name, or misspelt."""
    spellings = {name.lower() for name in column.names}
    same = [name for name in present if name.lower() in spellings]
    nested = [name for name in present if re.split(r"[./]", name.lower())[-1] in spellings]
    return same or nested[:2] or difflib.get_close_matches(column.names[0], present, n=2, cutoff=0.6)


def as_argument(text: str) -> str:
    """Return `text` as a shell takes it; empty if a message cannot show it, because it is long or not printable."""
    return shlex.quote(text) if text and text.isprintable() and len(text) <= LONGEST_ARGUMENT else ""


def abbreviate(name: str) -> str:
    """Return `name`, cut to 60 characters."""
    return name if len(name) <= 60 else name[:59] + "…"


def as_floats(path: Path, kind: str, name: str, values: NDArray[Any], *, first_row: int = 0) -> Rows:
    """Convert `values`, shape (n,), to float64.

    Args:
        path: File, for messages.
        kind: `column`, `branch` or `array`, for messages.
        name: Name in the file, for messages.
        values: Values to convert.
        first_row: Row of the first value in the file, counted from 0.

    Raises:
        DataError: The values are not plain numbers, or the conversion would change them.
    """
    check_plain(path, kind, name, values.dtype, values.ndim)
    if values.dtype.kind in "iu":
        large = np.flatnonzero((values > LARGEST_EXACT) | (values < -LARGEST_EXACT))
        if large.size:
            row = int(large[0])
            raise DataError(too_large_message(path, kind, name, first_row + row, str(values[row])))
    return np.asarray(values, dtype=np.float64)


def too_large_message(path: Path, kind: str, name: str, row: int, value: str) -> str:
    """Return the message for an integer in `row` (from 0) that float64 cannot represent."""
    return (
        f"{path}: {kind} '{name}', data row {row + 1}: {abbreviate(value)} is an integer that float64 cannot "
        "represent exactly; store floating-point numbers"
    )


def check_plain(path: Path, kind: str, name: str, dtype: np.dtype[np.generic], ndim: int) -> None:
    """Check that an array contains one real number per row.

    Raises:
        DataError: It does not.
    """
    if dtype.kind not in "fiu" or dtype.subdtype is not None or ndim != 1:
        problem = f"{ndim}-dimensional" if dtype.kind in "fiu" and ndim != 1 else f"of type {dtype}"
        raise DataError(f"{path}: {kind} '{name}' does not contain one number per row (it is {problem}); "
                        "store one floating-point number per row")  # fmt: skip


def check_declared_size(path: Path, rows: int, columns: int) -> None:
    """Check that the numbers to read are plausible for the size of the file, before any of them is read.

    A compressed file of a few megabytes may declare gigabytes of equal numbers. A scan with 19 different parameters
    cannot be packed that closely.

    Args:
        path: File to read.
        rows: Rows to read, as the file declares them.
        columns: Columns to read.

    Raises:
        DataError: The file declares more than a gigabyte, and more than 100 times its size.
    """
    declared, size = 8 * rows * columns, path.stat().st_size
    if declared > MOST_UNQUESTIONED_BYTES and declared > LARGEST_COMPRESSION * size:
        enough = MOST_UNQUESTIONED_BYTES // (8 * columns)
        raise DataError(f"{path}: declares {rows:,} rows, {declared / 1e9:,.0f} GB of numbers in a file of "
                        f"{size / 1e6:,.1f} MB, so they are almost all equal; check how the file was made, or read "
                        f"its first rows only, with --n-samples {enough}")  # fmt: skip


def stack_columns(columns: Sequence[Column], values: Mapping[str, Rows]) -> Rows:
    """Return the values as one array, shape (n, columns); nan in columns that the file lacks.

    Args:
        columns: Columns, in order.
        values: Arrays of shape (n,) by the name of the column.
    """
    count = len(next(iter(values.values())))
    return np.column_stack([values.get(column.name, np.full(count, np.nan)) for column in columns])
