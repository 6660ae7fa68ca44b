"""Annihilation of neutralinos and charginos into fermions through a W, a Z or a photon.

At threshold only the vector couplings contribute to the s-wave, for massless fermions. A pair of unequal particles
with vector coupling v to a current of strength g has σv = v² g⁴ Σ/(32π m²), with Σ the sum of N_c times the squared
couplings of all fermion helicities, as for heavy leptons. Couplings: Haber and Kane, Phys. Rept. 117 (1985) 75.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .constants import COS_W, E_CHARGE, G_WEAK, M_TOP, M_Z, SIN2_W, SIN_W, Constants
from .gaugino_rates import THERMAL_ENERGY
from .species import CHARGED_PAIRS, CHARGINO_PAIRS, NEUTRALINO_PAIRS, Species, mean_mass_squared, sides
from .spectrum import Spectrum

UP, DOWN, LEPTON, NEUTRINO = (6, 2 / 3, 1 / 2), (9, -1 / 3, -1 / 2), (3, -1, -1 / 2), (3, 0, 1 / 2)
"""Number of states, charge and T_3 of the fermions without the top."""
FERMIONS = (UP, DOWN, LEPTON, NEUTRINO)

PHOTON = sum(n * 2 * q * q for n, q, _ in FERMIONS)
"""Σ Q² over helicities."""
INTERFERENCE = sum(n * q * (t - 2 * q * SIN2_W) for n, q, t in FERMIONS)
"""Σ Q (T_3 - Q sin²θ_W) over helicities."""
NEUTRAL = sum(n * ((t - q * SIN2_W) ** 2 + (q * SIN2_W) ** 2) for n, q, t in FERMIONS)
"""Σ (T_3 - Q sin²θ_W)² over helicities."""
CHARGED = 6.0
"""Σ 1/2 over the twelve doublets with the top."""

G_Z4 = (G_WEAK / COS_W) ** 4
FLUX = 32 * math.pi


def charged_currents(s: Spectrum, mass: Tensor, doublets: Tensor, c: Constants) -> Tensor:
    """Return σv of `CHARGED_PAIRS` by a W, without its propagator.

    Args:
        s: The spectrum.
        mass: Masses by species, shape (12, points).
        doublets: Suppression of winos by the exchange of sfermions, shape (points,).
        c: The fitted constants.

    Returns:
        Shape (pairs, points), GeV⁻².
    """
    neutral, second = sides(CHARGED_PAIRS)
    charged = [k - Species.CHARGINO_1 for k in second]
    n, plus, minus = s.neutralino_mixing[neutral], s.mixing_plus[charged], s.mixing_minus[charged]
    left = n[:, 1] * plus[:, 0] - n[:, 3] * plus[:, 1] / math.sqrt(2)
    right = n[:, 1] * minus[:, 0] + n[:, 2] * minus[:, 1] / math.sqrt(2)
    vector = (left + torch.sign(s.neutralino[neutral]) * right) / 2
    wino = n[:, 1] * n[:, 1] * (s.wino_minus + s.wino_plus)[charged] / 2
    squared = mean_mass_squared(mass, CHARGED_PAIRS)
    strength = c["charged_current"] * G_WEAK**4 * CHARGED / FLUX * _open_doublets(squared, c)
    return strength * vector * vector * (1 + wino * (doublets - 1)) / squared


def chargino_currents(s: Spectrum, mass: Tensor, doublets: Tensor) -> Tensor:
    """Return σv of `CHARGINO_PAIRS` by a Z, without the propagator; half of the pairs have opposite charges."""
    first, second = ([k - Species.CHARGINO_1 for k in side] for side in sides(CHARGINO_PAIRS))
    plus, minus = (mixing[first, 0] * mixing[second, 0] for mixing in (s.mixing_plus, s.mixing_minus))
    vector = (plus + minus) / 4
    equal = torch.tensor([float(one == other) for one, other in CHARGINO_PAIRS], dtype=mass.dtype, device=mass.device)
    vector = vector + equal[:, None] * (0.5 - SIN2_W)
    wino = s.wino_plus[first] * s.wino_plus[second]
    strength = G_Z4 * NEUTRAL / (2 * FLUX)
    return strength * vector * vector * (1 + wino * (doublets - 1)) / mean_mass_squared(mass, CHARGINO_PAIRS)


def neutralino_currents(s: Spectrum, mass: Tensor, c: Constants) -> Tensor:
    """Return σv of `NEUTRALINO_PAIRS` by a Z, without the propagator.

    The coupling of two neutralinos is a vector if their signed masses have opposite signs, else axial.
    """
    first, second = sides(NEUTRALINO_PAIRS)
    n, other = s.neutralino_mixing[first], s.neutralino_mixing[second]
    coupling = (n[:, 3] * other[:, 3] - n[:, 2] * other[:, 2]) / 2
    vector = (1 - torch.sign(s.neutralino[first] * s.neutralino[second])) / 2
    strength = c["neutralino_current"] * G_Z4 * NEUTRAL / FLUX
    return strength * vector * coupling * coupling / mean_mass_squared(mass, NEUTRALINO_PAIRS)


def chargino_photons(s: Spectrum) -> Tensor:
    """Return σv of `CHARGINO_SELF_PAIRS` into fermions by a photon, and into γγ and Zγ, shape (2, points).

    σv(γγ) = e⁴/16π m² at threshold.
    """
    squared = s.chargino * s.chargino
    ratio = _self_coupling(s) / (SIN_W * COS_W)
    z_photon = 2 * ratio * ratio * torch.clamp(1 - M_Z**2 / (4 * THERMAL_ENERGY * squared), min=0.0)
    couplings = PHOTON + 2 * (1 + z_photon)
    return E_CHARGE**4 / (2 * FLUX) * couplings / squared


def photon_interference(s: Spectrum) -> Tensor:
    """Return the interference of photon and Z in `CHARGINO_SELF_PAIRS` to fermions, without the propagator."""
    strength = 2 * E_CHARGE**2 * (G_WEAK / COS_W) ** 2 * INTERFERENCE / (2 * FLUX)
    return strength * _self_coupling(s) / (s.chargino * s.chargino)


def _self_coupling(s: Spectrum) -> Tensor:
    """Return the vector coupling of charginos to the Z in units of g/cos θ_W, shape (2, points)."""
    return 0.5 - SIN2_W + (s.wino_minus + s.wino_plus) / 4


def _open_doublets(squared: Tensor, c: Constants) -> Tensor:
    """Return the share of the fermion doublets that a W of the mean mass² `squared` can decay to."""
    ratio = torch.clamp(M_TOP**2 / (4 * THERMAL_ENERGY * squared), max=1.0)
    top = (1 - ratio) * (1 - ratio) * (1 + ratio / 2)
    return 1 - c["top_bottom"] * (1 - top)
