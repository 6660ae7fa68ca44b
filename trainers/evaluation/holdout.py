"""Points whose truth is known, from scan files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.columns import LSP_COLUMNS, PARAMETERS
from ..data.duplicates import first_occurrences, point_keys
from ..data.lsp import classify
from ..data.outcomes import USABLE
from ..data.reading import read_chunks
from ..data.scan import cut_result
from ..data.scan_files import ScanSelection, find_files
from ..errors import DataError
from ..log import LOGGER
from .model_scores import KnownPoints

TARGET = len(PARAMETERS)


@dataclass(frozen=True)
class Holdout:
    """Rows of the files, each point once.

    Attributes:
        files: The files.
        known: Points that all models can use.
        read: Rows read.
        all_points: Physical parameters of all rows with finite parameters, also of those that are cut, shape (m, 19).
        outcomes: Index into OUTCOMES of these rows by the cuts of each model, shape (models, m).
    """

    files: tuple[Path, ...]
    known: KnownPoints
    read: int
    all_points: NDArray[np.float64]
    outcomes: NDArray[np.int8]


def read_holdout(patterns: Sequence[str], selections: Sequence[ScanSelection]) -> Holdout:
    """Read the points that all selections can use, and the outcomes of all rows.

    Args:
        patterns: Files, folders and globs.
        selections: Target and cuts of each model; they have one branch.

    Raises:
        DataError: A file cannot be read, or no rows are left.
    """
    files = tuple(find_files(patterns))
    every = _all_columns(selections)
    positions = every.positions()
    lsp_columns = [positions[name] for name in LSP_COLUMNS]
    kept, cuts, read = [], [], 0
    for path in files:
        for rows in read_chunks(path, every.columns(), tree=every.tree):
            cuts.append(np.stack([cut_result(rows, one, positions).outcomes for one in selections]))
            kept.append(np.column_stack([rows[:, : TARGET + 1], classify(rows[:, lsp_columns])]))
            read += len(rows)
    rows, outcomes = np.concatenate(kept), np.concatenate(cuts, axis=1)
    usable = (outcomes == USABLE).all(axis=0)
    finite = np.isfinite(rows[:, :TARGET]).all(axis=1)
    points = rows[usable][_is_first(rows[usable])]
    if not len(points):
        raise DataError(f"{files[0]}: none of the {read:,} rows is within {every.target.cuts}; provide others")
    LOGGER.info("%s rows read, %s usable points", f"{read:,}", f"{len(points):,}")
    first = np.flatnonzero(finite)[_is_first(rows[finite])]
    return Holdout(
        files, KnownPoints(points[:, :TARGET], points[:, TARGET], points[:, -1].astype(np.int8)), read,
        all_points=rows[first, :TARGET], outcomes=outcomes[:, first],
    )  # fmt: skip


def _all_columns(selections: Sequence[ScanSelection]) -> ScanSelection:
    """Return a selection whose columns are those of all selections together."""
    return replace(
        selections[0],
        neutralino_lsp=any(one.neutralino_lsp for one in selections),
        require=tuple(dict.fromkeys(condition for one in selections for condition in one.require)),
    )


def _is_first(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which rows are the first of their point, shape (n,)."""
    return np.asarray(first_occurrences(point_keys(rows[:, :TARGET])) == np.arange(len(rows)))
