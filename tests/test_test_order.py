"""Which tests the workers begin with."""

import pytest
from support.test_order import order_for_workers

DURATIONS = {3: 20.0, 8: 90.0, 9: 50.0}


def test_each_worker_begins_with_long_tests_and_the_others_keep_their_order() -> None:
    ordered = order_for_workers(range(10), lambda test: DURATIONS.get(test, 0), workers=2)
    assert (ordered[:5], ordered[5:]) == ([8, 3, 0, 1, 2], [9, 4, 5, 6, 7])


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 20])
def test_no_test_is_lost_or_run_twice(workers: int) -> None:
    assert sorted(order_for_workers(range(10), lambda test: DURATIONS.get(test, 0), workers)) == list(range(10))


def test_one_worker_keeps_the_order() -> None:
    assert order_for_workers([1, 8, 3], lambda test: DURATIONS.get(test, 0), workers=1) == [1, 8, 3]
