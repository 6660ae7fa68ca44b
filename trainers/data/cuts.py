"""Which rows of a scan can be trained on."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FAILED, NOT_FINITE, OVERCLOSED, NOT_POSITIVE = (
    "MO_Omega = -1 (calculation failed)",
    "not finite",
    "MO_Omega >= 1 (overclosed)",
    "MO_Omega <= 0",
)


class Pruned(NamedTuple):
    """Usable rows `(m, 20)` float64 and how many of the others fell to which cut, each row counted once."""

    rows: NDArray[np.float64]
    fell: Counter[str]


def prune(rows: NDArray[np.float64]) -> Pruned:
    """The usable among `rows`, `(n, 20)` float64: 19 parameters and Ωh², `0 < Ωh² < 1`, all of them float32 numbers."""
    target = rows[:, -1]
    with np.errstate(over="ignore"):
        finite = np.isfinite(rows.astype(np.float32)).all(axis=1)
    tests = {FAILED: target == -1, NOT_FINITE: ~finite, OVERCLOSED: target >= 1, NOT_POSITIVE: target <= 0}
    usable = np.ones(len(rows), dtype=np.bool_)
    fell: Counter[str] = Counter()
    for cut, hit in tests.items():
        fell[cut] = int((usable & hit).sum())
        usable &= ~hit
    return Pruned(rows[usable], fell)
