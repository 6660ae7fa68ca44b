"""Scan files gone through once: the usable rows in a spool, and what became of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..log import LOGGER
from .columns import PARAMETERS
from .cuts import NOT_FINITE, apply_cuts
from .duplicates import Keys, first_occurrences, point_keys
from .lsp import classify
from .reading import read_chunks
from .row_spool import Rows, RowSpool
from .scan_files import ScanSelection

VALIDATION_SHARE = 0.1
WIDTH = len(PARAMETERS) + 2
"""Columns of the spool: the 19 parameters, the target (physical), and the class of the lightest sparticle."""

TARGET = len(PARAMETERS)
TRAIN, VAL, COPY = 0, 1, 2


@dataclass
class FileCount:
    """What a file held. `copies`: usable rows whose point an earlier row has."""

    path: Path
    read: int = 0
    usable: int = 0
    copies: int = 0
    fell: Counter[str] = field(default_factory=Counter)
    not_finite: Counter[str] = field(default_factory=Counter)
    """By column: rows whose number there is nan, infinite or too large for a float32."""

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return {"path": str(self.path), "read": self.read, "usable": self.usable, "copies": self.copies,
                "cuts": dict(self.fell), "not_finite": dict(self.not_finite)}  # fmt: skip


@dataclass(frozen=True)
class Scan:
    """All usable rows, and `part`, `(n,)`: whether each trains, validates, or is a copy and left out."""

    spool: RowSpool
    part: NDArray[np.int8]
    targets: Rows
    """`(n,)`, physical."""
    classes: NDArray[np.int8]
    """`(n,)`, places in LSP_CLASSES."""
    files: list[FileCount]
    conflicts: int
    """Copies with another target than the row that is kept."""

    def count(self, part: int) -> int:
        """How many rows belong to `part`."""
        return int((self.part == part).sum())

    @property
    def fell(self) -> Counter[str]:
        """Rows of all files by the cut they fell to."""
        return _sum(one.fell for one in self.files)

    @property
    def not_finite(self) -> Counter[str]:
        """Numbers of all files that are none, by column."""
        return _sum(one.not_finite for one in self.files)


def _sum(counters: Iterable[Counter[str]]) -> Counter[str]:
    total = Counter[str]()
    for counter in counters:
        total.update(counter)  # unlike +, this keeps zeros: a cut that took nothing is worth a word
    return total


def split(rows: int, seed: int) -> NDArray[np.bool_]:
    """`(rows,)` bool, True for the tenth that validates; at least one row on each side."""
    is_val = np.zeros(rows, dtype=np.bool_)
    is_val[np.random.default_rng(seed).permutation(rows)[: max(1, round(rows * VALIDATION_SHARE))]] = True
    return is_val


def scan_files(files: Sequence[Path], choice: ScanSelection, spool: RowSpool) -> Scan:
    """The scan of `files`, whose usable rows are then in `spool`; the log has a line for each file.

    Raises DataError where a file can't be read or nothing is left to train on.
    """
    counts: list[FileCount] = []
    keys: list[Keys] = []
    ends: list[Rows] = []
    columns, read = choice.columns(), 0
    for number, path in enumerate(files, start=1):
        count = FileCount(path)
        counts.append(count)
        limits = [limit for limit in (choice.n_samples, choice.max_rows and choice.max_rows - read) if limit]
        for rows in read_chunks(path, columns, tree=choice.tree, limit=min(limits, default=None)):
            usable = _usable(rows, choice, count)
            spool.append(usable)
            keys.append(point_keys(usable[:, :TARGET]))
            ends.append(usable[:, TARGET:].copy())
        read += count.read
        LOGGER.info("File %d/%d %s: %s rows, %s usable%s", number, len(files), path.name, f"{count.read:,}",
                    f"{count.usable:,}", "".join(f"; {cut}: {n:,}" for cut, n in count.fell.items() if n))  # fmt: skip
        if choice.max_rows is not None and read >= choice.max_rows:
            if number < len(files):
                LOGGER.warning("--testing reads %s rows at most: %d more files were not read",
                               f"{choice.max_rows:,}", len(files) - number)  # fmt: skip
            break
    return _scan(spool, counts, np.concatenate(keys), np.concatenate(ends), choice.seed)


def _usable(rows: Rows, choice: ScanSelection, count: FileCount) -> Rows:
    """The usable among `rows`, `(n, 24)`, as the spool takes them, `(k, 21)`; `count` knows of the others."""
    points, lsp = rows[:, : TARGET + 1], rows[:, TARGET + 1 :]
    pruned = apply_cuts(points, choice.target, lsp[:, 0] if choice.neutralino_lsp else None)
    count.read += len(rows)
    count.usable += int(pruned.usable.sum())
    count.fell.update(pruned.fell)
    for column in np.flatnonzero(pruned.not_finite):
        count.not_finite[(*PARAMETERS, choice.target.branch)[column]] += int(pruned.not_finite[column])
    return np.column_stack([points[pruned.usable], classify(lsp[pruned.usable])])


def _scan(spool: RowSpool, counts: list[FileCount], keys: Keys, ends: Rows, seed: int) -> Scan:
    first = first_occurrences(keys)
    is_copy = first != np.arange(len(first))
    start = 0
    for count in counts:
        count.copies = int(is_copy[start : start + count.usable].sum())
        start += count.usable
    part = np.full(len(first), COPY, dtype=np.int8)
    kept = len(first) - int(is_copy.sum())
    if kept < 2:
        where = f"{counts[0].path}{' …' if counts[1:] else ''}"
        raise DataError(f"{where}: {kept} usable row{'' if kept == 1 else 's'} left, too few to train and validate; "
                        f"{_losses(counts, len(first) - kept)}; give more rows")  # fmt: skip
    part[~is_copy] = np.where(split(kept, seed), VAL, TRAIN)
    targets, classes = ends[:, 0], ends[:, 1].astype(np.int8)
    return Scan(spool, part, targets, classes, counts, int((targets != targets[first]).sum()))


def _losses(counts: Sequence[FileCount], copies: int) -> str:
    """`lost 3 not finite (IN_mA 3), 1 MO_Omega <= 0`; the cuts that took something."""
    bad = _sum(one.not_finite for one in counts)
    columns = f" ({', '.join(f'{name} {count:,}' for name, count in bad.items())})" if bad else ""
    fell = [(cut, count) for cut, count in _sum(one.fell for one in counts).items() if count]
    lost = [f"{count:,} {cut}{columns if cut == NOT_FINITE else ''}" for cut, count in fell]
    lost += [f"{copies:,} copies of another row"] if copies else []
    return f"lost {', '.join(lost)}" if lost else f"read {sum(one.read for one in counts):,}"
