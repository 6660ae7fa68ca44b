"""NumPy archives: one array `(n,)` a column, all of the same length."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from ...errors import DataError
from ..columns import Column
from .common import Rows, as_floats, check_plain, find_columns, stack

CHUNK_ROWS = 100_000


class Member(NamedTuple):
    """An array of the archive, its header read: `file` stands at the first of `rows` numbers."""

    file: IO[bytes]
    rows: int
    dtype: np.dtype[np.generic]


def read_npz(path: Path, columns: Sequence[Column], _tree: str, limit: int | None) -> Iterator[Rows]:
    """The first `limit` rows (all: None), chunk by chunk; all arrays side by side, never one as a whole.

    Raises DataError for what a user can mend.
    """
    with zipfile.ZipFile(path) as archive, ExitStack() as stack_of_files:
        present = [name.removesuffix(".npy") for name in archive.namelist()]
        names = find_columns(path, columns, present, "array")
        members = {
            key: _open(path, name, stack_of_files.enter_context(archive.open(f"{name}.npy")))
            for key, name in names.items()
        }
        first, rows = next((names[key], member.rows) for key, member in members.items())
        for key, member in members.items():
            if member.rows != rows:
                raise DataError(f"{path}: array '{names[key]}' has {member.rows} values, '{first}' {rows}; "
                                "store as many values of each")  # fmt: skip
        end = rows if limit is None else min(rows, limit)
        for start in range(0, end, CHUNK_ROWS):
            count = min(CHUNK_ROWS, end - start)
            values = {key: _read(path, names[key], member, start, count) for key, member in members.items()}
            yield stack(columns, values)


def _open(path: Path, name: str, file: IO[bytes]) -> Member:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    check_plain(path, "array", name, dtype, len(shape))
    return Member(file, shape[0], dtype)


def _read(path: Path, name: str, member: Member, start: int, count: int) -> Rows:
    content = member.file.read(count * member.dtype.itemsize)
    if len(content) < count * member.dtype.itemsize:
        raise DataError(f"{path}: array '{name}' ends too early; is the file complete? Write it again")
    return as_floats(path, "array", name, np.frombuffer(content, dtype=member.dtype), first_row=start)
