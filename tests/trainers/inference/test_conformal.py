"""Conformal quantiles against their definition, and the coverage they promise."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pmssm.trainers.inference.conformal import conformal_quantiles, merged_classes, mondrian_quantiles

LEVELS = np.array([0.5, 0.68, 0.95])


def test_the_quantile_is_the_kth_smallest_score() -> None:
    scores = np.arange(99, 0, -1.0)  # 1 … 99
    assert conformal_quantiles(scores, LEVELS).tolist() == [50, 68, 95]
    assert conformal_quantiles(np.arange(1, 20.0), np.array([0.95])).tolist() == [19]  # 20 × 0.95 is exactly 19


def test_too_few_scores_for_a_level_give_an_infinite_interval() -> None:
    assert conformal_quantiles(np.arange(18.0), np.array([0.5, 0.95])).tolist() == [9, math.inf]
    assert conformal_quantiles(np.empty(0), LEVELS).tolist() == [math.inf] * 3


@given(st.integers(1, 60), st.floats(0.02, 0.98))
def test_a_new_score_is_covered_as_promised_and_by_at_most_one_rank_more(count: int, level: float) -> None:
    # The rank of a new score among n + 1 distinct ones is uniform, so the coverage is a count over all ranks.
    quantile = conformal_quantiles(np.arange(count) + 0.5, np.array([level]))[0]
    covered = np.mean(np.arange(count + 1) <= quantile)
    assert level - 1e-8 <= covered <= level + 1 / (count + 1) + 1e-8


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50))
def test_quantiles_rise_with_the_level_and_do_not_depend_on_the_order(scores: list[float]) -> None:
    values = np.array(scores)
    found = conformal_quantiles(values, LEVELS)
    assert (found[1:] >= found[:-1]).all()
    assert (found == conformal_quantiles(values[::-1], LEVELS)).all()


def test_each_class_has_its_quantiles_and_small_classes_are_merged() -> None:
    scores = np.concatenate([np.ones(200), 10 * np.ones(200), 50 * np.ones(30), 60 * np.ones(40)])
    classes = np.repeat([1, 3, 2, 4], [200, 200, 30, 40]).astype(np.int8)
    found = mondrian_quantiles(scores, classes, LEVELS, 6)
    assert found[1].tolist() == [1, 1, 1]
    assert found[3].tolist() == [10, 10, 10]
    assert (found[2] == conformal_quantiles(scores[400:], LEVELS)).all()
    assert (found[4] == found[2]).all()
    assert (found[0] == found[2]).all() and (found[5] == found[2]).all()  # without points: as the widest class


def test_groups_of_classes_have_enough_points_if_there_are_enough() -> None:
    assert merged_classes(np.array([0, 100, 5, 70]), 60) == [[2, 3], [1]]
    assert merged_classes(np.array([0, 100, 30, 70, 40]), 60) == [[2, 4], [3], [1]]
    assert merged_classes(np.array([5, 0, 7]), 60) == [[0, 2]]


def test_each_class_is_covered_also_if_its_errors_are_larger() -> None:
    random = np.random.default_rng(3)
    classes = random.integers(0, 3, 30_000).astype(np.int8)
    scores = np.abs(random.normal(0, 1.0 + 4 * classes))
    quantiles = mondrian_quantiles(scores[:15_000], classes[:15_000], LEVELS, 3)
    inside = scores[15_000:, None] <= quantiles[classes[15_000:]]
    for index in range(3):
        np.testing.assert_allclose(inside[classes[15_000:] == index].mean(axis=0), LEVELS, atol=0.025)
