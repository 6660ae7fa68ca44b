"""From scan files to all that is known of them: what `prepare` writes down, and `check` prints."""

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
from .columns import PARAMETERS
from .data_report import class_counts, target_statistics
from .row_spool import Rows, RowSpool
from .scan import COPY, TARGET, TRAIN, VAL, WIDTH, Scan, scan_files
from .scan_files import ScanSelection, find_files, sample_files
from .standardize import Standardizer, measure
from .targets import FAILED, Target


@dataclass(frozen=True)
class Part:
    """The rows of a scan that train, or those that validate."""

    scan: Scan
    number: int
    target: Target

    def __len__(self) -> int:
        return self.scan.count(self.number)

    def learned(self) -> Iterator[Rows]:
        """The rows, `(k, 20)` at a time: the 19 parameters and what is learned of the target."""
        for rows in self._rows():
            yield np.column_stack([rows[:, :TARGET], self.target.forward(rows[:, TARGET])])

    def classes(self) -> Iterator[Rows]:
        """The class of the lightest sparticle of each row, `(k,)` at a time."""
        for rows in self._rows():
            yield rows[:, -1]

    def _rows(self) -> Iterator[Rows]:
        return self.scan.spool.chunks(self.scan.part == self.number)


@dataclass(frozen=True)
class Survey:
    """What scan files hold: the two parts, the scaling of what trains, and its description, for `meta.json`."""

    train: Part
    val: Part
    scaling: Standardizer
    meta: dict[str, Any]


def chosen_files(patterns: Sequence[str], choice: ScanSelection) -> list[Path]:
    """The files that `patterns` name, as many as are wanted. Raises DataError where there are none."""
    return find_files(patterns)[: choice.n_datasets]


def check(patterns: Sequence[str], choice: ScanSelection) -> dict[str, Any]:
    """The description of the files that `patterns` name (none: the embedded sample). Raises DataError."""

    def look(files: Sequence[Path]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder, survey(Path(folder), files, choice) as found:
            return found.meta

    if patterns:
        return look(chosen_files(patterns, choice))
    with sample_files() as files:
        LOGGER.info("No --data given: taking the embedded sample")
        return look(files[: choice.n_datasets])


@contextmanager
def survey(folder: Path, files: Sequence[Path], choice: ScanSelection) -> Iterator[Survey]:
    """The survey of `files`, whose rows lie in a nameless file in `folder` until the block ends.

    Raises DataError where a file can't be read, or there is nothing to learn.
    """
    with RowSpool(folder, WIDTH) as spool:
        scan = scan_files(files, choice, spool)
        train, val = Part(scan, TRAIN, choice.target), Part(scan, VAL, choice.target)
        scaling = measure(train.learned)
        if scaling.std[-1] == 0:
            raise DataError(f"{files[0]}{' …' if files[1:] else ''}: {choice.target.branch} is the same in all "
                            f"{len(train)} training rows, so there is nothing to learn; give more rows")  # fmt: skip
        yield Survey(train, val, scaling, _describe(scan, scaling, choice))


def _describe(scan: Scan, scaling: Standardizer, choice: ScanSelection) -> dict[str, Any]:
    kept = scan.part != COPY
    return {
        "parameters": list(PARAMETERS),
        "target": choice.target.as_dict(),
        "neutralino_lsp": choice.neutralino_lsp,
        **{key: value.tolist() for key, value in vars(scaling).items()},
        "constant": [name for name, std in zip(PARAMETERS, scaling.std, strict=False) if std == 0],
        "counts": {
            "read": sum(one.read for one in scan.files),
            "usable": len(scan.part),
            "copies": scan.count(COPY),
            "train": scan.count(TRAIN),
            "val": scan.count(VAL),
        },
        "conflicts": scan.conflicts,
        "minus_ones": int((scan.targets[kept] == FAILED).sum()),
        "cuts": dict(scan.fell),
        "not_finite": dict(scan.not_finite),
        "files": [one.as_dict() for one in scan.files],
        "lsp": class_counts(scan.classes[kept]),
        "target_figures": target_statistics(scan.targets[kept]),
        "seed": choice.seed,
        "sources": [str(one.path) for one in scan.files],
    }
