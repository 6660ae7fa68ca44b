"""Description of scan files: `prepare` writes it to meta.json, `check` prints it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..log import LOGGER
from ..progress import log_progress
from .columns import PARAMETERS
from .data_report import class_counts, target_statistics
from .row_spool import Rows, RowSpool
from .scan import DUPLICATE, TARGET, TRAIN, VAL, WIDTH, Scan, read_scan
from .scan_files import ScanSelection, find_files, sample_files
from .standardize import Standardizer, fit_standardizer
from .targets import FAILED, Target


@dataclass(frozen=True)
class Subset:
    """The training or the validation rows of a scan.

    Attributes:
        scan: All usable rows.
        number: TRAIN or VAL.
        target: Target to learn.
    """

    scan: Scan
    number: int
    target: Target

    def __len__(self) -> int:
        return self.scan.count(self.number)

    def learned_rows(self) -> Iterator[Rows]:
        """Yield the 19 parameters and the learned value of the target.

        Yields:
            Arrays of shape (k, 20).
        """
        for rows in self._rows():
            yield np.column_stack([rows[:, :TARGET], self.target.forward(rows[:, TARGET])])

    def classes(self) -> Iterator[Rows]:
        """Yield the classes of the lightest sparticle, arrays of shape (k,)."""
        for rows in self._rows():
            yield rows[:, -1]

    def _rows(self) -> Iterator[Rows]:
        return self.scan.spool.chunks(self.scan.part == self.number)


@dataclass(frozen=True)
class Survey:
    """Contents of scan files.

    Attributes:
        train: Training rows.
        val: Validation rows.
        scaling: Standardizer of the training rows.
        meta: Description for meta.json.
    """

    train: Subset
    val: Subset
    scaling: Standardizer
    meta: dict[str, Any]


def select_files(patterns: Sequence[str], selection: ScanSelection) -> list[Path]:
    """Return the files that match `patterns`, at most `selection.n_datasets`.

    Raises:
        DataError: No file matches.
    """
    return find_files(patterns)[: selection.n_datasets]


def check(patterns: Sequence[str], selection: ScanSelection) -> dict[str, Any]:
    """Return the description of scan files without preparing them.

    Args:
        patterns: Files, folders and globs; empty: the embedded sample.
        selection: Rows and target to use.

    Raises:
        DataError: The files contain nothing to train on.
    """

    def describe(files: Sequence[Path]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder, survey(Path(folder), files, selection) as result:
            return result.meta

    if patterns:
        return describe(select_files(patterns, selection))
    with sample_files() as files:
        LOGGER.info("No --data given: taking the embedded sample")
        return describe(files[: selection.n_datasets])


@contextmanager
def survey(folder: Path, files: Sequence[Path], selection: ScanSelection) -> Iterator[Survey]:
    """Read scan files and describe them.

    Args:
        folder: Folder for an unnamed file with the rows, which exists while the block runs.
        files: Files to read.
        selection: Rows and target to use.

    Raises:
        DataError: A file cannot be read, or there is nothing to learn.
    """
    with log_progress() as progress, RowSpool(folder, WIDTH) as spool:
        scan = read_scan(files, selection, spool, progress)
        progress.task = f"Describing {spool.rows:,} points"
        train, val = Subset(scan, TRAIN, selection.target), Subset(scan, VAL, selection.target)
        scaling = fit_standardizer(train.learned_rows)
        if scaling.std[-1] == 0:
            where = f"{files[0]}{' …' if files[1:] else ''}"
            raise DataError(f"{where}: {selection.target.branch} has the same value in all {len(train)} training "
                            "rows, so there is nothing to learn; provide more rows")  # fmt: skip
        description = _describe(scan, scaling, selection)
        progress.task = f"Writing the arrays of {spool.rows:,} points"
        yield Survey(train, val, scaling, description)


def _describe(scan: Scan, scaling: Standardizer, selection: ScanSelection) -> dict[str, Any]:
    kept = scan.part != DUPLICATE
    return {
        "parameters": list(PARAMETERS),
        "target": selection.target.as_dict(),
        "neutralino_lsp": selection.neutralino_lsp,
        "require": [str(one) for one in selection.require],
        **{key: value.tolist() for key, value in vars(scaling).items()},
        "constant": [name for name, std in zip(PARAMETERS, scaling.std, strict=False) if std == 0],
        "counts": {
            "read": sum(one.read for one in scan.files),
            "usable": len(scan.part),
            "copies": scan.count(DUPLICATE),
            "train": scan.count(TRAIN),
            "val": scan.count(VAL),
        },
        "conflicts": scan.conflicts,
        "minus_ones": int((scan.targets[kept] == FAILED).sum()),
        "failed_higgs": dict(scan.failed_higgs),
        "cuts": dict(scan.dropped),
        "not_finite": dict(scan.not_finite),
        "files": [one.as_dict() for one in scan.files],
        "lsp": class_counts(scan.classes[kept]),
        "target_figures": target_statistics(scan.targets[kept]),
        "seed": selection.seed,
        "sources": [str(one.path) for one in scan.files],
    }
