"""Points whose truth is known, from scan files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.columns import LSP_COLUMNS, PARAMETERS
from ..data.cuts import apply_cuts
from ..data.duplicates import first_occurrences, point_keys
from ..data.lsp import classify
from ..data.reading import read_chunks
from ..data.scan_files import ScanSelection, find_files
from ..errors import DataError
from ..log import LOGGER

TARGET = len(PARAMETERS)


@dataclass(frozen=True)
class Holdout:
    """Usable points of the files, each once.

    Attributes:
        files: The files.
        points: Physical parameters, shape (n, 19).
        true: True values of the target, physical, shape (n,).
        lsp: Index into LSP_CLASSES, shape (n,).
        read: Rows read.
    """

    files: tuple[Path, ...]
    points: NDArray[np.float64]
    true: NDArray[np.float64]
    lsp: NDArray[np.int8]
    read: int


def read_holdout(patterns: Sequence[str], selections: Sequence[ScanSelection]) -> Holdout:
    """Read the rows that all selections can use.

    Args:
        patterns: Files, folders and globs.
        selections: Target and cuts of each model; their columns are the same.

    Raises:
        DataError: A file cannot be read, or no rows are left.
    """
    files = tuple(find_files(patterns))
    kept, read = [], 0
    positions = selections[0].positions()
    lsp_columns = [positions[name] for name in LSP_COLUMNS]
    for path in files:
        for rows in read_chunks(path, selections[0].columns(), tree=selections[0].tree):
            values, lsp = rows[:, : TARGET + 1], rows[:, lsp_columns]
            usable = np.ones(len(rows), dtype=np.bool_)
            for selection in selections:
                usable &= apply_cuts(values, selection.target, lsp[:, 0] if selection.neutralino_lsp else None).usable
            kept.append(np.column_stack([values[usable], classify(lsp[usable])]))
            read += len(rows)
    rows = np.concatenate(kept)
    keys = point_keys(rows[:, :TARGET])
    rows = rows[first_occurrences(keys) == np.arange(len(rows))]
    if not len(rows):
        raise DataError(f"{files[0]}: none of the {read:,} rows is within {selections[0].target.cuts}; provide others")
    LOGGER.info("%s rows read, %s usable points", f"{read:,}", f"{len(rows):,}")
    return Holdout(files, rows[:, :TARGET], rows[:, TARGET], rows[:, -1].astype(np.int8), read)
