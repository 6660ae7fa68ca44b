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
from .outcomes import CutRows
from .row_spool import Rows, RowSpool
from .scan import CALIBRATION, CLASS, DUPLICATE, HOLDOUT, PHYSICS, TARGET, TRAIN, VAL, WIDTH, Scan, read_scan
from .scan_files import ScanSelection, before_round, find_files, sample_files, with_holdout
from .standardize import Standardizer, fit_standardizer
from .targets import FAILED, Target


@dataclass(frozen=True)
class Subset:
    """The training, validation, calibration or holdout rows of a scan.

    Attributes:
        scan: All usable rows.
        number: TRAIN, VAL, CALIBRATION or HOLDOUT.
        target: Target to learn.
        features: Physics columns that are inputs.
        reference: Physics column of the reference of the target; None: the target has none.
    """

    scan: Scan
    number: int
    target: Target
    features: Sequence[int] = ()
    reference: int | None = None

    def __len__(self) -> int:
        return self.scan.count(self.number)

    def learned_rows(self) -> Iterator[Rows]:
        """Yield the 19 parameters, the features, and the learned value of the target.

        Yields:
            Arrays of shape (k, 20 + features).
        """
        for rows in self._rows():
            physics = rows[:, PHYSICS:]
            reference = None if self.reference is None else physics[:, self.reference]
            learned = self.target.forward(rows[:, TARGET], reference)
            yield np.column_stack([rows[:, :TARGET], physics[:, self.features], learned])

    def references(self) -> Iterator[Rows]:
        """Yield the references of the target, arrays of shape (k,); nothing if the target has none."""
        if self.reference is not None:
            for rows in self._rows():
                yield rows[:, PHYSICS + self.reference]

    def classes(self) -> Iterator[Rows]:
        """Yield the classes of the lightest sparticle, arrays of shape (k,)."""
        for rows in self._rows():
            yield rows[:, CLASS]

    def _rows(self) -> Iterator[Rows]:
        return self.scan.spool.chunks(self.scan.part == self.number)


@dataclass(frozen=True)
class Survey:
    """Contents of scan files.

    Attributes:
        train: Training rows.
        val: Validation rows.
        calibration: Rows set aside for intervals; may be empty.
        holdout: Rows of the fixed holdout; may be empty.
        scaling: Standardizer of `learned_rows` of the training rows.
        cut: Rows that were cut.
        meta: Description for meta.json.
    """

    train: Subset
    val: Subset
    calibration: Subset
    holdout: Subset
    scaling: Standardizer
    cut: CutRows
    meta: dict[str, Any]


def select_files(patterns: Sequence[str], selection: ScanSelection) -> list[Path]:
    """Return the files of the fixed holdout, and those that match `patterns`, at most `selection.n_datasets`.

    Raises:
        DataError: No file matches.
    """
    files = before_round(find_files(patterns), selection.before_round)
    if not files:
        raise DataError(f"--before-round {selection.before_round}: leaves no file of {patterns[0]}; add a scan of an "
                        "earlier round, or from before the first")  # fmt: skip
    return with_holdout(files[: selection.n_datasets], selection)


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
        return describe(with_holdout(files[: selection.n_datasets], selection))


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
    features, reference, physics_width = _physics_choice(selection)
    with log_progress() as progress, RowSpool(folder, WIDTH + physics_width) as spool:
        scan = read_scan(files, selection, spool, progress)
        progress.task = f"Describing {spool.rows:,} points"
        train, val, calibration, holdout = (
            Subset(scan, part, selection.target, features, reference) for part in (TRAIN, VAL, CALIBRATION, HOLDOUT)
        )
        scaling = fit_standardizer(train.learned_rows)
        if scaling.std[-1] == 0:
            where = f"{files[0]}{' …' if files[1:] else ''}"
            raise DataError(f"{where}: {selection.target.branch} has the same value in all {len(train)} training "
                            "rows, so there is nothing to learn; provide more rows")  # fmt: skip
        description = _describe(scan, scaling, selection)
        progress.task = f"Writing the arrays of {spool.rows:,} points"
        yield Survey(train, val, calibration, holdout, scaling, scan.cut, description)


def _physics_choice(selection: ScanSelection) -> tuple[list[int], int | None, int]:
    """Return the physics columns that are inputs, that of the reference, and their number in the spool."""
    if not selection.uses_physics:
        return [], None, 0
    from .model_inputs import feature_names, feature_numbers, physics_names  # noqa: PLC0415 (imports torch)

    names, target = physics_names(), selection.target
    features = feature_numbers(feature_names(target)) if selection.features == "physics" else []
    return features, names.index("log_omega") if target.uses_reference else None, len(names)


def _describe(scan: Scan, scaling: Standardizer, selection: ScanSelection) -> dict[str, Any]:
    kept = scan.part != DUPLICATE
    columns = scaling.select([*range(TARGET), -1])  # those of the user: the 19 parameters and the learned value
    return {
        "parameters": list(PARAMETERS),
        "target": selection.target.as_dict(),
        "neutralino_lsp": selection.neutralino_lsp,
        "require": [str(one) for one in selection.require],
        **columns.as_dict(),
        "constant": [name for name, std in zip(PARAMETERS, columns.std, strict=False) if std == 0],
        **_describe_physics(scaling.select(slice(TARGET, -1)), selection),
        "counts": {
            "read": sum(one.read for one in scan.files),
            "usable": len(scan.part),
            "copies": scan.count(DUPLICATE),
            "train": scan.count(TRAIN),
            "val": scan.count(VAL),
            **({"calibration": scan.count(CALIBRATION)} if selection.calibration else {}),
            **({"holdout": scan.count(HOLDOUT)} if selection.fixed_holdout else {}),
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


def _describe_physics(scaling: Standardizer, selection: ScanSelection) -> dict[str, Any]:
    if not selection.uses_physics:
        return {}
    from .model_inputs import feature_names, physics_version  # noqa: PLC0415 (imports torch)

    names = feature_names(selection.target) if selection.features == "physics" else ()
    return {"physics": {"names": list(names), "scaling": scaling.as_dict(), "version": physics_version()}}
