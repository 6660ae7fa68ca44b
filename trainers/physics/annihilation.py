"""Cross sections of all pairs of sparticles that coannihilate.

Each pair has σv at threshold from the leading diagrams, in the basis of pure bino, wino, higgsino and chiral sleptons,
weighted by the mixings. The prefactors are fitted (`constants.CROSS_SECTIONS`); couplings, propagators and masses are
explicit. All cross sections are in GeV⁻². Squarks and the gluino are left out: at 2 TeV and more they annihilate with
light sparticles in no point of the training data.

Sources: Griest and Seckel, PRD 43 (1991) 3191 (coannihilation); Arkani-Hamed, Delgado and Giudice, NPB 741 (2006) 108,
hep-ph/0601041 (winos, higgsinos, binos with sfermions); Ellis, Falk, Olive and Srednicki, Astropart. Phys. 13 (2000)
181, hep-ph/9905481 (sleptons); Drees and Nojiri, PRD 47 (1993) 376 (Z and Higgs poles).
"""

from __future__ import annotations

from enum import IntEnum
from itertools import combinations, combinations_with_replacement, product
from typing import NamedTuple

import torch
from torch import Tensor

from .constants import COS_W, E_CHARGE, G_HYPERCHARGE, G_WEAK, M_W, TAN_W, Constants
from .spectrum import Spectrum

G2, G4 = G_WEAK**2, G_WEAK**4
GP2, GP4 = G_HYPERCHARGE**2, G_HYPERCHARGE**4
RIGHT_GAUGE4 = (E_CHARGE / COS_W) ** 4
"""(e/cos θ_W)⁴ = g'⁴: the strength of right-handed sleptons' pairs."""


THERMAL_ENERGY = 1.06
"""s/4m² at freeze-out: 1 + 3/(2 x) at x = 25."""


class Species(IntEnum):
    """Particles in thermal equilibrium with each other; the value is the row in arrays over species."""

    NEUTRALINO_1 = 0
    NEUTRALINO_2 = 1
    NEUTRALINO_3 = 2
    NEUTRALINO_4 = 3
    CHARGINO_1 = 4
    CHARGINO_2 = 5
    SELECTRON_RIGHT = 6
    SELECTRON_LEFT = 7
    SNEUTRINO = 8
    STAU_LIGHT = 9
    STAU_HEAVY = 10
    SNEUTRINO_TAU = 11


S = Species
NEUTRALINOS = (S.NEUTRALINO_1, S.NEUTRALINO_2, S.NEUTRALINO_3, S.NEUTRALINO_4)
CHARGINOS = (S.CHARGINO_1, S.CHARGINO_2)
GAUGINOS = NEUTRALINOS + CHARGINOS
SLEPTONS = (S.SELECTRON_RIGHT, S.SELECTRON_LEFT, S.SNEUTRINO, S.STAU_LIGHT, S.STAU_HEAVY, S.SNEUTRINO_TAU)

DEGREES_OF_FREEDOM = (2, 2, 2, 2, 4, 4, 4, 4, 4, 2, 2, 2)
"""Spin states and antiparticles; selectrons and sneutrinos count for two degenerate generations."""

Pair = tuple[Species, Species]


NEUTRALINO_AND_SELF_PAIRS = tuple(combinations_with_replacement(NEUTRALINOS, 2))
GAUGINO_PAIRS = tuple(combinations_with_replacement(GAUGINOS, 2))
CHARGED_PAIRS = tuple(product(CHARGINOS, NEUTRALINOS))
CHARGINO_PAIRS = tuple(combinations_with_replacement(CHARGINOS, 2))
NEUTRALINO_PAIRS = tuple(combinations(NEUTRALINOS, 2))
SLEPTON_GAUGINO_PAIRS = tuple(product(SLEPTONS, GAUGINOS))


class Channel(NamedTuple):
    """Pairs of species whose cross sections depend on the temperature in the same way."""

    rows: tuple[Row, ...]
    cross_section: Tensor
    """σv in GeV⁻², shape (pairs, points); doubled for unequal species, which meet in both orders."""

    def average(self, share: Tensor) -> Tensor:
        """Return the mean cross section over particles with abundances `share`, shape (x, species, points)."""
        total = torch.zeros_like(share[:, 0])
        parts = torch.split(self.cross_section, [row.partners for row in self.rows])
        for row, cross_section in zip(self.rows, parts, strict=True):
            partners = share[:, row.first : row.first + row.partners]
            total = total + share[:, row.species] * (partners * cross_section).sum(1)
        return total


class Row(NamedTuple):
    """One species with successive partners: slices are faster than gathered pairs."""

    species: int
    first: int
    partners: int


