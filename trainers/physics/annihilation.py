"""Cross sections of all pairs of sparticles that coannihilate.

Each pair has σv at threshold from the leading diagrams, in the basis of pure bino, wino, higgsino and chiral sleptons,
weighted by the mixings. The prefactors are fitted (`constants.CROSS_SECTIONS`); couplings, propagators and masses are
explicit. All cross sections are in GeV⁻². Squarks and the gluino only occur as exchanged particles: their
coannihilation is left out, since the scans have them at 2 TeV and more.

Sources: Griest and Seckel, PRD 43 (1991) 3191 (coannihilation); Arkani-Hamed, Delgado and Giudice, NPB 741 (2006) 108,
hep-ph/0601041 (winos, higgsinos, binos with sfermions); Ellis, Falk, Olive and Srednicki, Astropart. Phys. 13 (2000)
181, hep-ph/9905481 (sleptons); Drees and Nojiri, PRD 47 (1993) 376 (Z and Higgs poles).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .constants import G_HYPERCHARGE, G_WEAK, M_W, TAN_W, Constants
from .slepton_annihilation import slepton_gaugino_pairs, slepton_pairs
from .species import (
    CHARGED_PAIRS,
    CHARGINO_PAIRS,
    CHARGINOS,
    GAUGINO_PAIRS,
    NEUTRALINO_AND_SELF_PAIRS,
    NEUTRALINO_PAIRS,
    SLEPTON_GAUGINO_PAIRS,
    Channel,
    Content,
    Pair,
    Species,
    gaugino_content,
    make_channel,
    mean_mass_squared,
    sides,
)
from .spectrum import Spectrum

G2, G4 = G_WEAK**2, G_WEAK**4
GP2, GP4 = G_HYPERCHARGE**2, G_HYPERCHARGE**4

THERMAL_ENERGY = 1.06
"""s/4m² at freeze-out: 1 + 3/(2 x) at x = 25."""


class HeavyHiggs(NamedTuple):
    """Squared couplings of pairs to A, H and H±, dimensionless, by the wave in which the pair annihilates."""

    s_wave: Channel
    p_wave: Channel


class Channels(NamedTuple):
    """Cross sections by their dependence on the temperature."""

    constant: Channel
    """s-wave."""
    w_boson: Channel
    """s-channel W: to be multiplied by <s²/|s - M_W² + i M_W Γ_W|²>."""
    z_charginos: Channel
    """s-channel Z and photon, chargino pairs: the same with M_Z."""
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
    sleptons = slepton_pairs(s, c)
    constant = make_channel(
        (*GAUGINO_PAIRS, *sleptons, *SLEPTON_GAUGINO_PAIRS),
        torch.cat(
            [
                _gauge_bosons(content, mass, c),
                torch.stack(list(sleptons.values())),
                slepton_gaugino_pairs(s, content, mass, c),
            ]
        ),
    )
    return Channels(
        constant=constant,
        w_boson=make_channel(CHARGED_PAIRS, _charged_currents(content, mass, doublets, c)),
        z_charginos=make_channel(CHARGINO_PAIRS, _chargino_currents(content, mass, doublets, c)),
        z_neutralinos=make_channel(NEUTRALINO_PAIRS, _neutralino_currents(content, mass, c)),
        bino_s_wave=_stau_mixing_exchange(s, content, c),
        heavy_higgs=_heavy_higgs(s),
        bino_p_wave=c["bino_sfermion_exchange"] * GP4 * content.bino[0] ** 2 * _sfermion_exchange(s, mass[0], squarks),
    )


_LEFT = 1 / 16
_SFERMION_WEIGHTS = (2, 1, 2 * _LEFT, 2 * _LEFT, _LEFT, _LEFT, 2 * 6 / 1296, 2 * 3 * 16 / 81, 2 * 3 / 81)
"""Generations · N_c · Y⁴ of e_R, heavy stau, e_L, sneutrino, light stau, τ-sneutrino, q_L, u_R and d_R; Y = 1 for e_R.

