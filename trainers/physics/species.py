"""Particles that coannihilate, and mean cross sections of their pairs."""

from __future__ import annotations

from enum import IntEnum
from itertools import combinations, combinations_with_replacement, product
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


NEUTRALINO_AND_SELF_PAIRS = tuple(combinations_with_replacement(NEUTRALINOS, 2))
GAUGINO_PAIRS = tuple(combinations_with_replacement(GAUGINOS, 2))
CHARGED_PAIRS = tuple(product(CHARGINOS, NEUTRALINOS))
FIRST_CHARGED_PAIRS = tuple(product(CHARGINOS, NEUTRALINOS[:1]))
OTHER_CHARGED_PAIRS = tuple(product(CHARGINOS, NEUTRALINOS[1:]))
CHARGINO_PAIRS = tuple(combinations_with_replacement(CHARGINOS, 2))
CHARGINO_SELF_PAIRS = ((S.CHARGINO_1, S.CHARGINO_1), (S.CHARGINO_2, S.CHARGINO_2))
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


def make_channel(pairs: tuple[Pair, ...], cross_section: Tensor) -> Channel:
    """Return the channel of `pairs`, whose cross sections have shape (pairs, points)."""
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