def _channel(pairs: tuple[Pair, ...], cross_section: Tensor) -> Channel:
    rows: list[Row] = []
    for species, partner in pairs:
        last = rows[-1] if rows else Row(-1, -1, 0)
        if species == last.species and partner == last.first + last.partners:
            rows[-1] = last._replace(partners=last.partners + 1)
        else:
            rows.append(Row(int(species), int(partner), 1))
    orders = [1.0 if species == partner else 2.0 for species, partner in pairs]
    weight = torch.tensor(orders, dtype=cross_section.dtype, device=cross_section.device)
    return Channel(tuple(rows), cross_section * weight[:, None])


def _sides(pairs: tuple[Pair, ...]) -> tuple[list[int], list[int]]:
    return [int(first) for first, _ in pairs], [int(second) for _, second in pairs]


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
    content = _content(s)
    doublets = _doublet_interference(s, squarks)
    slepton_pairs = _slepton_pairs(s, c)
    constant = _channel(
        (*GAUGINO_PAIRS, *slepton_pairs, *SLEPTON_GAUGINO_PAIRS),
        torch.cat(
            [
                _gauge_bosons(content, mass, c),
                torch.stack(list(slepton_pairs.values())),
                _slepton_gaugino_pairs(s, content, mass, c),
            ]
        ),
    )
    return Channels(
        constant=constant,
        w_boson=_channel(CHARGED_PAIRS, _charged_currents(content, mass, doublets, c)),
        z_charginos=_channel(CHARGINO_PAIRS, _chargino_currents(content, mass, doublets, c)),
        z_neutralinos=_channel(NEUTRALINO_PAIRS, _neutralino_currents(content, mass, c)),
        bino_s_wave=_stau_mixing_exchange(s, content, c),
        heavy_higgs=_heavy_higgs(s),
        bino_p_wave=c["bino_sfermion_exchange"] * GP4 * content.bino[0] ** 2 * _sfermion_exchange(s, mass[0], squarks),
    )


_LEFT = 1 / 16
_SFERMION_WEIGHTS = (2, 1, 2 * _LEFT, 2 * _LEFT, _LEFT, _LEFT, 2 * 6 / 1296, 2 * 3 * 16 / 81, 2 * 3 / 81)
"""Generations · N_c · Y⁴ of e_R, heavy stau, e_L, sneutrino, light stau, τ-sneutrino, q_L, u_R and d_R; Y = 1 for e_R.

The heavy stau counts as right-handed, the light one as left-handed.
"""


class _Content(NamedTuple):
    """Squared components of the six gauginos and higgsinos; shape (6, points), and charginos after neutralinos."""

    bino: Tensor
    wino: Tensor
    higgsino: Tensor


def _content(s: Spectrum) -> _Content:
    squared = s.neutralino_mixing * s.neutralino_mixing
    wino = (s.wino_minus + s.wino_plus) / 2
    return _Content(
        bino=torch.cat([squared[:, 0], torch.zeros_like(wino)]),
        wino=torch.cat([squared[:, 1], wino]),
        higgsino=torch.cat([squared[:, 2] + squared[:, 3], 1 - wino]),
    )


def _mean_mass_squared(mass: Tensor, pairs: tuple[Pair, ...]) -> Tensor:
    first, second = _sides(pairs)
    total = mass[first] + mass[second]
    return total * total / 4


def _gauge_bosons(content: _Content, mass: Tensor, c: Constants) -> Tensor:
    """Return σv of `GAUGINO_PAIRS` into gauge bosons, with the phase space of W pairs."""
    first, second = _sides(GAUGINO_PAIRS)
    squared = _mean_mass_squared(mass, GAUGINO_PAIRS)
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


def _charged_currents(content: _Content, mass: Tensor, doublets: Tensor, c: Constants) -> Tensor:
    """Return σv of `CHARGED_PAIRS` into fermions by a W, without its propagator."""
    charged, neutral = _sides(CHARGED_PAIRS)
    couplings = (
        c["wino_charged_current"] * G4 * doublets * content.wino[neutral] * content.wino[charged]
        + c["higgsino_charged_current"] * G4 * content.higgsino[neutral] * content.higgsino[charged]
        + c["bino_charged_current"] * GP2 * G2 * content.bino[neutral]
    )
    return couplings / _mean_mass_squared(mass, CHARGED_PAIRS)


def _chargino_currents(content: _Content, mass: Tensor, doublets: Tensor, c: Constants) -> Tensor:
    """Return σv of `CHARGINO_PAIRS` into fermions by a Z or photon, without the propagator."""
    first, second = _sides(CHARGINO_PAIRS)
    couplings = (
        c["wino_neutral_current"] * doublets * content.wino[first] * content.wino[second]
        + c["higgsino_neutral_current"] * content.higgsino[first] * content.higgsino[second]
    )
    return G4 * couplings / _mean_mass_squared(mass, CHARGINO_PAIRS)


