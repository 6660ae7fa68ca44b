"""The semi-analytic formula as a simulator: points in, a scan with the branches of the lab out.

It stands in for a spectrum generator and a relic density code where a plan is tried out. Its numbers are those of
`physics`, not of a real calculation.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.columns import LSP_COLUMNS, PARAMETERS
from ..data.targets import FAILED, RELIC_DENSITY
from ..physics import PhysicsFeatures
from ..physics.annihilation import masses_by_species
from ..physics.features import BATCH
from ..physics.species import CHARGINOS, NEUTRALINOS, SLEPTONS, Species

Values = NDArray[np.float64]

SOURCE = "semi-analytic formula"
"""Name of this simulator in every log line and file."""

LSP_MASS = "SP_LSP_mass"
COLUMNS = ("model", *PARAMETERS, RELIC_DENSITY, LSP_MASS, *LSP_COLUMNS)
"""Columns of a simulated scan, in order."""

PDG = {
    Species.SELECTRON_RIGHT: 2000011, Species.SELECTRON_LEFT: 1000011, Species.SNEUTRINO: 1000012,
    Species.STAU_LIGHT: 1000015, Species.STAU_HEAVY: 2000015, Species.SNEUTRINO_TAU: 1000016,
}  # fmt: skip
"""Particle numbers of the sleptons, for SP_LSP_type."""


def simulate_points(points: Values, numbers: Values, failed: NDArray[np.bool_]) -> dict[str, Values]:
    """Return the scan of `points` by the semi-analytic formula.

    Args:
        points: Physical parameters, shape (n, 19), GeV.
        numbers: Running number of each point, shape (n,).
        failed: Points whose calculation fails, shape (n,); all they get is -1.

    Returns:
        One array of shape (n,) for each of COLUMNS. A relic density that is not finite is a failure, too.
    """
    layer = PhysicsFeatures()
    batches = torch.split(torch.from_numpy(np.ascontiguousarray(points)), BATCH)
    with torch.no_grad():
        results = np.concatenate([_results(layer, batch) for batch in batches], axis=1)
    results[:, failed | ~np.isfinite(results).all(axis=0)] = FAILED
    return dict(zip(COLUMNS, [numbers, *points.T, *results], strict=True))


def _results(layer: PhysicsFeatures, points: torch.Tensor) -> Values:
    """Return relic density, mass, type and composition of the lightest sparticle, shape (6, n)."""
    spectrum, relic = layer.physics(points)
    masses = masses_by_species(spectrum).numpy()
    bino, wino, down, up = (spectrum.neutralino_mixing[0] ** 2).numpy()
    fractions = np.stack([bino, wino, down + up])
    sleptons = masses[list(SLEPTONS)]
    is_slepton = sleptons.min(axis=0) < masses[[*NEUTRALINOS, *CHARGINOS]].min(axis=0)
    codes = np.array([PDG[one] for one in SLEPTONS])[sleptons.argmin(axis=0)]
    kind = np.where(is_slepton, codes, 1 + fractions.argmax(axis=0))
    fractions[:, is_slepton] = FAILED  # a slepton has no such composition
    return np.stack([np.exp(relic.log_omega.numpy()), masses.min(axis=0), kind, *fractions])
