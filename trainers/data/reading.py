"""Scan files as chunks of numbers, `(n, 20)` float64: the 19 parameters and Ωh²."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .columns import COLUMNS, TREE

if TYPE_CHECKING:
    import pandas as pd

CHUNK_ROWS = 100_000
ROOT_CHUNK = "64 MB"

Rows = NDArray[np.float64]


def read_chunks(path: Path, limit: int | None) -> Iterator[Rows]:
    """The first `limit` rows of `path` (all: None), chunk by chunk.

    Raises DataError, naming the file and the field, where it can't be read, is empty or lacks a column.
    """
    read = _read_root if path.suffix.lower() == ".root" else _read_csv
    rows = 0
    try:
        for chunk in read(path, limit):
            rows += len(chunk)
            yield chunk
    except (DataError, MemoryError):
        raise
    except PermissionError as error:
        raise DataError(f"{path}: may not be read ({error.strerror}); change its permissions") from error
    except Exception as error:  # damaged bytes make the readers raise nearly any class there is
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(f"{path}: can't be read, is it complete? ({type(error).__name__}: {reason[:200]})") from error
    if rows == 0:
        raise DataError(f"{path}: holds no rows; leave the file out")


def check_columns(path: Path, present: Iterable[str], kind: str) -> None:
    """Nothing; raises DataError where one of the 20 columns is missing, with names that look like it."""
    names = list(present)
    missing = [column for column in COLUMNS if column not in names]
    if not missing:
        return
    near = difflib.get_close_matches(missing[0], names, n=3, cutoff=0.6)
    hint = f" (did you mean {' or '.join(repr(name) for name in near)}?)" if near else ""
    more = f", nor {', '.join(missing[1:4])}{' …' if len(missing) > 4 else ''}" if len(missing) > 1 else ""
    raise DataError(f"{path}: no {kind} named '{missing[0]}'{hint}{more}; rename it to what `prepare --help` lists")


def _read_root(path: Path, limit: int | None) -> Iterator[Rows]:
    import uproot  # noqa: PLC0415 (650 ms)

    with uproot.open(path) as file:
        keys = sorted({key.partition(";")[0] for key in file.keys()})  # noqa: SIM118 (not a dict)
        if TREE not in keys:
            listing = ", ".join(keys[:5]) or "nothing"
            raise DataError(f"{path}: no tree named '{TREE}', the file holds {listing}; rename the tree to '{TREE}'")
        tree: Any = file[TREE]
        if not hasattr(tree, "iterate"):
            raise DataError(f"{path}: '{TREE}' is a {type(tree).__name__}, not a tree")
        check_columns(path, tree.keys(), "branch")
        for arrays in tree.iterate(list(COLUMNS), library="np", step_size=ROOT_CHUNK, entry_stop=limit):
            for column in COLUMNS:
                if arrays[column].dtype.kind not in "fiu" or arrays[column].ndim != 1:
                    raise DataError(f"{path}: branch '{column}' does not hold one number a row")
            yield np.stack([arrays[column].astype(np.float64) for column in COLUMNS], axis=1)


def _read_csv(path: Path, limit: int | None) -> Iterator[Rows]:
    import pandas as pd  # noqa: PLC0415 (635 ms)

    try:
        header = pd.read_csv(path, nrows=0, skipinitialspace=True)
    except pd.errors.EmptyDataError:
        raise DataError(f"{path}: is empty; leave the file out") from None
    header.columns = header.columns.str.strip()
    check_columns(path, header.columns, "column")
    positions = [list(header.columns).index(column) for column in COLUMNS]
    reader = pd.read_csv(
        path,
        header=0,
        names=list(header.columns),
        index_col=False,
        skipinitialspace=True,
        chunksize=CHUNK_ROWS,
        nrows=limit,
        on_bad_lines="error",
    )
    with reader:
        for chunk in reader:
            columns = (chunk.iloc[:, position] for position in positions)
            numbers = [_numbers(path, name, column) for name, column in zip(COLUMNS, columns, strict=True)]
            yield np.stack(numbers, axis=1)


def _numbers(path: Path, name: str, column: pd.Series[Any]) -> Rows:
    if column.dtype.kind in "fiu":
        return np.asarray(column, dtype=np.float64)
    numbers = column.map(_number_or_nan)
    wrong = column[numbers.isna() & column.notna()]
    if len(wrong):
        row, text = next(iter(wrong.items()))
        raise DataError(f"{path}: column '{name}', data row {int(str(row)) + 1}: {str(text)[:40]!r} is not a number")
    return np.asarray(numbers, dtype=np.float64)


def _number_or_nan(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return float("nan")
