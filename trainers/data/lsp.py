"""Classes of the lightest sparticle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEUTRALINO_TYPES = (1, 2, 3)
LSP_CLASSES = ("unknown", "bino", "wino", "higgsino", "mixed", "no neutralino")
"""Names of the classes; the prepared arrays contain the indices."""

UNKNOWN, MIXED, OTHER = 0, 4, 5
PURE = 0.8
"""A neutralino is mixed if none of its fractions reaches this value."""


def classify(columns: NDArray[np.float64]) -> NDArray[np.int8]:
    """Return the class of each row: an index into LSP_CLASSES, shape (n,).

    Args:
        columns: SP_LSP_type and the bino, wino and higgsino fraction, shape (n, 4); nan for columns that
            the file lacks.
    """
    kind, fractions = columns[:, 0], columns[:, 1:]
    neutralino = np.isin(kind, NEUTRALINO_TYPES)
    classes = np.full(len(columns), OTHER, dtype=np.int8)
    classes[neutralino] = kind[neutralino].astype(np.int8)
    mixed = neutralino & np.isfinite(fractions).all(axis=1) & (fractions.max(axis=1, initial=-1.0) < PURE)
    classes[mixed] = MIXED
    classes[~np.isfinite(kind)] = UNKNOWN
    return classes
