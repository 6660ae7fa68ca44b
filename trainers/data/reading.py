"""Scan files as chunks of numbers, float64, one column for each that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..errors import DataError
from .columns import TREE, Column
from .formats.common import Rows
from .formats.csv_file import read_csv
from .formats.npz_file import read_npz
from .formats.parquet_file import read_parquet
from .formats.root_file import read_root

Reader = Callable[[Path, Sequence[Column], str, int | None], Iterator[Rows]]

READERS: dict[str, Reader] = {
    ".root": read_root,
    ".csv": read_csv,
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".npz": read_npz,
}
"""By the suffix of the file's name, in lower case."""


def read_chunks(path: Path, columns: Sequence[Column], *, tree: str = TREE, limit: int | None = None) -> Iterator[Rows]:
    """The first `limit` rows of `path` (all: None), `(k, columns)` at a time; nan where an optional column is absent.

    Raises DataError, naming the file and the field, where it can't be read, is empty or lacks a column.
    """
    rows = 0
    try:
        for chunk in READERS[path.suffix.lower()](path, columns, tree, limit):
            rows += len(chunk)
            yield chunk
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(f"{path}: a part of it needs more memory than there is; is it damaged? Write it again, or in "
                        "smaller files") from error  # fmt: skip
    except PermissionError as error:
        raise DataError(f"{path}: may not be read ({error.strerror}); change its permissions") from error
    except Exception as error:  # damaged bytes make the readers raise nearly any class there is
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(f"{path}: can't be read, is it complete? Copy or write it again "
                        f"({type(error).__name__}: {reason[:120]})") from error  # fmt: skip
    if rows == 0:
        raise DataError(f"{path}: holds no rows; leave the file out")
