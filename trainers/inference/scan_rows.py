"""Rows of a prepared scan as physical points with their outcomes, usable or cut."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..data.outcomes import USABLE
from ..data.prepared import PreparedData
from ..data.scan import CALIBRATION, TRAIN, VAL


def scan_rows(prepared: PreparedData, part: int) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Return all rows of one part: usable ones first, then those that were cut.

    Args:
        prepared: Prepared scan.
        part: TRAIN, VAL or CALIBRATION.

    Returns:
        Physical parameters, shape (n, 19), and indices into OUTCOMES, shape (n,).
    """
    inputs = {TRAIN: prepared.train_inputs, VAL: prepared.val_inputs, CALIBRATION: prepared.calibration_inputs}[part]
    width = len(prepared.meta["parameters"])
    if inputs is None:
        inputs = np.empty((0, width), dtype=np.float32)
    scaling = prepared.scaling
    points = inputs[:, :width].astype(np.float64) * scaling.std[:width] + scaling.mean[:width]
    outcomes = np.full(len(points), USABLE, dtype=np.int8)
    if prepared.cut is None:
        return points, outcomes
    chosen = prepared.cut.part == part
    return (
        np.concatenate([points, prepared.cut.points[chosen].astype(np.float64)]),
        np.concatenate([outcomes, prepared.cut.outcomes[chosen]]),
    )
