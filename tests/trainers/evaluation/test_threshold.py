"""Verdicts at a threshold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.trainers.evaluation.threshold import compare_verdicts
from pmssm.trainers.inference.planck import PLANCK_SIGMA


def test_the_confusion_matrix_counts_each_kind_of_verdict() -> None:
    true = np.array([0.01, 0.10, 0.11, 0.12, 0.20, 0.30])
    predicted = np.array([0.02, 0.13, 0.11, 0.10, 0.30, 0.05])
    found = compare_verdicts(true, predicted, 0.12, 0.01)
    assert (found.allowed_as_allowed, found.allowed_as_excluded) == (2, 1)
    assert (found.excluded_as_allowed, found.excluded_as_excluded) == (2, 1)
    assert found.accuracy == 0.5
    assert found.false_exclusion == pytest.approx(1 / 3)
    assert found.false_acceptance == pytest.approx(2 / 3)
    assert found.farthest_error == pytest.approx(18)


def test_a_weighted_rate_counts_a_point_as_its_true_verdict_is_certain() -> None:
    true, predicted = np.array([0.11, 0.02]), np.array([0.13, 0.02])  # 1 and 10 standard deviations away
    one, ten = math.erf(1 / math.sqrt(2)), math.erf(10 / math.sqrt(2))
    found = compare_verdicts(true, predicted, 0.12, 0.01)
    assert found.weighted_false_exclusion == pytest.approx(one / (one + ten))
    assert found.false_acceptance is None and found.weighted_false_acceptance is None


def test_a_perfect_model_has_no_false_verdicts() -> None:
    true = np.array([0.01, 0.3])
    found = compare_verdicts(true, true, 0.12, PLANCK_SIGMA)
    assert (found.accuracy, found.false_exclusion, found.false_acceptance) == (1, 0, 0)
    assert found.farthest_error is None


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40))
def test_counts_add_up_and_rates_are_shares(pairs: list[tuple[float, float]]) -> None:
    true, predicted = np.array(pairs).T
    found = compare_verdicts(true, predicted, 0.12, 0.012)
    counts = [found.allowed_as_allowed, found.allowed_as_excluded, found.excluded_as_allowed]
    assert sum(counts) + found.excluded_as_excluded == len(pairs)
    rates = [found.accuracy, found.false_exclusion, found.false_acceptance, found.weighted_false_exclusion]
    assert all(rate is None or 0 <= rate <= 1 for rate in [*rates, found.weighted_false_acceptance])
