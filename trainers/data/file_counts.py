"""Counts of rows: by file, and in the message about a scan with too few of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .cuts import NOT_FINITE
from .scan_files import round_of


@dataclass
class FileCount:
    """Row counts of one file.

    Attributes:
        path: The file.
        read: Rows read.
        usable: Rows that pass all cuts.
        duplicates: Usable rows whose point occurs in an earlier row.
        dropped: Dropped rows by cut.
        not_finite: By column, rows whose number is nan, infinite or too large for float32.
        failed_higgs: Rows whose Higgs mass could not be calculated: `read`, and of them `usable`.
        is_holdout: Whether the rows are those of the fixed holdout.
    """

    path: Path
    is_holdout: bool = False
    read: int = 0
    usable: int = 0
    duplicates: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    not_finite: Counter[str] = field(default_factory=Counter)
    failed_higgs: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """Return the counts for JSON."""
        number = round_of(self.path)
        return {"path": str(self.path), "read": self.read, "usable": self.usable, "copies": self.duplicates,
                "cuts": dict(self.dropped), "not_finite": dict(self.not_finite),
                **({} if number is None else {"round": number}),
                **({"holdout": True} if self.is_holdout else {})}  # fmt: skip


def total(counters: Iterable[Counter[str]]) -> Counter[str]:
    """Return the sum of counters, also of keys whose count is 0."""
    result = Counter[str]()
    for counter in counters:
        result.update(counter)  # unlike +, this keeps zeros: the report lists cuts that dropped nothing
    return result


def drop_summary(counts: Sequence[FileCount], duplicates: int) -> str:
    """Return, for example, `dropped 3 not finite (IN_mA 3), 1 MO_Omega <= 0`."""
    not_finite = total(one.not_finite for one in counts)
    columns = f" ({', '.join(f'{name} {count:,}' for name, count in not_finite.items())})" if not_finite else ""
    dropped = [(cut, count) for cut, count in total(one.dropped for one in counts).items() if count]
    parts = [f"{count:,} {cut}{columns if cut == NOT_FINITE else ''}" for cut, count in dropped]
    parts += [f"{duplicates:,} copies of another row"] if duplicates else []
    return f"dropped {', '.join(parts)}" if parts else f"read {sum(one.read for one in counts):,}"
