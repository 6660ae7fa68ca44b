"""Class of the lightest sparticle as the tree-level spectrum predicts it."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.lsp import MIXED, OTHER, PURE
from ..physics.annihilation import masses_by_species
from ..physics.constants import Constants
from ..physics.features import BATCH, PhysicsFeatures
from ..physics.parameters import split_parameters
from ..physics.species import CHARGINOS, NEUTRALINOS, SLEPTONS
from ..physics.spectrum import spectrum


def predict_lsp(points: NDArray[np.float64]) -> NDArray[np.int8]:
    """Return the class of each point: an index into LSP_CLASSES.

    Where a chargino is lightest, its class is that of the lightest neutralino: the two are nearly degenerate, and
    the tree level does not decide which one is lighter.

    Args:
        points: Physical parameters, shape (n, 19).

    Returns:
        Shape (n,).
    """
    with torch.no_grad():
        batches = torch.split(torch.from_numpy(np.ascontiguousarray(points, dtype=np.float64)), BATCH)
        return np.concatenate([_classes(batch) for batch in batches]) if len(points) else np.empty(0, dtype=np.int8)


def _classes(points: torch.Tensor) -> NDArray[np.int8]:
    masses = spectrum(split_parameters(points), _constants())
    mass = masses_by_species(masses).numpy()  # (species, n)
    mixing = masses.neutralino_mixing[0].numpy() ** 2  # (4, n): bino, wino, two higgsinos
    fractions = np.stack([mixing[0], mixing[1], mixing[2] + mixing[3]])
    classes = np.where(fractions.max(axis=0) >= PURE, 1 + fractions.argmax(axis=0), MIXED)
    slepton = mass[list(SLEPTONS)].min(axis=0) < mass[[*NEUTRALINOS, *CHARGINOS]].min(axis=0)
    classes[slepton] = OTHER
    return classes.astype(np.int8)


@cache
def _constants() -> Constants:
    with torch.no_grad():
        return PhysicsFeatures().constants()
