"""CSV files: UTF-8, comma-separated, a header line, decimal points."""

from __future__ import annotations

import codecs
import csv
import math
import re
from collections.abc import Iterator, Sequence
from itertools import compress, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from ...errors import DataError
from ...log import LOGGER
from ..columns import Column
from .common import LARGEST_EXACT, Rows, abbreviate, as_floats, find_columns, stack_columns, too_large_message

if TYPE_CHECKING:
    import pandas as pd

CHUNK_CELLS = 2_000_000
"""Cells of one chunk, including unused columns: a file may have ten thousand columns."""

NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
INFINITE = re.compile(r"\s*([+-]?)(inf(inity)?|1\.#inf)\s*", re.ASCII | re.IGNORECASE)
NO_NUMBER = re.compile(r"\s*([+-]?(nan(\(\w*\))?|1\.#(ind|qnan|snan))|na|<na>|n/a|#n/a( n/a)?|#na|null|none)?\s*",
                       re.ASCII | re.IGNORECASE)  # fmt: skip
"""Cells without a number, as C, Fortran, Excel, pandas and databases write them; an empty cell is one."""

COMMENT = "#"
BLANKS = " \t\r\n"
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}


def read_csv(path: Path, columns: Sequence[Column], _tree: str, limit: int | None) -> Iterator[Rows]:
    """Read a CSV file, chunk by chunk.

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
    import pandas as pd  # noqa: PLC0415 (635 ms)

    _check_encoding(path)
    try:
        with _text(path) as file:
            header, line = _header(path, file, columns)
            names = find_columns(path, columns, header, "column")
            _check_lengths(path, file, line, header, limit)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text ({error.reason}); save it as UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{path}: is not CSV ({error}); save it as comma-separated UTF-8 text") from None
    positions = {key: header.index(name) for key, name in names.items()}
    with _text(path) as file:
        for _ in range(line):
            file.readline()
        reader = pd.read_csv(
            file,
            header=None,
            names=range(len(header)),
            usecols=sorted(set(positions.values())),
            index_col=False,
            skipinitialspace=True,
            low_memory=False,  # one type per column of a chunk, which is small
            chunksize=max(1, CHUNK_CELLS // len(header)),
            nrows=limit,
        )
        with reader:
            for chunk in reader:
                values = {key: _numbers(path, names[key], chunk[position]) for key, position in positions.items()}
                yield stack_columns(columns, values)


def _text(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig")  # accepts all line ends and removes a byte-order mark


def _check_encoding(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(4096)
    if not start:
        raise DataError(f"{path}: is empty; leave the file out")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path}: is UTF-16 text; convert it to UTF-8, for example with `iconv -f UTF-16 -t UTF-8`")
    if b"\0" in start:
        raise DataError(f"{path}: is not a text file; a ROOT, Parquet or NumPy file needs the suffix of its format")
    if start.startswith(codecs.BOM_UTF8):
        LOGGER.info("%s: starts with a byte-order mark, which is no part of the first name", path.name)


def _rows(file: TextIO, first_line: int = 1) -> Iterator[tuple[int, str]]:
    """Yield number and text of all lines that are not blank; `first_line` is the number of the next line."""
    return ((number, line) for number, line in enumerate(file, start=first_line) if line.strip(BLANKS))


def _find_header(path: Path, file: TextIO) -> tuple[int, str]:
    """Return number and text of the line with the column names, and leave `file` below it.

    Comments may stand above the names. `numpy.savetxt` writes the names themselves as a comment: then the next line
    contains numbers.
    """
    comment: tuple[int, str] | None = None
    for number, line in _rows(file):
        if line.startswith(COMMENT):
            comment = number, line.lstrip(COMMENT)
        elif comment is not None and all(_is_numeric(cell) for cell in _cells(line)):
            break
        else:
            return number, line
    if comment is None:
        return 0, ""
    LOGGER.info("%s: the column names are taken from line %d, which starts with %s", path.name, comment[0], COMMENT)
    file.seek(0)
    for _ in range(comment[0]):
        file.readline()
    return comment


def _header(path: Path, file: TextIO, columns: Sequence[Column]) -> tuple[list[str], int]:
    """Return the column names and the number of their line.

    Raises:
        DataError: The line is not a header, or its separator is not a comma.
    """
    number, line = _find_header(path, file)
    header = _cells(line)
    known = {name for column in columns for name in column.names}
    for separator, word in SEPARATORS.items():
        names = {name.strip(" \"'") for name in line.strip().split(separator)}
        if len(known & names) > len(known.intersection(header)):
            raise DataError(f"{path}: the columns are separated by {word}; save the file with commas between columns "
                            "and decimal points in numbers")  # fmt: skip
    if header and all(_is_numeric(name) for name in header):
        raise DataError(f"{path}: the header is missing, the first line contains numbers; add a line with the column "
                        "names above them")  # fmt: skip
    if len(header) < 2:
        raise DataError(f"{path}: the first line, {abbreviate(line.strip())!r}, does not contain the column names; "
                        "start the file with a line of column names, separated by commas")  # fmt: skip
    return header, number


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], skipinitialspace=True), [])]


def _is_numeric(cell: str) -> bool:
    return any(pattern.fullmatch(cell) for pattern in (NUMBER, INFINITE, NO_NUMBER))


def _check_lengths(path: Path, file: TextIO, header_line: int, header: Sequence[str], limit: int | None) -> None:
    """Check that each row has as many cells as the header; pandas would fill or cut the row.

    Args:
        path: File, for messages.
        file: Positioned below the header.
        header_line: Number of the line of the header.
        header: Column names.
        limit: Largest number of rows; None: all.

    Raises:
        DataError: A row has more or fewer cells.
    """
    for number, line in islice(_rows(file, header_line + 1), limit):
        cells = line.count(",") + 1 if '"' not in line else _quoted_cells(path, number, line)
        if cells != len(header):
            if line.startswith(COMMENT):
                raise DataError(f"{path}: line {number} is a comment below the header; remove the line")
            hint = "use decimal points instead of commas, or correct header or row"
            if cells < len(header):
                hint = "check that the file is complete, or correct the row"
            raise DataError(f"{path}: line {number} has {cells} cells, the header has {len(header)}; {hint}")


def _quoted_cells(path: Path, number: int, line: str) -> int:
    """Return the number of cells in `line`.

    Raises:
        DataError: A quotation mark is not closed. pandas would continue the cell in the next line, and rows
            would be lost in a cell that is not used.
    """
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
    rows = np.flatnonzero(column.notna().to_numpy())
    texts = [str(value) for value in values[rows]]
    is_number = np.array([NUMBER.fullmatch(text) is not None for text in texts], dtype=np.bool_)
    numbers = np.full(len(column), np.nan)
    numbers[rows[is_number]] = [float(text) for text in compress(texts, is_number)]
    is_large = np.abs(numbers[rows]) >= LARGEST_EXACT
    for place in np.flatnonzero(~is_number | is_large):
        row, text = int(rows[place]), texts[place]
        if not is_number[place]:
            numbers[row] = _special_value(path, f"column '{name}', data row {first + row + 1}", text)
        elif "." not in text and "e" not in text.lower() and abs(int(text)) > LARGEST_EXACT:
            raise DataError(too_large_message(path, "column", name, first + row, text.strip()))
    return numbers


def _special_value(path: Path, where: str, text: str) -> float:
    """Return the infinity or nan that `text` stands for.

    Raises:
        DataError: It stands for none.
    """
    if infinite := INFINITE.fullmatch(text):
        return -math.inf if infinite[1] == "-" else math.inf
    if NO_NUMBER.fullmatch(text):
        return math.nan
    comma = "; use a decimal point" if NUMBER.fullmatch(text.replace(",", ".")) else "; correct or remove it"
    raise DataError(f"{path}: {where}: {abbreviate(text)!r} is not a number{comma}")
