"""Likelihood and gradient for samplers."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pmssm.trainers.inference import Surrogate, load_surrogate
from pmssm.trainers.inference.intervals import LEVELS, CalibratedIntervals
from pmssm.trainers.inference.sampling import gaussian_log_likelihood
from pmssm.trainers.inference.surrogate import OutsideTrainingWarning
from scipy import stats

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def surrogate(model: Path) -> Surrogate:
    return load_surrogate(model)


@pytest.fixture(scope="module")
def points(surrogate: Surrogate) -> Floats:
    """60 points inside the training range."""
    low, high = surrogate.scaling.minimum[:-1], surrogate.scaling.maximum[:-1]
    return np.random.default_rng(6).uniform(low + 0.1 * (high - low), high - 0.1 * (high - low), (60, 19))


def test_the_likelihood_is_gaussian_with_both_errors_in_quadrature() -> None:
    found = gaussian_log_likelihood(np.array([0.1, 0.15]), np.array([0.04, 0.0]), 0.12, 0.03)
    expected = [stats.norm.logpdf(0.12, 0.1, 0.05), stats.norm.logpdf(0.12, 0.15, 0.03)]
    np.testing.assert_allclose(found, expected)


def test_the_spread_of_an_ensemble_counts_and_points_outside_get_minus_infinity(
    surrogate: Surrogate, points: Floats
) -> None:
    queries = points[:4].copy()
    queries[1, 10], queries[2, 0] = 1e5, np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # samplers often ask outside
        found = surrogate.log_likelihood(queries, observed=0.3, sigma=0.05)
    mean, std = surrogate.mean_and_std(points[:4])
    assert np.isneginf(found).tolist() == [False, True, True, False]
    expected = stats.norm.logpdf(0.3, mean, np.hypot(0.05, std))
    np.testing.assert_allclose(found[[0, 3]], expected[[0, 3]], rtol=1e-5)
    assert surrogate.log_likelihood(points[:0]).shape == (0,)
    with pytest.raises(ValueError, match="sigma must be positive, not 0"):
        surrogate.log_likelihood(points, sigma=0)


def test_calibrated_intervals_count_before_the_spread(surrogate: Surrogate, points: Floats) -> None:
    calibrated = CalibratedIntervals(0.2 * np.ones((6, len(LEVELS))), 1.0, np.zeros(6, dtype=np.int64))
    other = Surrogate(surrogate.models[:1], surrogate.scaling, surrogate.parameters, surrogate.target)
    other.calibrated = calibrated
    error = 0.2 * surrogate.scaling.std[-1]  # of a single model, without a spread
    expected = stats.norm.logpdf(0.5, other(points), math.hypot(0.05, error))
    inside = other(points) > error  # elsewhere the lower bound is cut at 0
    assert inside.sum() > 30
    found = other.log_likelihood(points, observed=0.5, sigma=0.05)
    np.testing.assert_allclose(found[inside], expected[inside], rtol=1e-4)


def test_the_gradient_is_that_of_finite_differences(surrogate: Surrogate, points: Floats) -> None:
    found, width = surrogate.gradient(points), surrogate.scaling.maximum[:-1] - surrogate.scaling.minimum[:-1]
    assert found.shape == (60, 19)
    assert (found[:, 4] == 0).all()  # a parameter that was constant
    for column in (0, 10, 18):
        step = np.zeros(19)
        step[column] = 2e-3 * width[column]
        slope = (surrogate(points + step) - surrogate(points - step)) / (2 * step[column])
        error = np.abs(found[:, column] - slope)
        assert np.median(error) < 0.02 * np.abs(slope).max()


def test_the_gradient_warns_of_points_outside_and_rejects_a_wrong_shape(surrogate: Surrogate, points: Floats) -> None:
    outside = points[:1].copy()
    outside[0, 10] = 1e5
    with pytest.warns(OutsideTrainingWarning, match="IN_M_1"):
        surrogate.gradient(outside)
    with pytest.raises(ValueError, match=r"points must be \(n, 19\)"):
        surrogate.gradient(points[:, :3])


def test_many_points_at_once_give_what_each_gives_alone(surrogate: Surrogate, points: Floats) -> None:
    many = np.tile(points, (20, 1))  # more than one pass
    np.testing.assert_allclose(surrogate.gradient(many)[-60:], surrogate.gradient(points), rtol=1e-3, atol=1e-9)
