"""NumPy archives: one array of shape (n,) per column, all of the same length."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from ...errors import DataError
from ..columns import Column
from .common import Rows, as_floats, check_declared_size, check_plain, find_columns, stack_columns

CHUNK_ROWS = 100_000
HEADER_BYTES = 65_536
"""Part of an array that contains its header; a longer one is not read."""


class Member(NamedTuple):
    """An array of the archive whose header has been read.

    Attributes:
        file: Positioned at the first number.
        rows: Number of rows.
        dtype: Type of the numbers.
    """

    file: IO[bytes]
    rows: int
    dtype: np.dtype[np.generic]


def read_npz(path: Path, columns: Sequence[Column], _tree: str, limit: int | None) -> Iterator[Rows]:
    """Read a NumPy archive, chunk by chunk; no array is loaded as a whole.

    Args:
        path: File to read.
        columns: Columns to read.
        _tree: Not used.
        limit: Largest number of rows; None: all.

    Yields:
        Arrays of shape (k, columns), float64.

    Raises:
        DataError: An error in the file that the user can fix.
    """
    with zipfile.ZipFile(path) as archive, ExitStack() as exits:
        present = [name.removesuffix(".npy") for name in archive.namelist()]
        names = find_columns(path, columns, present, "array")
        members = {key: _open(path, name, archive, exits) for key, name in names.items()}
        first, rows = next((names[key], member.rows) for key, member in members.items())
        for key, member in members.items():
            if member.rows != rows:
                raise DataError(f"{path}: array '{names[key]}' has {member.rows} values, '{first}' has {rows}; "
                                "store arrays of equal length")  # fmt: skip
        end = rows if limit is None else min(rows, limit)
        check_declared_size(path, end, len(members))
        for start in range(0, end, CHUNK_ROWS):
            count = min(CHUNK_ROWS, end - start)
            values = {key: _read(path, names[key], member, start, count) for key, member in members.items()}
            yield stack_columns(columns, values)


def _open(path: Path, name: str, archive: zipfile.ZipFile, exits: ExitStack) -> Member:
    entry = archive.getinfo(f"{name}.npy")
    file = exits.enter_context(archive.open(entry))
    start = io.BytesIO(file.read(HEADER_BYTES))
    version = np.lib.format.read_magic(start)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(start)
    check_plain(path, "array", name, dtype, len(shape))
    if shape[0] * dtype.itemsize != entry.file_size - start.tell():
        raise DataError(f"{path}: array '{name}' is incomplete or damaged: it declares {shape[0]:,} numbers of "
                        f"{dtype.itemsize} bytes and has {entry.file_size - start.tell():,} bytes; write the file "
                        "again")  # fmt: skip
    file.seek(start.tell())
    return Member(file, shape[0], dtype)


def _read(path: Path, name: str, member: Member, start: int, count: int) -> Rows:
    content = member.file.read(count * member.dtype.itemsize)
    if len(content) < count * member.dtype.itemsize:
        raise DataError(f"{path}: array '{name}' is incomplete; write the file again")
    return as_floats(path, "array", name, np.frombuffer(content, dtype=member.dtype), first_row=start)
