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
from typing import NamedTuple

import torch
from torch import Tensor

from .constants import COS_W, E_CHARGE, G_HYPERCHARGE, G_WEAK, M_W, Constants
from .spectrum import Spectrum

G2, G4 = G_WEAK**2, G_WEAK**4
GP2, GP4 = G_HYPERCHARGE**2, G_HYPERCHARGE**4
RIGHT_GAUGE4 = (E_CHARGE / COS_W) ** 4
"""(e/cos θ_W)⁴ = g'⁴: the strength of right-handed sleptons' pairs."""


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


class Channel(NamedTuple):
    """Pairs of species whose cross sections depend on the temperature in the same way."""

    first: list[int]
    second: list[int]
    cross_section: Tensor
    """σv in GeV⁻², shape (pairs, points); doubled for unequal species, which occur in both orders."""


class Channels(NamedTuple):
    """Cross sections by their dependence on the temperature."""

    constant: Channel
    """s-wave."""
    w_boson: Channel
    """s-channel W: to be multiplied by <s²/|s - M_W² + i M_W Γ_W|²>."""
    z_boson: Channel
    """s-channel Z: the same with M_Z."""
    bino_p_wave: Tensor
    """Coefficient b in σv = b v² / v²-average: to be multiplied by 6/x; lightest neutralino pairs, shape (points,)."""


def masses_by_species(s: Spectrum) -> Tensor:
    """Return all masses in GeV, shape (12, points), in the order of `Species`."""
    sleptons = (s.selectron_right, s.selectron_left, s.sneutrino, s.stau_light, s.stau_heavy, s.sneutrino_tau)
    return torch.cat([s.neutralino.abs(), s.chargino, torch.stack(sleptons)])


def channels(s: Spectrum, mass: Tensor, squarks: tuple[Tensor, Tensor, Tensor], c: Constants) -> Channels:
    """Return the cross sections of all pairs.

    Args:
        s: The spectrum.
        mass: Masses by species, shape (12, points).
        squarks: mqL1, muR and mdR in GeV, shape (points,).
        c: The fitted constants.
    """
    content = _content(s)
    gauge = _gauge_bosons(content, mass, c)
    charged, neutral = _fermion_pairs(content, mass, c)
    slepton_pairs = _slepton_pairs(s, c)
    with_gauginos = _slepton_gaugino_pairs(s, content, mass, c)
    return Channels(
        constant=_channel(gauge | slepton_pairs | with_gauginos),
        w_boson=_channel(charged),
        z_boson=_channel(neutral),
        bino_p_wave=c["bino_sfermion_exchange"] * GP4 * content.bino[0] ** 2 * _sfermion_exchange(s, mass[0], squarks),
    )


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


def _channel(pairs: dict[Pair, Tensor]) -> Channel:
    doubled = [value if first == second else 2 * value for (first, second), value in pairs.items()]
    return Channel([int(a) for a, _ in pairs], [int(b) for _, b in pairs], torch.stack(doubled))


def _mean_mass_squared(mass: Tensor, first: int, second: int) -> Tensor:
    total = mass[first] + mass[second]
    return total * total / 4


def _gauge_bosons(content: _Content, mass: Tensor, c: Constants) -> dict[Pair, Tensor]:
    """Return σv of gauginos and higgsinos into gauge bosons, with the phase space of W pairs."""
    bino, wino, higgsino = content
    result = {}
    for position, first in enumerate(GAUGINOS):
        for second in GAUGINOS[position:]:
            squared = _mean_mass_squared(mass, first, second)
            y = torch.clamp(M_W**2 / squared, max=0.999)
            open_space = 1 - y
            phase_space = open_space * torch.sqrt(open_space) / (1 - y / 2) ** 2
            couplings = (
                c["wino_gauge_bosons"] * wino[first] * wino[second]
                + c["higgsino_gauge_bosons"] * higgsino[first] * higgsino[second]
                + c["wino_higgsino_gauge_bosons"] * (wino[first] * higgsino[second] + higgsino[first] * wino[second])
            )
            result[first, second] = G4 * couplings * phase_space / squared
    return result


def _fermion_pairs(content: _Content, mass: Tensor, c: Constants) -> tuple[dict[Pair, Tensor], dict[Pair, Tensor]]:
    """Return σv of gauginos and higgsinos into fermions by a W and by a Z or photon, without the propagators."""
    bino, wino, higgsino = content
    charged, neutral = {}, {}
    for i in NEUTRALINOS:
        for j in CHARGINOS:
            charged[i, j] = (
                c["wino_charged_current"] * G4 * wino[i] * wino[j]
                + c["higgsino_charged_current"] * G4 * higgsino[i] * higgsino[j]
                + c["bino_charged_current"] * GP2 * G2 * bino[i]
            ) / _mean_mass_squared(mass, i, j)
    for position, i in enumerate(CHARGINOS):
        for j in CHARGINOS[position:]:
            couplings = (
                c["wino_neutral_current"] * wino[i] * wino[j] + c["higgsino_neutral_current"] * higgsino[i] * higgsino[j]
            )
            neutral[i, j] = G4 * couplings / _mean_mass_squared(mass, i, j)
    for position, i in enumerate(NEUTRALINOS):
        for j in NEUTRALINOS[position + 1 :]:
            couplings = c["higgsino_neutralino_current"] * higgsino[i] * higgsino[j]
            neutral[i, j] = G4 * couplings / _mean_mass_squared(mass, i, j)
    return charged, neutral


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
        return c["stau_exchange"] * like_sign + opposite_sign / (mass * mass)

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


def _slepton_gaugino_pairs(s: Spectrum, content: _Content, mass: Tensor, c: Constants) -> dict[Pair, Tensor]:
    """Return σv of a slepton with a gaugino, into a lepton and a gauge boson."""
    one, zero = torch.ones_like(s.stau_left), torch.zeros_like(s.stau_left)
    left_parts = (zero, one, one, s.stau_left, 1 - s.stau_left, one)
    result = {}
    for slepton, left in zip(SLEPTONS, left_parts, strict=True):
        bino = c["slepton_bino"] * GP2 * E_CHARGE**2 * (1 - 0.75 * left)
        wino = c["slepton_wino"] * G4 * left
        for gaugino in GAUGINOS:
            coupling = bino * content.bino[gaugino] + wino * content.wino[gaugino]
            result[gaugino, slepton] = coupling / _mean_mass_squared(mass, gaugino, slepton)
    return result


def _sfermion_exchange(s: Spectrum, neutralino: Tensor, squarks: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Return Σ N_c Y⁴ r(1 + r²)/((1 + r)⁴ M²) over sfermions, r = m²/M², in GeV⁻², with Y = 1 for selectrons."""

    def loop(sfermion: Tensor) -> Tensor:
        squared = sfermion * sfermion
        r = neutralino * neutralino / squared
        quarter = (1 + r) ** 2
        return r * (1 + r * r) / (quarter * quarter * squared)

    doublet, up, down = squarks
    right_handed = 2 * loop(s.selectron_right) + loop(s.stau_heavy)
    left_handed = 2 * loop(s.selectron_left) + 2 * loop(s.sneutrino) + loop(s.stau_light) + loop(s.sneutrino_tau)
    # N_c Y⁴ of two generations; quark doublets have Y = 1/6.
    quarks = 2 * 3 * (16 / 81 * loop(up) + loop(down) / 81) + 2 * 6 / 1296 * loop(doublet)
    return right_handed + left_handed / 16 + quarks
