"""Markov chains: their points have the density of the likelihood."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pmssm.trainers.campaign.chain import markov_chain
from pmssm.trainers.campaign.pool import Ranges

Floats = NDArray[np.float64]
LOW, HIGH = np.zeros(19), np.full(19, 10.0)
LOW[9:] = HIGH[9:] = 4.0
RANGES = Ranges(LOW, HIGH)


def two_bands(points: Floats) -> Floats:
    """A Gaussian of width 0.2 around x + y = 5, and one of half its weight around x + y = 15."""
    total = points[:, 0] + points[:, 1]
    return np.log(np.exp(-12.5 * (total - 5) ** 2) + 0.5 * np.exp(-12.5 * (total - 15) ** 2) + 1e-300)


@pytest.fixture(scope="module")
def points() -> Floats:
    return markov_chain(two_bands, RANGES, 20_000, np.random.default_rng(5))


def test_the_points_follow_the_likelihood_in_all_its_modes(points: Floats) -> None:
    total = points[:, 0] + points[:, 1]
    first, second = total[total < 10], total[total > 10]
    for band, center in ((first, 5.0), (second, 15.0)):
        assert band.mean() == pytest.approx(center, abs=0.05)
        assert band.std() == pytest.approx(0.2, rel=0.1)
    assert len(second) / len(points) == pytest.approx(1 / 3, abs=0.06)  # both bands are equally long


def test_parameters_without_influence_fill_their_ranges_and_constant_ones_stay(points: Floats) -> None:
    assert points[:, 2:9].mean(axis=0) == pytest.approx(np.full(7, 5.0), abs=0.4)
    assert points[:, 2:9].std(axis=0) == pytest.approx(np.full(7, 10 / np.sqrt(12)), rel=0.08)
    assert (points[:, 9:] == 4.0).all()
    assert ((points >= LOW) & (points <= HIGH)).all()


def test_repeated_states_are_one_point_and_a_seed_gives_the_same_chain(points: Floats) -> None:
    assert 0.1 < len(points) / 20_000 < 0.9
    assert len(np.unique(points, axis=0)) == len(points)
    again = markov_chain(two_bands, RANGES, 20_000, np.random.default_rng(5))
    np.testing.assert_array_equal(again, points)
