"""Cross sections of neutralinos and charginos for models that were saved with version 1 of the formula.

Every pair annihilates by its squared components of bino, wino and higgsino, with fitted prefactors.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import heavy_higgs
from .constants import G_HYPERCHARGE, G_WEAK, M_W, TAN_W, Constants
from .gauge_bosons import couplings_by_content, has_photon
from .gaugino_rates import THERMAL_ENERGY, GauginoRates, HeavyHiggs
from .species import (
    CHARGED_PAIRS,
    CHARGINO_PAIRS,
    GAUGINO_PAIRS,
    NEUTRALINO_PAIRS,
    Content,
    Species,
    make_channel,
    mean_mass_squared,
    sides,
)
from .spectrum import Spectrum

G2, G4 = G_WEAK**2, G_WEAK**4
GP2 = G_HYPERCHARGE**2

NODES = 10
"""Gauss-Legendre nodes of the integral after freeze-out."""


def has_its_constants(c: Constants) -> bool:
    """Return whether the constants are those of version 1."""
    return "wino_charged_current" in c


def gaugino_rates(s: Spectrum, content: Content, mass: Tensor, doublets: Tensor, c: Constants) -> GauginoRates:
    """Return what `gaugino_annihilation.gaugino_rates` returns, with its arguments."""
    nothing = torch.zeros_like(s.chargino)
    return GauginoRates(
        gauge_bosons=_gauge_bosons(content, mass, c),
        photons=nothing,
        charged=_charged_currents(content, mass, doublets, c),
        charginos=_chargino_currents(content, mass, doublets, c),
        interference=nothing,
        neutralinos=_neutralino_currents(content, mass, c),
        heavy_higgs=_heavy_higgs(s),
    )


def _gauge_bosons(content: Content, mass: Tensor, c: Constants) -> Tensor:
    """Return σv of `GAUGINO_PAIRS` into gauge bosons, with the phase space of W pairs."""
    squared = mean_mass_squared(mass, GAUGINO_PAIRS)
    y = torch.clamp(M_W**2 / (THERMAL_ENERGY * squared), max=0.999)
    propagator = 1 - y / 2
    massive = (1 - y) * torch.sqrt(1 - y) / (propagator * propagator)
    photons = torch.tensor([has_photon(pair) for pair in GAUGINO_PAIRS], dtype=mass.dtype, device=mass.device)
    phase_space = massive + c["photon_pairs"] * photons[:, None] * (1 - massive)
    return G4 * couplings_by_content(content, c) * phase_space / squared


def _charged_currents(content: Content, mass: Tensor, doublets: Tensor, c: Constants) -> Tensor:
    """Return σv of `CHARGED_PAIRS` into fermions by a W, without its propagator."""
    neutral, charged = sides(CHARGED_PAIRS)
    couplings = (
        c["wino_charged_current"] * G4 * doublets * content.wino[neutral] * content.wino[charged]
        + c["higgsino_charged_current"] * G4 * content.higgsino[neutral] * content.higgsino[charged]
        + c["bino_charged_current"] * GP2 * G2 * content.bino[neutral]
    )
    return couplings / mean_mass_squared(mass, CHARGED_PAIRS)


def _chargino_currents(content: Content, mass: Tensor, doublets: Tensor, c: Constants) -> Tensor:
    """Return σv of `CHARGINO_PAIRS` into fermions by a Z and a photon."""
    first, second = sides(CHARGINO_PAIRS)
    couplings = (
        c["wino_neutral_current"] * doublets * content.wino[first] * content.wino[second]
        + c["higgsino_neutral_current"] * content.higgsino[first] * content.higgsino[second]
    )
    return G4 * couplings / mean_mass_squared(mass, CHARGINO_PAIRS)


def _neutralino_currents(content: Content, mass: Tensor, c: Constants) -> Tensor:
    """Return σv of `NEUTRALINO_PAIRS` into fermions by a Z, without the propagator."""
    first, second = sides(NEUTRALINO_PAIRS)
    couplings = c["higgsino_neutralino_current"] * content.higgsino[first] * content.higgsino[second]
    return G4 * couplings / mean_mass_squared(mass, NEUTRALINO_PAIRS)


def _heavy_higgs(s: Spectrum) -> HeavyHiggs:
    """Return the squared couplings to the heavy Higgs doublet, without interference in those of charginos."""
    bino, wino, down, up = s.neutralino_mixing[:, :, None].unbind(1)
    neutralino_s, neutralino_p = heavy_higgs.neutralinos(s)
    sin2, cos2 = s.sin_beta * s.sin_beta, s.cos_beta * s.cos_beta
    minus, plus = s.wino_minus, s.wino_plus
    first, second = sides(CHARGINO_PAIRS)
    first, second = [k - Species.CHARGINO_1 for k in first], [k - Species.CHARGINO_1 for k in second]
    charginos = sin2 * ((1 - minus[first]) * plus[second] + (1 - minus[second]) * plus[first])
    charginos = charginos + cos2 * ((1 - plus[first]) * minus[second] + (1 - plus[second]) * minus[first])
    other = wino + TAN_W * bino
    right = sin2 * (down * down * minus + other * other * (1 - minus) / 2)
    left = cos2 * (up * up * plus + other * other * (1 - plus) / 2)
    charged = [(right + left).flatten(0, 1) / 4, charginos / 8]
    return HeavyHiggs(
        s_wave=make_channel(GAUGINO_PAIRS, G2 * torch.cat([neutralino_s, *charged])),
        p_wave=make_channel(GAUGINO_PAIRS, G2 * torch.cat([neutralino_p, *charged])),
    )
