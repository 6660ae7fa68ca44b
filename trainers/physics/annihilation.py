"""Cross sections of all pairs of sparticles that coannihilate.

Each pair has σv at threshold from the leading diagrams. Most prefactors are fitted (`constants.CROSS_SECTIONS`);
couplings, propagators and masses are explicit. Gauginos and higgsinos are in `currents`, `gauge_bosons` and
`heavy_higgs`, sleptons in `slepton_annihilation`. All cross sections are in GeV⁻². Squarks and the gluino only occur as
exchanged particles: their coannihilation is left out, since the scans have them at 2 TeV and more.

Sources: Griest and Seckel, PRD 43 (1991) 3191 (coannihilation); Arkani-Hamed, Delgado and Giudice, NPB 741 (2006) 108,
hep-ph/0601041 (winos, higgsinos, binos with sfermions); Ellis, Falk, Olive and Srednicki, Astropart. Phys. 13 (2000)
181, hep-ph/9905481 (sleptons); Drees and Nojiri, PRD 47 (1993) 376 (Z and Higgs poles).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from . import gaugino_annihilation, version_1
from .constants import G_HYPERCHARGE, Constants
from .gaugino_rates import HeavyHiggs
from .slepton_annihilation import slepton_gaugino_pairs, slepton_pairs
from .species import (
    CHARGINO_PAIRS,
    CHARGINO_SELF_PAIRS,
    FIRST_CHARGED_PAIRS,
    NEUTRALINO_PAIRS,
    OTHER_CHARGED_PAIRS,
    PAIRS,
    SLEPTON_PAIRS,
    Channel,
    Content,
    gaugino_content,
    make_channel,
)
from .spectrum import Spectrum

GP4 = G_HYPERCHARGE**4


class Channels(NamedTuple):
    """Cross sections by their dependence on the temperature."""

    constant: Channel
    """s-wave."""
    slepton_gaugino: Tensor
    """s-wave of `SLEPTON_GAUGINO_PAIRS`, shape (pairs, points)."""
    w_boson: Channel
    """s-channel W, lightest neutralino: to be multiplied by <s²/|s - M_W² + i M_W Γ_W|²>."""
    w_boson_second: Channel
    """The same for the heavier neutralinos."""
    z_charginos: Channel
    """s-channel Z, chargino pairs: the same with M_Z."""
    z_photon: Channel
    """Interference of Z and photon, to be multiplied by <Re s/(s - M_Z² + i M_Z Γ_Z)>."""
    z_neutralinos: Channel
    """s-channel Z, neutralino pairs."""
    heavy_higgs: HeavyHiggs
    bino_s_wave: Tensor
    """σv of the lightest neutralino's pairs from left-right mixed staus, shape (points,)."""
    bino_p_wave: Tensor
    """σv of the lightest neutralino's pairs in the p-wave, to be multiplied by <v²> = 6/x; shape (points,)."""


class Squarks(NamedTuple):
    """Squark masses in GeV, shape (points,)."""

    doublet: Tensor
    """First two generations."""
    up: Tensor
    down: Tensor
    doublet_third: Tensor


def masses_by_species(s: Spectrum) -> Tensor:
    """Return all masses in GeV, shape (12, points), in the order of `Species`."""
    sleptons = (s.selectron_right, s.selectron_left, s.sneutrino, s.stau_light, s.stau_heavy, s.sneutrino_tau)
    return torch.cat([s.neutralino.abs(), s.chargino, torch.stack(sleptons)])


