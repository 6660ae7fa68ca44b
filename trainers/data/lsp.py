"""What the lightest sparticle of a point is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEUTRALINO_TYPES = (1, 2, 3)
LSP_CLASSES = ("unknown", "bino", "wino", "higgsino", "mixed", "no neutralino")
"""By the numbers that the prepared arrays hold."""

UNKNOWN, MIXED, OTHER = 0, 4, 5
PURE = 0.8
"""A neutralino none of whose fractions reaches this is mixed."""


def classify(columns: NDArray[np.float64]) -> NDArray[np.int8]:
    """The class of each row, `(n,)`, a place in LSP_CLASSES.

    `columns`: `(n, 4)`, SP_LSP_type and the bino, wino and higgsino fraction; nan where the file has none.
    """
    kind, fractions = columns[:, 0], columns[:, 1:]
    neutralino = np.isin(kind, NEUTRALINO_TYPES)
    classes = np.full(len(columns), OTHER, dtype=np.int8)
    classes[neutralino] = kind[neutralino].astype(np.int8)
    mixed = neutralino & np.isfinite(fractions).all(axis=1) & (fractions.max(axis=1, initial=-1.0) < PURE)
    classes[mixed] = MIXED
    classes[~np.isfinite(kind)] = UNKNOWN
    return classes
