"""One pass over all scan files: usable rows in a spool, counts of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..log import LOGGER
from ..progress import Progress
from .columns import HIGGS_MASS, LSP_COLUMNS, LSP_TYPE, PARAMETERS
from .cuts import CutResult, apply_cuts
from .duplicates import Keys, first_occurrences, point_keys
from .file_counts import FileCount, drop_summary, total
from .lsp import classify
from .outcomes import CutRows
from .reading import read_chunks
from .row_spool import Rows, RowSpool
from .scan_files import ScanSelection, find_files
from .targets import FAILED

VALIDATION_SHARE = 0.1
WIDTH = len(PARAMETERS) + 2
"""Columns of the spool: 19 parameters, target (physical), class of the lightest sparticle."""

TARGET = len(PARAMETERS)
CLASS = TARGET + 1
PHYSICS = WIDTH
"""First of the physics columns, which a spool has behind the others if the selection needs them."""

NO_PHYSICS = "physics features not finite"
TRAIN, VAL, DUPLICATE, CALIBRATION, HOLDOUT = 0, 1, 2, 3, 4


@dataclass(frozen=True)
class Scan:
    """All usable rows of the files.

    Attributes:
        spool: The rows: 19 parameters, target and class.
        part: TRAIN, VAL, DUPLICATE, CALIBRATION or HOLDOUT for each row, shape (n,).
        targets: Physical values, shape (n,).
        classes: Index into LSP_CLASSES, shape (n,).
        files: Counts of each file.
        conflicts: Duplicates whose target differs from that of the row that is kept.
        cut: The other rows.
    """

    spool: RowSpool
    part: NDArray[np.int8]
    targets: Rows
    classes: NDArray[np.int8]
    files: list[FileCount]
    conflicts: int
    cut: CutRows

    def count(self, part: int) -> int:
        """Return the number of rows in `part`."""
        return int((self.part == part).sum())

    @property
    def dropped(self) -> Counter[str]:
        """Dropped rows of all files by cut."""
        return total(one.dropped for one in self.files)

    @property
    def not_finite(self) -> Counter[str]:
        """By column, numbers of all files that are not finite."""
        return total(one.not_finite for one in self.files)

    @property
    def failed_higgs(self) -> Counter[str]:
        """Rows of all files whose Higgs mass could not be calculated: `read` and `usable`."""
        return total(one.failed_higgs for one in self.files)


def split(rows: int, seed: int, calibration: float = 0.0) -> NDArray[np.int8]:
    """Assign rows at random to validation, calibration and training.

    Each part that is asked for gets at least one row if there are enough. The validation rows do not depend on
    `calibration`.

    Args:
        rows: Number of rows; with fewer than 2, or 3 with `calibration`, some parts are empty.
        seed: Seed of the permutation.
        calibration: Share of the calibration part.

    Returns:
        TRAIN, VAL or CALIBRATION, shape (rows,).
    """
    order = np.random.default_rng(seed).permutation(rows)
    val = max(1, round(rows * VALIDATION_SHARE))
    aside = max(1, round(rows * calibration)) if calibration else 0
    part = np.full(rows, TRAIN, dtype=np.int8)
    part[order[:val]] = VAL
    part[order[val : val + aside]] = CALIBRATION
    return part


def read_scan(files: Sequence[Path], selection: ScanSelection, spool: RowSpool, progress: Progress) -> Scan:
    """Read all files, write their usable rows to `spool`, and log a line per file.

    Args:
        files: Files to read.
        selection: Rows and target to use.
        spool: File for the rows.
        progress: Says which file is being read.

    Raises:
        DataError: A file cannot be read, or no rows are left to train on.
    """
    counts: list[FileCount] = []
    keys: list[Keys] = []
    targets_and_classes: list[Rows] = []
    cut: list[tuple[NDArray[np.float32], NDArray[np.int8], NDArray[np.bool_]]] = []
    columns, read = selection.columns(), 0
    holdout = find_files(selection.fixed_holdout, option="--fixed-holdout")
    for number, path in enumerate(files, start=1):
        count = FileCount(path, path in holdout)
        counts.append(count)
        progress.task = f"Reading {path.name} ({number} of {len(files)})"
        for rows in read_chunks(path, columns, tree=selection.tree, limit=_limit(selection, read, count)):
            result = cut_result(rows, selection, selection.positions())
            usable = _select_usable(rows, result, selection, count)
            points, outcomes = _select_cut(rows, result)
            cut.append((points, outcomes, np.full(len(points), count.is_holdout)))
            if selection.uses_physics:
                usable = _with_physics(usable, count)
            progress.task = f"Reading {path.name} ({number} of {len(files)}): {count.read:,} rows"
            spool.append(usable)
            keys.append(point_keys(usable[:, :TARGET]))
            targets_and_classes.append(usable[:, TARGET:PHYSICS].copy())
        read += 0 if count.is_holdout else count.read
        is_enough = selection.max_rows is not None and read >= selection.max_rows
        expected = number if is_enough else len(files)
        LOGGER.info("File %d/%d %s: %s rows, %s usable%s", number, expected, path.name, f"{count.read:,}",
                    f"{count.usable:,}",
                    "".join(f"; {cut}: {n:,}" for cut, n in count.dropped.items() if n))  # fmt: skip
        if is_enough:
            if number < len(files):
                LOGGER.warning("--testing reads %s rows at most: %d more files were not read",
                               f"{selection.max_rows:,}", len(files) - number)  # fmt: skip
            break
    progress.task = f"Looking for copies among {spool.rows:,} points"
    points, outcomes, is_holdout = (np.concatenate(parts) for parts in zip(*cut, strict=True))
    return _split_scan(spool, counts, np.concatenate(keys), np.concatenate(targets_and_classes), selection=selection,
                       cut=_split_cut(points, outcomes, is_holdout, selection))  # fmt: skip


def _limit(selection: ScanSelection, read: int, count: FileCount) -> int | None:
    """Return the largest number of rows to read from a file; None: all. The options do not shorten a holdout."""
    if count.is_holdout:
        return selection.max_rows
    limits = [limit for limit in (selection.n_samples, selection.max_rows and selection.max_rows - read) if limit]
    return min(limits, default=None)


def cut_result(rows: Rows, selection: ScanSelection, positions: Mapping[str, int]) -> CutResult:
    """Apply the cuts of `selection`.

    Args:
        rows: Rows of a file.
        selection: Target and cuts.
        positions: Column of `rows` by name; the 19 parameters and the target are the first.
    """
    lsp_type = rows[:, positions[LSP_TYPE]] if selection.neutralino_lsp else None
    violations = {f"not {one}": one.violated(rows[:, positions[one.column]]) for one in selection.require}
    return apply_cuts(rows[:, : TARGET + 1], selection.target, lsp_type, violations)


def _select_cut(rows: Rows, result: CutResult) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Return the points of the cut rows that have finite parameters, and their outcomes."""
    with np.errstate(over="ignore"):
        points = rows[~result.usable, :TARGET].astype(np.float32)
    finite = np.isfinite(points).all(axis=1)
    return points[finite], result.outcomes[~result.usable][finite]


