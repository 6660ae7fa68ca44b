"""Class of the lightest sparticle as the tree-level spectrum predicts it."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.lsp import MIXED, OTHER, PURE
from ..physics.annihilation import masses_by_species
from ..physics.constants import Constants
from ..physics.features import BATCH, FRACTIONS, GAPS, PhysicsFeatures
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
        return torch.cat([lsp_classes(batch, _constants()) for batch in batches]).numpy().astype(np.int8)


def lsp_classes(points: Tensor, constants: Constants) -> Tensor:
    """Return the class of each point as `predict_lsp` does, in operations that can be exported.

    Args:
        points: Physical parameters, shape (n, 19), float64.
        constants: Constants of the physics layer.

    Returns:
        Shape (n,), int64.
    """
    masses = spectrum(split_parameters(points), constants)
    mixing = masses.neutralino_mixing[0] ** 2  # (4, n): bino, wino, two higgsinos
    return _classes(masses_by_species(masses), torch.stack([mixing[0], mixing[1], mixing[2] + mixing[3]]))


def lsp_classes_from_features(features: Tensor) -> Tensor:
    """Return what `lsp_classes` returns, without another spectrum.

    Args:
        features: Output of the physics layer with the constants of this version, shape (n, len(FEATURES)).

    Returns:
        Shape (n,), int64.
    """
    gaps, fractions = features.T[GAPS], features.T[FRACTIONS]  # the lightest has the smallest gap
    return _classes(gaps, fractions)


def _classes(mass: Tensor, fractions: Tensor) -> Tensor:
    """Return the class from masses, shape (species, n), and contents of the lightest neutralino, shape (3, n)."""
    pure = torch.where(torch.amax(fractions, 0) >= PURE, 1 + torch.argmax(fractions, 0), MIXED)
    slepton = torch.amin(mass[list(SLEPTONS)], 0) < torch.amin(mass[[*NEUTRALINOS, *CHARGINOS]], 0)
    return torch.where(slepton, OTHER, pure)


@cache
def _constants() -> Constants:
    with torch.no_grad():
        return PhysicsFeatures().constants()
