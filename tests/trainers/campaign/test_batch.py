"""Batches: points that differ from each other and from those simulated before."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pmssm.trainers.campaign.batch import SHORTLIST, diverse_batch, equal_shares, is_simulated, shortlist

RANDOM = np.random.default_rng(4)


def test_the_shortlist_has_the_best_candidates_the_best_first() -> None:
    scores = RANDOM.random(1000)
    assert shortlist(scores, 10).tolist() == np.argsort(-scores)[: 10 * SHORTLIST].tolist()


def test_a_batch_takes_the_middle_of_each_gap() -> None:
    line = np.linspace(0, 1, 101)[:, None]
    assert line[diverse_batch(line, 3, np.array([[0.0], [1.0]]))].ravel().tolist() == [0.5, 0.25, 0.75]


def test_a_batch_stays_away_from_simulated_points() -> None:
    candidates, taken = RANDOM.random((400, 3)), RANDOM.random((5000, 3)) * [0.5, 1, 1]
    assert candidates[diverse_batch(candidates, 20, taken)][:, 0].mean() > 0.7


def test_a_batch_is_spread_wider_than_the_best_candidates() -> None:
    candidates = RANDOM.random((400, 4))

    def closest(points: np.ndarray) -> float:  # type: ignore[type-arg]
        distances = ((points[:, None] - points) ** 2).sum(axis=2) + 9 * np.eye(len(points))
        return float(distances.min())

    batch = candidates[diverse_batch(candidates, 40, np.empty((0, 4)))]
    assert closest(batch) > 4 * closest(candidates[:40])


@given(st.integers(1, 30), st.integers(0, 10), st.integers(0, 30), st.booleans())
def test_no_candidate_is_chosen_twice(count: int, more: int, taken: int, equal: bool) -> None:
    candidates = np.zeros((count + more, 3)) if equal else RANDOM.random((count + more, 3))
    chosen = diverse_batch(candidates, count, RANDOM.random((taken, 3)))
    assert len(set(chosen.tolist())) == count


def test_a_point_is_known_again_after_it_was_written_as_float32() -> None:
    points = RANDOM.uniform(-2000, 2000, (50, 19))
    known = is_simulated(points, points[::2].astype(np.float32).astype(np.float64))
    assert known.tolist() == [True, False] * 25
    assert not is_simulated(points, np.empty((0, 19))).any()


@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.integers(1, 60))
def test_each_class_gets_an_equal_share_and_a_small_one_leaves_its_own_to_the_others(
    sizes: list[int], count: int
) -> None:
    classes = RANDOM.permutation(np.repeat(np.arange(len(sizes), dtype=np.int8), sizes))
    chosen = equal_shares(classes, count, lambda members, number, _: members[:number])
    assert len(np.unique(chosen)) == len(chosen) == min(count, len(classes))
    shares = np.bincount(classes[chosen], minlength=len(sizes))
    whole = [share for share, size in zip(shares, sizes, strict=True) if share < size]
    assert not whole or max(shares) - min(whole) <= 1


def test_a_class_is_told_what_was_chosen_of_the_others() -> None:
    told: list[list[int]] = []

    def choose(members: NDArray[np.int64], number: int, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        told.append(chosen.tolist())
        return members[:number]

    equal_shares(np.array([2, 1, 2, 2, 1, 3], dtype=np.int8), 6, choose)
    assert told == [[], [5], [5, 1, 4]]