def _neutralino_currents(content: _Content, mass: Tensor, c: Constants) -> Tensor:
    """Return σv of `NEUTRALINO_PAIRS` into fermions by a Z, without the propagator."""
    first, second = _sides(NEUTRALINO_PAIRS)
    couplings = c["higgsino_neutralino_current"] * content.higgsino[first] * content.higgsino[second]
    return G4 * couplings / _mean_mass_squared(mass, NEUTRALINO_PAIRS)


def _heavy_higgs(s: Spectrum) -> HeavyHiggs:
    """Return the squared couplings to the heavy Higgs doublet in the decoupling limit.

    Source: Gunion and Haber, NPB 272 (1986) 1. Two neutralinos whose signed masses have the same sign couple to A in
    the s-wave and to H in the p-wave, others the other way round. Interference in chargino couplings is neglected;
    half of the chargino pairs have opposite charges.
    """
    bino, wino, down, up = s.neutralino_mixing.unbind(1)
    gaugino = wino - TAN_W * bino
    pseudoscalar, scalar = s.sin_beta * down - s.cos_beta * up, s.sin_beta * down + s.cos_beta * up
    first, second = _sides(NEUTRALINO_AND_SELF_PAIRS)
    a_higgs = (gaugino[first] * pseudoscalar[second] + gaugino[second] * pseudoscalar[first]) / 2
    h_higgs = (gaugino[first] * scalar[second] + gaugino[second] * scalar[first]) / 2
    same = s.neutralino[first] * s.neutralino[second] > 0
    s_wave, p_wave = torch.where(same, a_higgs, h_higgs), torch.where(same, h_higgs, a_higgs)
    sin2, cos2 = s.sin_beta * s.sin_beta, s.cos_beta * s.cos_beta
    minus, plus = s.wino_minus, s.wino_plus
    first, second = _sides(CHARGINO_PAIRS)
    first, second = [k - S.CHARGINO_1 for k in first], [k - S.CHARGINO_1 for k in second]
    charginos = sin2 * ((1 - minus[first]) * plus[second] + (1 - minus[second]) * plus[first])
    charginos = charginos + cos2 * ((1 - plus[first]) * minus[second] + (1 - plus[second]) * minus[first])
    other = wino + TAN_W * bino
    right = sin2 * (down * down * minus[:, None] + other * other * (1 - minus[:, None]) / 2)
    left = cos2 * (up * up * plus[:, None] + other * other * (1 - plus[:, None]) / 2)
    charged = [charginos / 8, (right + left).flatten(0, 1) / 4]
    pairs = (*NEUTRALINO_AND_SELF_PAIRS, *CHARGINO_PAIRS, *CHARGED_PAIRS)
    return HeavyHiggs(
        s_wave=_channel(pairs, G2 * torch.cat([s_wave * s_wave, *charged])),
        p_wave=_channel(pairs, G2 * torch.cat([p_wave * p_wave, *charged])),
    )


class _Exchange(NamedTuple):
    """Couplings of chiral sleptons to the four neutralinos, with signed masses: shape (4, points)."""

    mass: Tensor
    right: Tensor
    """Right-handed sleptons: N_1², to be multiplied by g'²."""
    charged: Tensor
    """Left-handed charged sleptons: (g N_2 + g' N_1)²/2."""
    neutral: Tensor
    """Sneutrinos: (g N_2 - g' N_1)²/2."""
    charged_neutral: Tensor
    """A left-handed slepton and a sneutrino: product of the two."""

    def amplitude(self, slepton: Tensor, coupling: Tensor) -> Tensor:
        """Return |Σ_k coupling_k m_k/(m² + m_k²)|², the exchange with a Majorana mass insertion, GeV⁻²."""
        propagators = coupling * self.mass / (slepton * slepton + self.mass * self.mass)
        return propagators.sum(0) ** 2


def _exchange(s: Spectrum) -> _Exchange:
    bino = G_HYPERCHARGE * s.neutralino_mixing[:, 0]
    wino = G_WEAK * s.neutralino_mixing[:, 1]
    plus, minus = wino + bino, wino - bino
    return _Exchange(
        mass=s.neutralino,
        right=s.neutralino_mixing[:, 0] ** 2,
        charged=plus * plus / 2,
        neutral=minus * minus / 2,
        charged_neutral=plus * minus / 2,
    )


