"""The relic density in limits that are known in closed form or from the literature."""

from __future__ import annotations

import pytest
import torch
from pmssm.trainers.physics import FEATURES, PhysicsFeatures
from support.physics_points import point
from torch import Tensor

LAYER = PhysicsFeatures()


def omega(points: Tensor) -> Tensor:
    with torch.no_grad():
        return LAYER.physics(points)[1].log_omega.exp()


def scan(name: str, values: list[float], **light: float) -> Tensor:
    return omega(torch.cat([point(**light | {name: value}) for value in values]))


def slope(low: Tensor, high: Tensor) -> float:
    """Return d ln Ω / d ln m between two points."""
    masses, relic = LAYER.physics(torch.cat([low, high]))
    change = relic.log_omega.diff() / masses.neutralino[0].abs().log().diff()
    return change.item()


def test_a_pure_higgsino_of_1_tev_has_the_observed_density() -> None:
    below, above = scan("mu", [900.0, 1200.0]).tolist()
    assert below < 0.12 < above


def test_a_pure_wino_has_the_observed_density_between_1_8_and_2_8_tev_without_sommerfeld() -> None:
    squarks = dict.fromkeys(["mqL1", "muR", "mdR", "mqL3", "mtR", "mbR", "meL", "mtauL"], 20000.0)
    below, above = scan("M_2", [1700.0, 2700.0], M_1=9000.0, mu=9000.0, **squarks).tolist()
    assert below < 0.12 < above


@pytest.mark.parametrize("name", ["mu", "M_2"])
def test_pure_higgsinos_and_winos_scale_with_the_square_of_the_mass(name: str) -> None:
    doublets = dict.fromkeys(["mqL1", "mqL3", "meL", "mtauL"], 20000.0)
    assert slope(point(**doublets | {name: 400.0}), point(**doublets | {name: 600.0})) == pytest.approx(2, abs=0.15)


def test_a_wino_is_rarer_than_a_higgsino_of_the_same_mass() -> None:
    assert scan("M_2", [600.0])[0] < 0.5 * scan("mu", [600.0])[0]


def test_a_pure_bino_overcloses_the_universe() -> None:
    assert scan("M_1", [300.0])[0] > 5


def test_bino_bulk_density_grows_with_the_fourth_power_of_heavy_slepton_masses() -> None:
    sleptons = ("meR", "meL", "mtauR", "mtauL")
    points = [point(M_1=100.0, **dict.fromkeys(sleptons, mass)) for mass in (700.0, 1100.0)]
    masses, relic = LAYER.physics(torch.cat(points))
    # Right-handed sleptons dominate: their hypercharge is twice as large and counts with the fourth power. In a p-wave
    # Ω ∝ x_f²/σ, and x_f itself grows by 1 where σ grows by e: the exponent 4 becomes 4 (1 - 2/x_f).
    change = relic.log_omega.diff() / masses.selectron_right.log().diff()
    assert change.item() == pytest.approx(4 * (1 - 2 / relic.freeze_out.mean().item()), abs=0.25)


def test_a_slepton_close_to_the_bino_coannihilates() -> None:
    points = torch.cat([point(M_1=300.0, meR=mass) for mass in (200.0, 220.0, 240.0, 400.0, 500.0)])
    gap = LAYER.physics(points)[0].selectron_right / 300 - 1
    density = omega(points)
    assert 0 < gap[0] < 0.1
    assert gap[-1] > 0.5
    assert density[0] < 0.3 * density[-1]
    assert (density.diff() > 0).all()


def test_the_density_of_a_bino_is_lowest_near_half_the_mass_of_a() -> None:
    values = [float(mass) for mass in range(800, 1201, 10)]
    result = scan("mA", values, M_1=500.0, mu=1200.0, tanb=30.0)
    lowest = values[int(result.argmin())]
    mass = LAYER.physics(point(M_1=500.0, mu=1200.0, tanb=30.0))[0].neutralino[0, 0].abs().item()
    # Thermal energy moves the minimum to m_A slightly above 2 m.
    assert 2 * mass * 0.99 < lowest < 2 * mass * 1.08
    assert result.min() < 0.1 * result[0]


def test_decoupled_particles_do_not_change_the_density() -> None:
    # Light enough that neither squarks nor mixing with gauginos matter to 3 %.
    reference, other = omega(point(mu=300.0)), omega(point(mu=300.0, meR=5000.0, mtauR=5000.0, mA=5000.0))
    assert other[0].item() == pytest.approx(reference[0].item(), rel=0.03)


def test_shares_of_species_add_up_to_one_and_prefer_the_lightest() -> None:
    share = LAYER.physics(torch.cat([point(mu=500.0), point(meR=300.0), point(M_2=700.0)]))[1].abundance
    torch.testing.assert_close(share.sum(0), torch.ones(3, dtype=torch.float64))
    assert share.argmax(0)[1].item() == 6


def test_flipping_the_signs_of_all_masses_keeps_the_density() -> None:
    # Trilinear couplings flip with them: the phases can be rotated away together.
    first = omega(point(M_1=400.0, M_2=450.0, mu=420.0, M_3=4000.0, Atau=500.0))
    second = omega(point(M_1=-400.0, M_2=-450.0, mu=-420.0, M_3=-4000.0, Atau=-500.0))
    torch.testing.assert_close(first, second, rtol=1e-6, atol=0)


def test_every_point_of_the_parameter_space_has_finite_features() -> None:
    generator = torch.Generator().manual_seed(1)
    low = torch.tensor([[0.0] * 10 + [-2000.0] * 3 + [500.0, -8000.0, -2000.0, -2000.0, 100.0, 1.0]]).double()
    high = torch.tensor([[4000.0] * 10 + [2000.0] * 3 + [5000.0, 8000.0, 2000.0, 2000.0, 5000.0, 60.0]]).double()
    points = low + (high - low) * torch.rand(5000, 19, generator=generator, dtype=torch.float64)
    features = LAYER(points)
    assert features.shape == (5000, len(FEATURES))
    assert torch.isfinite(features).all()
