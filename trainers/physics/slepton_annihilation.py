"""Cross sections of slepton pairs and of sleptons with gauginos.

Source: Ellis, Falk, Olive and Srednicki, Astropart. Phys. 13 (2000) 181, hep-ph/9905481.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .constants import COS_W, E_CHARGE, G_HYPERCHARGE, G_WEAK, M_W, Constants
from .species import SLEPTON_GAUGINO_PAIRS, Content, Pair, Species, mean_mass_squared
from .spectrum import Spectrum

S = Species
G4 = G_WEAK**4
GP2, GP4 = G_HYPERCHARGE**2, G_HYPERCHARGE**4
RIGHT_GAUGE4 = (E_CHARGE / COS_W) ** 4
"""(e/cos θ_W)⁴ = g'⁴: the strength of right-handed sleptons' pairs."""


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


def slepton_pairs(s: Spectrum, c: Constants) -> dict[Pair, Tensor]:
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


def slepton_gaugino_pairs(s: Spectrum, content: Content, mass: Tensor, c: Constants) -> Tensor:
    """Return σv of `SLEPTON_GAUGINO_PAIRS` into a lepton and a gauge boson."""
    one, zero = torch.ones_like(s.stau_left), torch.zeros_like(s.stau_left)
    left = torch.stack([zero, one, one, s.stau_left, 1 - s.stau_left, one])[:, None]
    couplings = (
        c["slepton_bino"] * GP2 * E_CHARGE**2 * (1 - 0.75 * left) * content.bino
        + c["slepton_wino"] * G4 * left * content.wino
    )
    return couplings.flatten(0, 1) / mean_mass_squared(mass, SLEPTON_GAUGINO_PAIRS)
