"""CSV files: UTF-8, comma-separated, a header line, decimal points."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from ...errors import DataError
from ...log import LOGGER
from ..columns import Column
from .common import LARGEST_EXACT, Rows, as_floats, find_columns, short, stack, too_large

if TYPE_CHECKING:
    import pandas as pd

CHUNK_CELLS = 2_000_000
"""Of one chunk, read or not: a file may have ten thousand columns."""

NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}


def read_csv(path: Path, columns: Sequence[Column], _tree: str, limit: int | None) -> Iterator[Rows]:
    """The first `limit` rows (all: None), chunk by chunk. Raises DataError for what a user can mend."""
    import pandas as pd  # noqa: PLC0415 (635 ms)

    _check_encoding(path)
    try:
        with _text(path) as file:
            header = _header(path, file, columns)
            names = find_columns(path, columns, header, "column")
            _check_lengths(path, file, header, limit)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text ({error.reason}); save it as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path}: is not CSV ({error}); save it as comma-separated UTF-8 text") from None
    positions = {key: header.index(name) for key, name in names.items()}
    with _text(path) as file:
        next(_lines(file))
        reader = pd.read_csv(
            file,
            header=None,
            names=range(len(header)),
            usecols=sorted(set(positions.values())),
            index_col=False,
            skipinitialspace=True,
            chunksize=max(1, CHUNK_CELLS // len(header)),
            nrows=limit,
        )
        with reader:
            for chunk in reader:
                values = {key: _numbers(path, names[key], chunk[position]) for key, position in positions.items()}
                yield stack(columns, values)


def _text(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig")  # line ends of any system; a byte-order mark is no part of the text


def _check_encoding(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(4096)
    if not start:
        raise DataError(f"{path}: is empty; leave the file out")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path}: is UTF-16 text; save it as UTF-8, as with `iconv -f UTF-16 -t UTF-8`")
    if b"\0" in start:
        raise DataError(f"{path}: is no text file; give ROOT, Parquet or NumPy files their own suffix")
    if start.startswith(codecs.BOM_UTF8):
        LOGGER.info("%s: starts with a byte-order mark, which is no part of the first name", path.name)


def _lines(file: TextIO) -> Iterator[str]:
    return (line for line in file if line.strip("\n"))


def _header(path: Path, file: TextIO, columns: Sequence[Column]) -> list[str]:
    """The names in the first line. Raises DataError where it is none, or separates them by anything but commas."""
    line = next(_lines(file), "")
    header = [name.strip() for name in next(csv.reader([line], skipinitialspace=True), [])]
    known = {name for column in columns for name in column.names}
    for separator, word in SEPARATORS.items():
        others = {name.strip(" \"'") for name in line.strip().split(separator)}
        if len(known & others) > len(known.intersection(header)):
            raise DataError(f"{path}: its columns are separated by {word}; save it with commas between the columns and "
                            "points in the numbers")  # fmt: skip
    if header and all(NUMBER.fullmatch(name) for name in header):
        raise DataError(f"{path}: has no header, its first line holds numbers; put a line with the names of the "
                        "columns above them")  # fmt: skip
    if len(header) < 2:
        raise DataError(f"{path}: its first line, {short(line.strip())!r}, does not name its columns; begin with a "
                        "line of their names, commas between them")  # fmt: skip
    return header


def _check_lengths(path: Path, file: TextIO, header: Sequence[str], limit: int | None) -> None:
    """Nothing. Raises DataError where a row has more or fewer cells than the header; pandas would fill or cut it."""
    for number, line in enumerate(islice(file, limit), start=2):
        cells = line.count(",") + 1 if '"' not in line else _quoted_cells(path, number, line)
        if cells != len(header) and line.strip("\n"):
            hint = "decimal commas? write points; else mend header or row"
            if cells < len(header):
                hint = "is the file complete? mend the row"
            raise DataError(f"{path}: line {number} has {cells} cells, the header {len(header)}; {hint}")


def _quoted_cells(path: Path, number: int, line: str) -> int:
    """How many cells `line` has. Raises DataError where a quotation mark is left open: pandas would go on in the next
    line, and rows would be lost in a cell that nobody looks at."""
    try:
        return len(next(csv.reader([line.rstrip("\n")], skipinitialspace=True, strict=True), []))
    except csv.Error:
        raise DataError(f"{path}: line {number} has quotation marks that do not enclose a cell; "
                        "close or remove them") from None  # fmt: skip


def _numbers(path: Path, name: str, column: pd.Series[Any]) -> Rows:
    if column.empty:
        return np.empty(0)
    values, first = column.to_numpy(), int(str(column.index[0]))
    if values.dtype.kind in "fiu":
        return as_floats(path, "column", name, values, first_row=first)
    given = column.notna().to_numpy()
    numbers = np.full(len(column), np.nan)
    for row in np.flatnonzero(given):
        text = str(values[row])
        if not NUMBER.fullmatch(text):
            comma = "; write a decimal point" if NUMBER.fullmatch(text.replace(",", ".")) else "; correct or remove it"
            where = f"column '{name}', data row {first + int(row) + 1}"
            raise DataError(f"{path}: {where}: {short(text)!r} is not a number{comma}")
        numbers[row] = float(text)
        if "." not in text and "e" not in text.lower() and abs(int(text)) > LARGEST_EXACT:
            raise DataError(too_large(path, "column", name, first + int(row), text.strip()))
    return numbers