def channels(s: Spectrum, mass: Tensor, squarks: Squarks, c: Constants) -> Channels:
    """Return the cross sections of all pairs.

    Args:
        s: The spectrum.
        mass: Masses by species, shape (12, points).
        squarks: Masses of the squarks.
        c: The fitted constants.
    """
    content = gaugino_content(s)
    doublets = _doublet_interference(s, squarks)
    version = version_1 if version_1.has_its_constants(c) else gaugino_annihilation
    gauginos = version.gaugino_rates(s, content, mass, doublets, c)
    sleptons = slepton_pairs(s, c)
    constant = [
        gauginos.gauge_bosons[: -len(CHARGINO_SELF_PAIRS)],
        gauginos.gauge_bosons[-len(CHARGINO_SELF_PAIRS) :] + gauginos.photons,
        torch.stack([sleptons[pair] for pair in SLEPTON_PAIRS]),
    ]
    return Channels(
        constant=make_channel(PAIRS, torch.cat(constant)),
        slepton_gaugino=slepton_gaugino_pairs(s, content, mass, c),
        w_boson=make_channel(FIRST_CHARGED_PAIRS, gauginos.charged[: len(FIRST_CHARGED_PAIRS)]),
        w_boson_second=make_channel(OTHER_CHARGED_PAIRS, gauginos.charged[len(FIRST_CHARGED_PAIRS) :]),
        z_charginos=make_channel(CHARGINO_PAIRS, gauginos.charginos),
        z_photon=make_channel(CHARGINO_SELF_PAIRS, gauginos.interference),
        z_neutralinos=make_channel(NEUTRALINO_PAIRS, gauginos.neutralinos),
        heavy_higgs=gauginos.heavy_higgs,
        bino_s_wave=_stau_mixing_exchange(s, content, c),
        bino_p_wave=c["bino_sfermion_exchange"] * GP4 * content.bino[0] ** 2 * _sfermion_exchange(s, mass[0], squarks),
    )


_LEFT = 1 / 16
_SFERMION_WEIGHTS = (2, 1, 2 * _LEFT, 2 * _LEFT, _LEFT, _LEFT, 2 * 6 / 1296, 2 * 3 * 16 / 81, 2 * 3 / 81)
"""Generations · N_c · Y⁴ of e_R, heavy stau, e_L, sneutrino, light stau, τ-sneutrino, q_L, u_R and d_R; Y = 1 for e_R.

The heavy stau counts as right-handed, the light one as left-handed.
"""


def _doublet_interference(s: Spectrum, squarks: Squarks) -> Tensor:
    """Return the suppression of wino pairs into fermions by the exchange of sfermion doublets, shape (points,).

    The amplitudes with a W and with a sfermion of mass M cancel at M = m: their sum has (M² - m²)/(M² + m²).
    The mean is over nine quark and three lepton doublets.
    """
    wino = (s.neutralino_mixing[:, 1] ** 2 * s.neutralino * s.neutralino).sum(0)
    mass = torch.stack([s.sneutrino, s.sneutrino_tau, squarks.doublet, squarks.doublet_third])
    squared = mass * mass
    amplitude = (squared - wino) / (squared + wino)
    lepton, tau, quark, third = (amplitude * amplitude).unbind(0)
    return (2 * lepton + tau + 6 * quark + 3 * third) / 12


def _stau_mixing_exchange(s: Spectrum, content: Content, c: Constants) -> Tensor:
    """Return σv of bino pairs into τ pairs, whose s-wave needs mixed staus.

    Source: Falk, Madden, Olive and Srednicki, PLB 318 (1993) 354.
    """
    neutralino = s.neutralino[0] * s.neutralino[0]
    light = 1 / (neutralino + s.stau_light * s.stau_light)
    heavy = 1 / (neutralino + s.stau_heavy * s.stau_heavy)
    difference = light - heavy
    mixing = s.stau_left * (1 - s.stau_left)
    bino = content.bino[0] * content.bino[0]
    return c["bino_stau_mixing"] * GP4 * bino * mixing * neutralino * difference * difference


def _sfermion_exchange(s: Spectrum, neutralino: Tensor, squarks: Squarks) -> Tensor:
    """Return Σ N_c Y⁴ r(1 + r²)/((1 + r)⁴ M²) over sfermions, r = m²/M², in GeV⁻², with Y = 1 for selectrons."""
    right, left = (s.selectron_right, s.stau_heavy), (s.selectron_left, s.sneutrino, s.stau_light, s.sneutrino_tau)
    mass = torch.stack([*right, *left, squarks.doublet, squarks.up, squarks.down])
    weight = torch.tensor(_SFERMION_WEIGHTS, dtype=mass.dtype, device=mass.device)[:, None]
    squared = mass * mass
    r = neutralino * neutralino / squared
    quarter = (1 + r) * (1 + r)
    return (weight * r * (1 + r * r) / (quarter * quarter * squared)).sum(0)
