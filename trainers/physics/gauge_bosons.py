"""Annihilation of neutralinos and charginos into pairs of gauge bosons.

The lightest neutralinos have the couplings and propagators of Drees and Nojiri, PRD 47 (1993) 376. All other pairs
annihilate by their content of winos and higgsinos: Arkani-Hamed, Delgado and Giudice, NPB 741 (2006) 108,
hep-ph/0601041.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .constants import COS_W, G_WEAK, M_W, M_Z, Constants
from .gaugino_rates import THERMAL_ENERGY
from .species import CHARGINOS, GAUGINO_PAIRS, Content, Pair, mean_mass_squared, sides
from .spectrum import Spectrum

G4 = G_WEAK**4

_THERMAL_NODES = ((0.6663259077, 0.6400011798), (2.8007750542, 0.3445751422), (7.0328990381, 0.015423678))
"""Gauss-Laguerre nodes and weights for ∫ dt √t exp(-t), with s/4m² = 1 + t/x."""

_THERMAL_X = 28.0
"""x = m/T of the thermal averages: shortly after freeze-out."""


def gauge_bosons(s: Spectrum, content: Content, mass: Tensor, c: Constants) -> Tensor:
    """Return σv of `GAUGINO_PAIRS` into gauge bosons in GeV⁻², shape (pairs, points)."""
    squared = mean_mass_squared(mass, GAUGINO_PAIRS)
    massive = _phase_space(M_W**2 / squared)
    photons = torch.tensor([has_photon(pair) for pair in GAUGINO_PAIRS], dtype=mass.dtype, device=mass.device)
    open_channel = torch.clamp(1 - M_W**2 / (4 * THERMAL_ENERGY * squared), min=0.0)
    phase_space = massive + c["photon_pairs"] * photons[:, None] * (1 - massive) * open_channel
    by_content = G4 * couplings_by_content(content, c) * phase_space / squared
    return torch.cat([_lightest_neutralinos(s, c)[None], by_content[1:]])


def couplings_by_content(content: Content, c: Constants) -> Tensor:
    """Return the squared couplings of `GAUGINO_PAIRS` to gauge bosons in units of g⁴, shape (pairs, points)."""
    first, second = sides(GAUGINO_PAIRS)
    wino, other_wino = content.wino[first], content.wino[second]
    higgsino, other_higgsino = content.higgsino[first], content.higgsino[second]
    return (
        c["wino_gauge_bosons"] * wino * other_wino
        + c["higgsino_gauge_bosons"] * higgsino * other_higgsino
        + c["wino_higgsino_gauge_bosons"] * (wino * other_higgsino + higgsino * other_wino)
    )


def _lightest_neutralinos(s: Spectrum, c: Constants) -> Tensor:
    """Return σv of two lightest neutralinos into W and Z pairs, s-wave, shape (points,)."""
    squared = s.neutralino[0] * s.neutralino[0]
    n, root2 = s.neutralino_mixing, math.sqrt(2)
    left = n[0, 1] * s.mixing_plus[:, 0] - n[0, 3] * s.mixing_plus[:, 1] / root2
    right = n[0, 1] * s.mixing_minus[:, 0] + n[0, 2] * s.mixing_minus[:, 1] / root2
    neutral = n[0, 3] * n[:, 3] - n[0, 2] * n[:, 2]
    w_ratio, z_ratio = M_W**2 / squared, M_Z**2 / squared
    w_propagator = 1 + s.chargino * s.chargino / squared - torch.clamp(w_ratio, max=1.0)
    z_propagator = 1 + s.neutralino * s.neutralino / squared - torch.clamp(z_ratio, max=1.0)
    w_pairs = ((left * left + right * right) / w_propagator).sum(0)
    z_pairs = (neutral * neutral / (2 * z_propagator)).sum(0)
    w_velocity, z_velocity = _velocity_cubed(torch.stack([w_ratio, z_ratio])).unbind(0)
    rate = w_pairs * w_pairs * w_velocity + z_pairs * z_pairs * z_velocity / (2 * COS_W**4)
    return c["lightest_gauge_bosons"] * G4 / (8 * math.pi) * rate / squared


def _velocity_cubed(ratio: Tensor) -> Tensor:
    """Return the thermal average of (1 - y)^(3/2) with y = M²/E², for `ratio` = M²/m²."""
    velocity2, weight = _thermal_velocities(ratio)
    return (weight * velocity2 * torch.sqrt(velocity2 + 1e-12)).sum(0)


def _phase_space(ratio: Tensor) -> Tensor:
    """Return the thermal average of (1 - y)^(3/2)/(1 - y/2)² with y = M²/E², for `ratio` = M²/m²."""
    velocity2, weight = _thermal_velocities(ratio)
    propagator = (1 + velocity2) / 2
    return (weight * velocity2 * torch.sqrt(velocity2 + 1e-12) / (propagator * propagator)).sum(0)


def _thermal_velocities(ratio: Tensor) -> tuple[Tensor, Tensor]:
    """Return 1 - y at the thermal nodes, shape (nodes, …), for `ratio` of shape (…), and the weights of the nodes."""
    table = torch.tensor(_THERMAL_NODES, dtype=ratio.dtype, device=ratio.device).T
    nodes, weights = table.reshape(2, -1, *(1 for _ in ratio.shape)).unbind(0)
    return torch.clamp(1 - ratio / (1 + nodes / _THERMAL_X), min=0.0), weights


def has_photon(pair: Pair) -> float:
    """Return 1 for pairs with a final state that is open below the W threshold: W γ."""
    return float(sum(species in CHARGINOS for species in pair) == 1)
