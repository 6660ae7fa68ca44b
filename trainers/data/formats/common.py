"""What the readers share: which column of a file is meant, and whether it holds plain numbers."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..columns import LSP_COLUMNS, LSP_TYPE, PARAMETERS, Column
from ..targets import TARGETS

Rows = NDArray[np.float64]

LARGEST_EXACT = 2**53
"""Beyond it a float64 can't hold every integer."""


def find_columns(path: Path, columns: Sequence[Column], present: Sequence[str], kind: str) -> dict[str, str]:
    """For each of `columns` that the file has, what the file calls it; `kind`: column, branch, array.

    Raises DataError where a required one is missing, with names that look like it, or a needed one occurs twice.
    """
    times = Counter(present)
    found = {column.name: next((name for name in column.names if name in times), None) for column in columns}
    missing = [column for column in columns if column.required and found[column.name] is None]
    if missing:
        others = [name for name in times if name not in found.values()]
        raise DataError(_missing(path, missing, others, kind))
    twice = [name for name in found.values() if name is not None and times[name] > 1]
    if twice:
        raise DataError(f"{path}: {kind} '{twice[0]}' occurs {times[twice[0]]} times; keep one of them")
    return {name: there for name, there in found.items() if there is not None}


def _missing(path: Path, missing: Sequence[Column], present: Sequence[str], kind: str) -> str:
    wanted = missing[0].names[0]
    same = [name for name in present if name.lower() == wanted.lower()]
    near = same or difflib.get_close_matches(wanted, present, n=2, cutoff=0.6)
    hint = f" (did you mean {' or '.join(repr(short(name)) for name in near)}?)" if near else ""
    more = f", nor {', '.join(one.names[0] for one in missing[1:4])}{' …' if len(missing) > 4 else ''}"
    name = missing[0].name
    remedy = f"--branches {name.removeprefix('IN_')}={short(near[0]) if near else kind.upper()}"
    if name not in (*PARAMETERS, *LSP_COLUMNS):
        remedy += f", or another --target ({', '.join(TARGETS)})"
    if name == LSP_TYPE:
        remedy += ", or leave out --neutralino-lsp"
    return f"{path}: no {kind} named '{wanted}'{hint}{more if missing[1:] else ''}; rename it, or give {remedy}"


def short(name: str) -> str:
    """`name`, cut to 60 characters."""
    return name if len(name) <= 60 else name[:59] + "…"


def as_floats(path: Path, kind: str, name: str, values: NDArray[Any], *, first_row: int = 0) -> Rows:
    """`values` `(n,)`, the first of them in row `first_row` of the file, as float64.

    Raises DataError where that would change them, or they are not plain numbers.
    """
    check_plain(path, kind, name, values.dtype, values.ndim)
    if values.dtype.kind in "iu":
        large = np.flatnonzero((values > LARGEST_EXACT) | (values < -LARGEST_EXACT))
        if large.size:
            row = int(large[0])
            raise DataError(too_large(path, kind, name, first_row + row, str(values[row])))
    return np.asarray(values, dtype=np.float64)


def too_large(path: Path, kind: str, name: str, row: int, value: str) -> str:
    """What to say of an integer in `row`, counted from 0, that a float64 can't hold."""
    return (
        f"{path}: {kind} '{name}', data row {row + 1}: {short(value)} is too large an integer to be kept exactly; "
        "store floating-point numbers"
    )


def check_plain(path: Path, kind: str, name: str, dtype: np.dtype[np.generic], ndim: int) -> None:
    """Nothing. Raises DataError where arrays of this type do not hold one real number a row."""
    if dtype.kind not in "fiu" or dtype.subdtype is not None or ndim != 1:
        what = f"{ndim}-dimensional" if dtype.kind in "fiu" and ndim != 1 else f"of type {dtype}"
        raise DataError(f"{path}: {kind} '{name}' does not hold one number a row (it is {what}); "
                        "store it as a flat column of floating-point numbers")  # fmt: skip


def stack(columns: Sequence[Column], values: Mapping[str, Rows]) -> Rows:
    """`values`, by the names of `columns`, side by side, `(n, columns)`; nan where the file has no such column."""
    count = len(next(iter(values.values())))
    return np.column_stack([values.get(column.name, np.full(count, np.nan)) for column in columns])
