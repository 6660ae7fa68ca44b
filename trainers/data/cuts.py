"""Cuts: which rows of a scan can be used for training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .columns import LSP_TYPE
from .lsp import NEUTRALINO_TYPES
from .outcomes import FAILURE, OVERCLOSED, REJECTED, USABLE
from .targets import FAILED, TARGETS, Target

NOT_FINITE = "not finite"
NO_NEUTRALINO = f"{LSP_TYPE} not 1-3 (no neutralino)"


class CutResult(NamedTuple):
    """Result of all cuts; each dropped row is counted once, for the first cut that drops it.

    Attributes:
        usable: Which rows pass all cuts, shape (n,).
        dropped: Number of dropped rows by cut.
        not_finite: Rows dropped by NOT_FINITE without a finite number in each column, shape (20,).
        outcomes: Index into OUTCOMES of each row, by the first cut that drops it, shape (n,).
    """

    usable: NDArray[np.bool_]
    dropped: Counter[str]
    not_finite: NDArray[np.int64]
    outcomes: NDArray[np.int8]


def apply_cuts(
    rows: NDArray[np.float64],
    target: Target,
    lsp_type: NDArray[np.float64] | None = None,
    violations: Mapping[str, NDArray[np.bool_]] = MappingProxyType({}),
) -> CutResult:
    """Apply all cuts to `rows`.

    A usable row has finite float32 numbers and a target within its cuts.

    Args:
        rows: 19 parameters and the target, shape (n, 20), float64.
        target: Target with its cuts.
        lsp_type: Type of the lightest sparticle, shape (n,); if given, it must be a neutralino.
        violations: Rows that violate further conditions, shape (n,), by the name of the cut.
    """
    values: NDArray[np.float64] = rows[:, -1]
    with np.errstate(over="ignore"):
        is_finite = np.isfinite(rows.astype(np.float32))
    all_finite = is_finite.all(axis=1)
    tests: dict[str, NDArray[np.bool_]] = {}
    outcome_of = {NOT_FINITE: FAILURE}
    if target.name in TARGETS:
        failed = f"{target.branch} = {FAILED} (calculation failed)"
        tests[failed], outcome_of[failed] = values == FAILED, FAILURE
    tests[NOT_FINITE] = np.logical_not(all_finite)
    if lsp_type is not None:
        tests[NO_NEUTRALINO] = ~np.isin(lsp_type, NEUTRALINO_TYPES)
    tests |= violations
    if target.below is not None:
        overclosed = " (overclosed)" if target.branch == "MO_Omega" and target.below == 1 else ""
        too_large = f"{target.branch} >= {target.below:g}{overclosed}"
        tests[too_large], outcome_of[too_large] = values >= target.below, OVERCLOSED
    if target.above is not None:
        tests[f"{target.branch} <= {target.above:g}"] = values <= target.above
    usable = np.ones(len(rows), dtype=np.bool_)
    outcomes = np.full(len(rows), USABLE, dtype=np.int8)
    dropped: Counter[str] = Counter()
    not_finite = np.zeros(rows.shape[1], dtype=np.int64)
    for cut, hit in tests.items():
        dropped[cut] = int((usable & hit).sum())
        if cut == NOT_FINITE and dropped[cut]:
            not_finite = (~is_finite[usable & hit]).sum(axis=0)
        outcomes[usable & hit] = outcome_of.get(cut, REJECTED)
        usable &= ~hit
    return CutResult(usable, dropped, not_finite, outcomes)
