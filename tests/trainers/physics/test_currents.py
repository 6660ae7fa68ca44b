"""Cross sections of pure states, which are known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from pmssm.trainers.physics import PhysicsFeatures
from pmssm.trainers.physics.annihilation import masses_by_species
from pmssm.trainers.physics.constants import COS_W, E_CHARGE, G_WEAK, M_W, SIN2_W
from pmssm.trainers.physics.currents import (
    charged_currents,
    chargino_currents,
    chargino_photons,
    neutralino_currents,
    photon_interference,
)
from pmssm.trainers.physics.gauge_bosons import gauge_bosons
from pmssm.trainers.physics.heavy_higgs import heavy_higgs
from pmssm.trainers.physics.parameters import split_parameters
from pmssm.trainers.physics.species import gaugino_content
from pmssm.trainers.physics.spectrum import Spectrum, spectrum
from support.physics_points import point
from torch import Tensor

MASS = 1500.0
G4 = G_WEAK**4
TREE = {name: torch.ones(1, dtype=torch.float64) for name in (
    "charged_current", "neutralino_current", "top_bottom", "lightest_gauge_bosons", "photon_pairs",
    "wino_gauge_bosons", "higgsino_gauge_bosons", "wino_higgsino_gauge_bosons",
)}  # fmt: skip
ONE = torch.ones(1, dtype=torch.float64)


def pure(name: str, mass: float = MASS) -> tuple[Spectrum, Tensor]:
    """Return the spectrum of a wino (`M_2`) or higgsino (`mu`) far below the others, and the masses."""
    heavy = {"M_1": 1e6, "M_2": 1.1e6, "mu": 1.2e6, "tanb": 50.0}
    constants = {key: 0 * value for key, value in PhysicsFeatures().constants().items()}
    constants |= dict.fromkeys(("higgsino_cusp_position", "higgsino_cusp_width", "wino_gap_mass"), ONE)
    found = spectrum(split_parameters(point(**heavy | {name: mass})), constants)
    return found, masses_by_species(found)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("name", "coupling"), [("M_2", 1.0), ("mu", 0.5)])
def test_pure_states_meet_charginos_with_the_coupling_of_their_multiplet(name: str, coupling: float, sign: int) -> None:
    s, mass = pure(name, sign * MASS)
    found = charged_currents(s, mass, ONE, TREE)[0]
    # g⁴/(32π m²), times 1/2 for each of the 12 doublets: the sum over T_3² of left-handed states.
    assert found.item() * mass[0].item() ** 2 == pytest.approx(coupling**2 * 6 * G4 / (32 * math.pi), rel=0.03)


def test_far_above_the_poles_charged_and_neutral_winos_annihilate_alike() -> None:
    s, mass = pure("M_2")
    neutral = chargino_currents(s, mass, ONE)[-2] + chargino_photons(s)[0] + photon_interference(s)[0]
    # SU(2) symmetry: W_3 couples to half of the states that W± does; half of the chargino pairs are of equal charge.
    # The rest is γγ, Zγ and the top, which only the charged current has.
    charged = charged_currents(s, mass, ONE, TREE)[0]
    photons = E_CHARGE**4 / (64 * math.pi) * 2 * (1 + 2 * (1 - SIN2_W) / SIN2_W) / mass[0] ** 2
    # Without the top 21 of 24 states remain. G_WEAK and E_CHARGE belong to scales that differ.
    assert ((neutral - photons) / charged).item() == pytest.approx(0.5 * 21 / 24, rel=0.06)


def test_two_pure_higgsinos_have_a_vector_coupling_to_the_z() -> None:
    s, mass = pure("mu")
    fermions = 6 * ((1 / 2 - 2 / 3 * SIN2_W) ** 2 + (2 / 3 * SIN2_W) ** 2)
    fermions += 9 * ((1 / 2 - 1 / 3 * SIN2_W) ** 2 + (1 / 3 * SIN2_W) ** 2)
    fermions += 3 * ((1 / 2 - SIN2_W) ** 2 + SIN2_W**2) + 3 / 4
    expected = (G_WEAK / COS_W) ** 4 / 4 * fermions / (32 * math.pi)
    assert neutralino_currents(s, mass, TREE)[0].item() * mass[0].item() ** 2 == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Moroi and Randall, hep-ph/9906527: g⁴/(2π m²) (1 - y)^(3/2)/(2 - y)², here far above the threshold.
        ("M_2", lambda: G4 / (8 * math.pi)),
        # W and Z pairs: Arkani-Hamed, Delgado and Giudice, hep-ph/0601041.
        ("mu", lambda: G4 / (128 * math.pi) * (1 + 1 / (2 * COS_W**4))),
    ],
)
def test_pure_neutralinos_annihilate_to_gauge_bosons_as_known(name: str, expected: Callable[[], float]) -> None:
    s, mass = pure(name)
    found = gauge_bosons(s, gaugino_content(s), mass, TREE)[0].item() * mass[0].item() ** 2
    assert found == pytest.approx(expected(), rel=0.02)


def test_pairs_of_w_bosons_are_closed_far_below_their_threshold() -> None:
    s, mass = pure("M_2", M_W / 2)
    assert gauge_bosons(s, gaugino_content(s), mass, TREE)[0] == 0


def test_pure_states_do_not_couple_to_the_heavy_higgs_bosons() -> None:
    for name in ("M_2", "mu"):
        s, _ = pure(name)
        for wave in heavy_higgs(s):
            assert wave.cross_section[0] < 1e-5
