"""Scan files as chunks of numbers, float64, with one column per requested name.

One row of FORMATS per file format: file search, help and messages read it from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..errors import DataError
from .columns import TREE, Column

if TYPE_CHECKING:
    from .formats.common import Rows

    Reader = Callable[[Path, Sequence[Column], str, int | None], Iterator[Rows]]


@dataclass(frozen=True)
class FileFormat:
    """A format of scan files.

    The reader is imported when it is first needed: the command line lists all formats without numpy.

    Attributes:
        name: Name in messages and in the help.
        suffixes: Suffixes of file names, in lower case.
        reader: Module in `formats` and function, such as `csv_file:read_csv`. Its arguments are the path, the columns,
            the name of the tree (for ROOT) and the largest number of rows (None: all). It yields arrays of shape
            (k, columns), float64.
    """

    name: str
    suffixes: tuple[str, ...]
    reader: str

    def load_reader(self) -> Reader:
        """Import the function that reads files of this format."""
        module, _, function = self.reader.partition(":")
        return cast("Reader", getattr(import_module(f".formats.{module}", __package__), function))


FORMATS = (
    FileFormat("ROOT", (".root",), "root_file:read_root"),
    FileFormat("CSV", (".csv",), "csv_file:read_csv"),
    FileFormat("Parquet", (".parquet", ".pq"), "parquet_file:read_parquet"),
    FileFormat("NumPy (.npz)", (".npz",), "npz_file:read_npz"),
)
SUFFIXES = tuple(suffix for each in FORMATS for suffix in each.suffixes)
FORMAT_NAMES = f"{', '.join(each.name for each in FORMATS[:-1])} or {FORMATS[-1].name}"


def read_chunks(path: Path, columns: Sequence[Column], *, tree: str = TREE, limit: int | None = None) -> Iterator[Rows]:
    """Yield the rows of a scan file, chunk by chunk.

    Args:
        path: File with one of SUFFIXES.
        columns: Columns to read.
        tree: Name of the tree in a ROOT file.
        limit: Largest number of rows; None: all.

    Yields:
        Arrays of shape (k, columns), float64; nan in optional columns that the file lacks.

    Raises:
        DataError: The file cannot be read, is empty or lacks a column. The message names file and column.
    """
    file_format = next(each for each in FORMATS if path.suffix.lower() in each.suffixes)
    rows = 0
    try:
        for chunk in file_format.load_reader()(path, columns, tree, limit):
            rows += len(chunk)
            yield chunk
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(f"{path}: a part of the file does not fit into memory; check that the file is not damaged, or "
                        "split it into smaller files") from error  # fmt: skip
    except PermissionError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); change its permissions") from error
    except Exception as error:  # damaged bytes make the readers raise nearly any class
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(f"{path}: cannot be read, the file may be incomplete; copy or write it again "
                        f"({type(error).__name__}: {reason[:120]})") from error  # fmt: skip
    if rows == 0:
        raise DataError(f"{path}: contains no rows; leave the file out")
