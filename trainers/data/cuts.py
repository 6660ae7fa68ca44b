"""Which rows of a scan can be trained on."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .columns import LSP_TYPE
from .lsp import NEUTRALINO_TYPES
from .targets import FAILED, TARGETS, Target

NOT_FINITE = "not finite"
NO_NEUTRALINO = f"{LSP_TYPE} not 1-3 (no neutralino)"


class CutResult(NamedTuple):
    """Which rows are usable, `(n,)` bool, and how many of the others fell to which cut, each row counted once.

    `not_finite`: of those that fell to NOT_FINITE, how many have no number in which column, `(20,)`.
    """

    usable: NDArray[np.bool_]
    fell: Counter[str]
    not_finite: NDArray[np.int64]


def apply_cuts(rows: NDArray[np.float64], target: Target, lsp_type: NDArray[np.float64] | None = None) -> CutResult:
    """The usable among `rows`, `(n, 20)` float64: 19 parameters and the target within its cuts, all float32 numbers.

    With `lsp_type` `(n,)` a neutralino must be the lightest sparticle.
    """
    values: NDArray[np.float64] = rows[:, -1]
    with np.errstate(over="ignore"):
        numbers = np.isfinite(rows.astype(np.float32))
    finite = numbers.all(axis=1)
    tests: dict[str, NDArray[np.bool_]] = {}
    if target.name in TARGETS:
        tests[f"{target.branch} = {FAILED} (calculation failed)"] = values == FAILED
    tests[NOT_FINITE] = np.logical_not(finite)
    if lsp_type is not None:
        tests[NO_NEUTRALINO] = ~np.isin(lsp_type, NEUTRALINO_TYPES)
    if target.below is not None:
        overclosed = " (overclosed)" if target.branch == "MO_Omega" and target.below == 1 else ""
        tests[f"{target.branch} >= {target.below:g}{overclosed}"] = values >= target.below
    if target.above is not None:
        tests[f"{target.branch} <= {target.above:g}"] = values <= target.above
    usable = np.ones(len(rows), dtype=np.bool_)
    fell: Counter[str] = Counter()
    not_finite = np.zeros(rows.shape[1], dtype=np.int64)
    for cut, hit in tests.items():
        fell[cut] = int((usable & hit).sum())
        if cut == NOT_FINITE and fell[cut]:
            not_finite = (~numbers[usable & hit]).sum(axis=0)
        usable &= ~hit
    return CutResult(usable, fell, not_finite)