The heavy stau counts as right-handed, the light one as left-handed.
"""


def _gauge_bosons(content: Content, mass: Tensor, c: Constants) -> Tensor:
    """Return σv of `GAUGINO_PAIRS` into gauge bosons, with the phase space of W pairs."""
    first, second = sides(GAUGINO_PAIRS)
    squared = mean_mass_squared(mass, GAUGINO_PAIRS)
    y = torch.clamp(M_W**2 / (THERMAL_ENERGY * squared), max=0.999)
    propagator = 1 - y / 2
    massive = (1 - y) * torch.sqrt(1 - y) / (propagator * propagator)
    photons = torch.tensor([_photons(pair) for pair in GAUGINO_PAIRS], dtype=mass.dtype, device=mass.device)
    phase_space = massive + c["photon_pairs"] * photons[:, None] * (1 - massive)
    wino, other_wino = content.wino[first], content.wino[second]
    higgsino, other_higgsino = content.higgsino[first], content.higgsino[second]
    couplings = (
        c["wino_gauge_bosons"] * wino * other_wino
        + c["higgsino_gauge_bosons"] * higgsino * other_higgsino
        + c["wino_higgsino_gauge_bosons"] * (wino * other_higgsino + higgsino * other_wino)
    )
    return G4 * couplings * phase_space / squared


def _photons(pair: Pair) -> float:
    """Return 1 for pairs with a final state that is open below the W threshold: W γ."""
    return float(sum(species in CHARGINOS for species in pair) == 1)


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


def _charged_currents(content: Content, mass: Tensor, doublets: Tensor, c: Constants) -> Tensor:
    """Return σv of `CHARGED_PAIRS` into fermions by a W, without its propagator."""
    charged, neutral = sides(CHARGED_PAIRS)
    couplings = (
        c["wino_charged_current"] * G4 * doublets * content.wino[neutral] * content.wino[charged]
        + c["higgsino_charged_current"] * G4 * content.higgsino[neutral] * content.higgsino[charged]
        + c["bino_charged_current"] * GP2 * G2 * content.bino[neutral]
    )
    return couplings / mean_mass_squared(mass, CHARGED_PAIRS)


def _chargino_currents(content: Content, mass: Tensor, doublets: Tensor, c: Constants) -> Tensor:
    """Return σv of `CHARGINO_PAIRS` into fermions by a Z or photon, without the propagator."""
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
    """Return the squared couplings to the heavy Higgs doublet in the decoupling limit.

    Source: Gunion and Haber, NPB 272 (1986) 1. Two neutralinos whose signed masses have the same sign couple to A in
    the s-wave and to H in the p-wave, others the other way round. Interference in chargino couplings is neglected;
    half of the chargino pairs have opposite charges.
    """
    bino, wino, down, up = s.neutralino_mixing.unbind(1)
    gaugino = wino - TAN_W * bino
    pseudoscalar, scalar = s.sin_beta * down - s.cos_beta * up, s.sin_beta * down + s.cos_beta * up
    first, second = sides(NEUTRALINO_AND_SELF_PAIRS)
    a_higgs = (gaugino[first] * pseudoscalar[second] + gaugino[second] * pseudoscalar[first]) / 2
    h_higgs = (gaugino[first] * scalar[second] + gaugino[second] * scalar[first]) / 2
    same = s.neutralino[first] * s.neutralino[second] > 0
    s_wave, p_wave = torch.where(same, a_higgs, h_higgs), torch.where(same, h_higgs, a_higgs)
    sin2, cos2 = s.sin_beta * s.sin_beta, s.cos_beta * s.cos_beta
    minus, plus = s.wino_minus, s.wino_plus
    first, second = sides(CHARGINO_PAIRS)
    first, second = [k - Species.CHARGINO_1 for k in first], [k - Species.CHARGINO_1 for k in second]
    charginos = sin2 * ((1 - minus[first]) * plus[second] + (1 - minus[second]) * plus[first])
    charginos = charginos + cos2 * ((1 - plus[first]) * minus[second] + (1 - plus[second]) * minus[first])
    other = wino + TAN_W * bino
    right = sin2 * (down * down * minus[:, None] + other * other * (1 - minus[:, None]) / 2)
    left = cos2 * (up * up * plus[:, None] + other * other * (1 - plus[:, None]) / 2)
    charged = [charginos / 8, (right + left).flatten(0, 1) / 4]
    pairs = (*NEUTRALINO_AND_SELF_PAIRS, *CHARGINO_PAIRS, *CHARGED_PAIRS)
    return HeavyHiggs(
        s_wave=make_channel(pairs, G2 * torch.cat([s_wave * s_wave, *charged])),
        p_wave=make_channel(pairs, G2 * torch.cat([p_wave * p_wave, *charged])),
    )


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
