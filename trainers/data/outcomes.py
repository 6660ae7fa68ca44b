"""Outcomes of a scan row: usable, or why it was cut; and the cut rows as arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

OUTCOMES = ("usable", "failed", "overclosed", "rejected")
"""Names of the outcomes; arrays contain the indices.

failed: the calculation failed (-1) or its value is not finite. overclosed: the target is not below its upper cut.
rejected: another cut, such as `--require`.
"""

USABLE, FAILURE, OVERCLOSED, REJECTED = range(len(OUTCOMES))


class CutRows(NamedTuple):
    """Rows with finite parameters that were cut, each point once.

    Attributes:
        points: Physical parameters, shape (n, 19), float32.
        outcomes: Index into OUTCOMES, shape (n,).
        part: TRAIN, VAL, CALIBRATION or HOLDOUT of `scan`, in the same shares as the usable rows, shape (n,).
    """

    points: NDArray[np.float32]
    outcomes: NDArray[np.int8]
    part: NDArray[np.int8]