def _slepton_pairs(s: Spectrum, c: Constants) -> dict[Pair, Tensor]:
    """Return σv of slepton pairs: like-sign by gaugino exchange, opposite-sign into gauge bosons."""
    exchange = _exchange(s)
    left_gauge = c["left_slepton_gauge"] * G4 / (s.sneutrino * s.sneutrino)
    result = {
        (S.SELECTRON_RIGHT, S.SELECTRON_RIGHT): c["right_slepton_exchange"]
        * GP4
        * exchange.amplitude(s.selectron_right, exchange.right)
        + c["right_slepton_gauge"] * RIGHT_GAUGE4 / (s.selectron_right * s.selectron_right),
        (S.SELECTRON_LEFT, S.SELECTRON_LEFT): c["left_slepton_exchange"]
        * exchange.amplitude(s.selectron_left, exchange.charged)
        + c["left_slepton_gauge"] * G4 / (s.selectron_left * s.selectron_left),
        (S.SNEUTRINO, S.SNEUTRINO): c["left_slepton_exchange"] * exchange.amplitude(s.sneutrino, exchange.neutral)
        + left_gauge,
        (S.SELECTRON_LEFT, S.SNEUTRINO): c["slepton_chargino_exchange"] * G4 * _chargino_exchange(s, s.sneutrino)
        + c["left_slepton_exchange"] / 2 * exchange.amplitude(s.sneutrino, exchange.charged_neutral)
        + left_gauge,
        (S.SELECTRON_RIGHT, S.SELECTRON_LEFT): c["mixed_slepton_exchange"]
        * GP4
        * exchange.right[0] ** 2
        * s.selectron_right
        * s.selectron_left
        / (s.selectron_right * s.selectron_left + s.neutralino[0] ** 2) ** 2,
    }
    return result | _stau_pairs(s, exchange, c)


def _stau_pairs(s: Spectrum, exchange: _Exchange, c: Constants) -> dict[Pair, Tensor]:
    def pairs(mass: Tensor, left: Tensor, right: Tensor) -> Tensor:
        like_sign = right * right * GP4 * exchange.amplitude(mass, exchange.right)
        like_sign = like_sign + left * left * exchange.amplitude(mass, exchange.charged)
        opposite_sign = (
            c["stau_right_gauge"] * right * right * RIGHT_GAUGE4
            + c["stau_left_gauge"] * left * left * G4
            + c["stau_mixed_gauge"] * left * right * G4
        )
        # Two light Higgs bosons by the exchange of a stau, with the trilinear coupling from left-right mixing.
        trilinear = s.stau_mixing / M_W * torch.sqrt(left * right + 1e-12) / mass
        to_higgs = c["stau_higgs"] * G4 * trilinear * trilinear * trilinear * trilinear
        return c["stau_exchange"] * like_sign + (opposite_sign + to_higgs) / (mass * mass)

    left, right = s.stau_left, 1 - s.stau_left
    gauge = c["stau_left_gauge"] * G4 / (s.sneutrino_tau * s.sneutrino_tau)
    charged = c["slepton_chargino_exchange"] * G4 * _chargino_exchange(s, s.sneutrino_tau)
    return {
        (S.STAU_LIGHT, S.STAU_LIGHT): pairs(s.stau_light, left, right),
        (S.STAU_HEAVY, S.STAU_HEAVY): pairs(s.stau_heavy, right, left),
        (S.SNEUTRINO_TAU, S.SNEUTRINO_TAU): c["sneutrino_tau_exchange"]
        * exchange.amplitude(s.sneutrino_tau, exchange.neutral)
        + gauge,
        (S.STAU_LIGHT, S.SNEUTRINO_TAU): left * (gauge + charged),
    }


def _chargino_exchange(s: Spectrum, slepton: Tensor) -> Tensor:
    propagators = s.wino_plus * s.chargino / (slepton * slepton + s.chargino * s.chargino)
    return propagators.sum(0) ** 2


def _slepton_gaugino_pairs(s: Spectrum, content: _Content, mass: Tensor, c: Constants) -> Tensor:
    """Return σv of `SLEPTON_GAUGINO_PAIRS` into a lepton and a gauge boson."""
    one, zero = torch.ones_like(s.stau_left), torch.zeros_like(s.stau_left)
    left = torch.stack([zero, one, one, s.stau_left, 1 - s.stau_left, one])[:, None]
    couplings = (
        c["slepton_bino"] * GP2 * E_CHARGE**2 * (1 - 0.75 * left) * content.bino
        + c["slepton_wino"] * G4 * left * content.wino
    )
    return couplings.flatten(0, 1) / _mean_mass_squared(mass, SLEPTON_GAUGINO_PAIRS)


def _stau_mixing_exchange(s: Spectrum, content: _Content, c: Constants) -> Tensor:
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
