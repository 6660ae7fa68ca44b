"""Scores of candidates: closed forms against averages over random draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.trainers.campaign.hits import Goal
from pmssm.trainers.campaign.strategies import STRATEGIES, WIDTH
from pmssm.trainers.cli.campaign_commands import STRATEGIES as NAMES

GOAL = Goal(0.12, 0.1)
DRAWS = np.random.default_rng(8).standard_normal(400_000)
CASES = [(-2.0, 0.3), (-2.5, 0.5), (-2.12, 0.05), (-1.7, 0.2)]


def score(name: str, log_mean: float, sigma: float) -> float:
    return float(STRATEGIES[name](np.array([log_mean]), np.array([sigma]), GOAL)[0])


def test_the_command_line_offers_all_strategies() -> None:
    assert set(NAMES) == {"random", *STRATEGIES}


@pytest.mark.parametrize(("log_mean", "sigma"), CASES)
def test_tolerance_is_the_probability_of_a_hit(log_mean: float, sigma: float) -> None:
    omega = np.exp(log_mean + sigma * DRAWS)
    assert score("tolerance", log_mean, sigma) == pytest.approx((abs(omega - 0.12) <= 0.012).mean(), abs=3e-3)


@pytest.mark.parametrize(("log_mean", "sigma"), CASES)
def test_expected_improvement_is_the_mean_of_the_improvement(log_mean: float, sigma: float) -> None:
    values = log_mean + sigma * DRAWS
    improvement = np.maximum((WIDTH * sigma) ** 2 - (values - np.log(0.12)) ** 2, 0)
    assert score("expected-improvement", log_mean, sigma) == pytest.approx(improvement.mean(), rel=0.02, abs=1e-5)


def test_entropy_is_one_bit_on_the_contour_and_nothing_far_from_it() -> None:
    assert score("entropy", np.log(0.12), 0.3) == pytest.approx(1.0)
    assert score("entropy", np.log(0.12) + 20, 0.3) == pytest.approx(0.0, abs=1e-12)


def test_disagreement_prefers_the_point_that_the_ensemble_knows_least() -> None:
    assert score("disagreement", 0.0, 0.5) > score("disagreement", np.log(0.12), 0.4)


@given(st.floats(-80, 80), st.floats(0.01, 50))
def test_every_score_is_finite_and_no_score_is_negative(log_mean: float, sigma: float) -> None:
    for name in STRATEGIES:
        assert -1e-9 <= score(name, log_mean, sigma) < np.inf
