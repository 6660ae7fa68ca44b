"""Particles that coannihilate, and mean cross sections of their pairs."""

from __future__ import annotations

from enum import IntEnum
from itertools import combinations, product
from typing import NamedTuple

import torch
from torch import Tensor

from .spectrum import Spectrum


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


def _each_with_itself(species: tuple[Species, ...]) -> tuple[Pair, ...]:
    return tuple((one, one) for one in species)


NEUTRALINO_PAIRS = tuple(combinations(NEUTRALINOS, 2))
NEUTRALINO_AND_SELF_PAIRS = _each_with_itself(NEUTRALINOS) + NEUTRALINO_PAIRS
FIRST_CHARGED_PAIRS = tuple(product(NEUTRALINOS[:1], CHARGINOS))
OTHER_CHARGED_PAIRS = tuple(product(NEUTRALINOS[1:], CHARGINOS))
CHARGED_PAIRS = FIRST_CHARGED_PAIRS + OTHER_CHARGED_PAIRS
CHARGINO_SELF_PAIRS = _each_with_itself(CHARGINOS)
CHARGINO_PAIRS = tuple(combinations(CHARGINOS, 2)) + CHARGINO_SELF_PAIRS
GAUGINO_PAIRS = NEUTRALINO_AND_SELF_PAIRS + CHARGED_PAIRS + CHARGINO_PAIRS
SLEPTON_GAUGINO_PAIRS = tuple(product(SLEPTONS, GAUGINOS))
SLEPTON_PAIRS = (
    *_each_with_itself(SLEPTONS),
    (S.SELECTRON_RIGHT, S.SELECTRON_LEFT),
    (S.SELECTRON_LEFT, S.SNEUTRINO),
    (S.STAU_LIGHT, S.SNEUTRINO_TAU),
)
PAIRS = GAUGINO_PAIRS + SLEPTON_PAIRS
"""All pairs but those of sleptons with gauginos, in an order in which those of each channel are neighbours."""


class Channel(NamedTuple):
    """Pairs of species whose cross sections depend on the temperature in the same way."""

    rows: slice
    """Their places in `PAIRS`."""
    cross_section: Tensor
    """σv in GeV⁻², shape (pairs, points); doubled for unequal species, which meet in both orders."""

    def average(self, meetings: Tensor) -> Tensor:
        """Return the mean cross section, shape (x, points), from what `pair_meetings` returns."""
        return (meetings[:, self.rows] * self.cross_section).sum(1)


def make_channel(pairs: tuple[Pair, ...], cross_section: Tensor) -> Channel:
    """Return the channel of `pairs`, neighbours in `PAIRS`, whose cross sections have shape (pairs, points)."""
    start = PAIRS.index(pairs[0])
    rows = slice(start, start + len(pairs))
    if PAIRS[rows] != pairs:
        raise ValueError(f"the pairs of a channel are neighbours in PAIRS, not {pairs}")
    orders = [1.0 if species == partner else 2.0 for species, partner in pairs]
    weight = torch.tensor(orders, dtype=cross_section.dtype, device=cross_section.device)
    return Channel(rows, cross_section * weight[:, None])


def pair_meetings(share: Tensor) -> Tensor:
    """Return how often the two species of each pair meet: the product of their abundances.

    Args:
        share: Abundances, shape (x, species, points).

    Returns:
        Shape (x, pairs, points), in the order of `PAIRS`.
    """
    first, second = (torch.tensor(side, device=share.device) for side in sides(PAIRS))
    return share.index_select(1, first) * share.index_select(1, second)


def slepton_gaugino_average(cross_section: Tensor, share: Tensor) -> Tensor:
    """Return the mean cross section of sleptons with gauginos.

    Args:
        cross_section: σv of `SLEPTON_GAUGINO_PAIRS`, shape (pairs, points).
        share: Abundances, shape (x, species, points).

    Returns:
        Shape (x, points).
    """
    gauginos, sleptons = share[:, None, : len(GAUGINOS)], share[:, len(GAUGINOS) :]
    partners = (gauginos * cross_section.reshape(len(SLEPTONS), len(GAUGINOS), -1)).sum(2)
    return 2 * (sleptons * partners).sum(1)  # they meet in both orders


def sides(pairs: tuple[Pair, ...]) -> tuple[list[int], list[int]]:
    """Return the rows of the first and of the second species of `pairs`."""
    return [int(first) for first, _ in pairs], [int(second) for _, second in pairs]


def mean_mass_squared(mass: Tensor, pairs: tuple[Pair, ...]) -> Tensor:
    """Return the squared mean mass of each pair, GeV²."""
    first, second = sides(pairs)
    total = mass[first] + mass[second]
    return total * total / 4


class Content(NamedTuple):
    """Squared components of the six gauginos and higgsinos; shape (6, points), and charginos after neutralinos."""

    bino: Tensor
    wino: Tensor
    higgsino: Tensor


def gaugino_content(s: Spectrum) -> Content:
    """Return the composition of neutralinos and charginos."""
    squared = s.neutralino_mixing * s.neutralino_mixing
    wino = (s.wino_minus + s.wino_plus) / 2
    return Content(
        bino=torch.cat([squared[:, 0], torch.zeros_like(wino)]),
        wino=torch.cat([squared[:, 1], wino]),
        higgsino=torch.cat([squared[:, 2] + squared[:, 3], 1 - wino]),
    )
