"""Quality of stated errors, against closed forms and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.trainers.evaluation.calibration import (
    LEVELS,
    coverage_curve,
    gaussian_crps,
    gaussian_half_width,
    gaussian_nlpd,
    miscalibration_area,
    rank_correlation,
    score_calibration,
    sparsification_error,
)
from scipy import integrate, stats

finite = st.floats(-50, 50)
positive = st.floats(0.01, 50)


def test_gaussian_errors_are_covered_as_often_as_the_level_says() -> None:
    errors = stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000)
    covered = coverage_curve(errors, gaussian_half_width(LEVELS)[:, None] * np.ones(10_000))
    np.testing.assert_allclose(covered, LEVELS, atol=2e-4)
    assert miscalibration_area(covered) < 2e-4


def test_the_half_width_of_68_27_percent_is_one_standard_deviation() -> None:
    assert gaussian_half_width(0.6826894921370859) == pytest.approx(1)


def test_the_miscalibration_area_is_that_of_the_polygon() -> None:
    assert miscalibration_area(LEVELS) == 0
    assert miscalibration_area(np.zeros(19)) == pytest.approx(0.95**2 / 2 + 0.05 * 0.95 / 2)
    # From +0.1 at 1/3 to -0.1 at 2/3 the curve crosses the diagonal in the middle: four triangles.
    levels = np.array([1 / 3, 2 / 3])
    assert miscalibration_area(levels + np.array([0.1, -0.1]), levels) == pytest.approx(2 * (0.1 / 6 + 0.05 / 6))


@given(st.floats(-8, 8), st.floats(0.05, 5))
def test_the_nlpd_is_that_of_the_normal_distribution(error: float, width: float) -> None:
    found = gaussian_nlpd(np.array([error]), np.array([width]))
    assert found[0] == pytest.approx(-stats.norm.logpdf(error, scale=width))


@pytest.mark.parametrize(("error", "width"), [(0.0, 1.0), (0.7, 0.2), (-3.0, 1.5)])
def test_the_crps_is_the_integral_that_defines_it(error: float, width: float) -> None:
    def integrand(x: float) -> float:
        return float((stats.norm.cdf(x, loc=error, scale=width) - (x >= 0)) ** 2)

    low, _ = integrate.quad(integrand, error - 40 * width, 0)
    high, _ = integrate.quad(integrand, 0, error + 40 * width)
    assert gaussian_crps(np.array([error]), np.array([width]))[0] == pytest.approx(low + high, rel=1e-6)


def test_the_crps_has_its_known_limits() -> None:
    zero, one = np.array([0.0]), np.array([1.0])
    assert gaussian_crps(zero, one)[0] == pytest.approx((math.sqrt(2) - 1) / math.sqrt(math.pi))
    assert gaussian_crps(one, np.array([1e-9]))[0] == pytest.approx(1.0)  # a certain prediction: |error|


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=30))
def test_the_rank_correlation_is_spearmans_also_with_ties(pairs: list[tuple[int, int]]) -> None:
    first, second = np.array(pairs, dtype=float).T
    found = rank_correlation(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(stats.spearmanr(first, second).statistic)


@given(st.lists(st.tuples(finite, positive), min_size=2, max_size=60))
def test_the_sparsification_error_is_0_for_widths_that_rank_as_the_errors_and_never_negative(
    pairs: list[tuple[float, float]],
) -> None:
    errors, widths = np.array(pairs).T
    assert sparsification_error(3 * np.abs(errors), errors) == pytest.approx(0)
    assert sparsification_error(widths, errors) >= -1e-12


def test_scores_of_calibrated_gaussian_errors_are_those_of_theory() -> None:
    random = np.random.default_rng(5)
    widths = random.uniform(0.1, 2, 40_000)
    errors = random.normal(0, widths)
    half_widths = gaussian_half_width(LEVELS)[:, None] * widths
    found = score_calibration(errors, widths, half_widths, gaussian_half_width(0.68) * widths, np.full(40_000, 0.3))
    assert (found.covered_68, found.covered_95) == pytest.approx((0.68, 0.95), abs=0.01)
    assert found.miscalibration_area < 0.01
    expected = np.mean(0.5 * np.log(2 * math.pi * math.e * widths**2)) + 0.3
    assert found.nlpd == pytest.approx(expected, abs=0.02)
    assert found.crps == pytest.approx(np.mean(widths) / math.sqrt(math.pi), rel=0.02)