def _split_cut(
    points: NDArray[np.float32], outcomes: NDArray[np.int8], is_holdout: NDArray[np.bool_], selection: ScanSelection
) -> CutRows:
    first = first_occurrences(point_keys(points.astype(np.float64))) == np.arange(len(points))
    return CutRows(points[first], outcomes[first], _parts(is_holdout[first], selection))


def _parts(is_holdout: NDArray[np.bool_], selection: ScanSelection) -> NDArray[np.int8]:
    """Return the part of each row: no training sees those of the fixed holdout."""
    part = np.full(len(is_holdout), HOLDOUT, dtype=np.int8)
    part[~is_holdout] = split(int((~is_holdout).sum()), selection.seed, selection.calibration)
    return part


def _select_usable(rows: Rows, result: CutResult, selection: ScanSelection, count: FileCount) -> Rows:
    """Return the usable rows in the form of the spool, shape (k, 21), and update `count`.

    Args:
        rows: Rows of the file, with the columns of `selection`.
        result: Result of the cuts.
        selection: Target and cuts.
        count: Counts of this file.
    """
    positions = selection.positions()
    points, lsp = rows[:, : TARGET + 1], rows[:, [positions[name] for name in LSP_COLUMNS]]
    has_failed = rows[:, positions[HIGGS_MASS]] == FAILED
    count.failed_higgs.update(read=int(has_failed.sum()), usable=int((has_failed & result.usable).sum()))
    count.read += len(rows)
    count.usable += int(result.usable.sum())
    count.dropped.update(result.dropped)
    for column in np.flatnonzero(result.not_finite):
        count.not_finite[(*PARAMETERS, selection.target.branch)[column]] += int(result.not_finite[column])
    return np.column_stack([points[result.usable], classify(lsp[result.usable])])


def _with_physics(rows: Rows, count: FileCount) -> Rows:
    """Append the physics columns to rows of shape (k, 21), and update `count`.

    Rows without finite features are dropped: the formulas need a spectrum.
    """
    from .model_inputs import physics_columns  # noqa: PLC0415 (imports torch)

    physics = physics_columns(rows[:, :TARGET])
    finite = np.isfinite(physics).all(axis=1)
    dropped = len(rows) - int(finite.sum())
    if dropped:
        count.dropped[NO_PHYSICS] += dropped
        count.usable -= dropped
    return np.column_stack([rows, physics])[finite]


def _split_scan(
    spool: RowSpool, counts: list[FileCount], keys: Keys, ends: Rows, *, selection: ScanSelection, cut: CutRows
) -> Scan:
    first = first_occurrences(keys)
    is_duplicate = first != np.arange(len(first))
    start = 0
    for count in counts:
        count.duplicates = int(is_duplicate[start : start + count.usable].sum())
        start += count.usable
    part = np.full(len(first), DUPLICATE, dtype=np.int8)
    kept = len(first) - int(is_duplicate.sum())
    if kept < (3 if selection.calibration else 2):
        where = f"{counts[0].path}{' …' if counts[1:] else ''}"
        raise DataError(f"{where}: {kept} usable row{'' if kept == 1 else 's'} left, too few to train and validate; "
                        f"{drop_summary(counts, len(first) - kept)}; provide more rows")  # fmt: skip
    is_holdout = np.repeat([count.is_holdout for count in counts], [count.usable for count in counts])
    part[~is_duplicate] = _parts(is_holdout[~is_duplicate], selection)
    for name, number in (("training", TRAIN), ("validation", VAL), ("holdout", HOLDOUT)):
        if selection.fixed_holdout and not (part == number).any():
            raise DataError(f"--fixed-holdout {selection.fixed_holdout[0]}: leaves no usable {name} row; "
                            "use points that are not in --data, and a usable scan for each")  # fmt: skip
    targets, classes = ends[:, 0], ends[:, 1].astype(np.int8)
    return Scan(spool, part, targets, classes, counts, int((targets != targets[first]).sum()), cut)
