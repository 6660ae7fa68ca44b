"""The budget of calls: never more than 12 a minute, and less while the controller is slow."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.launchers.slurm.call_budget import (
    CALLS,
    KEPT_FOR_POLLS,
    MAX_PAUSE_S,
    POLL_S,
    WINDOW_S,
    CallBudget,
)


class Clock:
    """Makes calls one after the other, each as early as the budget allows."""

    def __init__(self) -> None:
        self.budget = CallBudget()
        self.now = 1000.0
        self.calls: list[tuple[float, bool]] = []

    def call(self, *, poll: bool, took_s: float = 0.01, answered: bool = True) -> None:
        while (wait := self.budget.wait_s(self.now, poll=poll)) > 0:
            self.now += wait
        self.calls.append((self.now, poll))
        self.budget.begin(self.now, poll=poll)
        self.now += took_s
        self.budget.end(self.now, took_s=took_s, answered=answered)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 40), st.booleans(), st.floats(0, 30)), max_size=80))
def test_no_minute_sees_more_calls_than_allowed(history: list[tuple[bool, float, bool, float]]) -> None:
    clock = Clock()
    for poll, took_s, answered, pause_s in history:
        clock.call(poll=poll, took_s=took_s, answered=answered)
        clock.now += pause_s
    times = [at for at, _ in clock.calls]
    for at in times:
        assert sum(at <= other < at + WINDOW_S - 1e-6 for other in times) <= CALLS


def test_the_first_calls_do_not_wait() -> None:
    clock = Clock()
    for _ in range(CALLS - KEPT_FOR_POLLS):
        clock.call(poll=False, took_s=0.0)
    assert clock.now == 1000.0


def test_five_hundred_submissions_leave_room_for_polls() -> None:
    clock = Clock()
    for _ in range(30):
        clock.call(poll=False, took_s=0.0)
    clock.budget.begin(clock.now, poll=False)
    assert clock.budget.wait_s(clock.now, poll=True) == 0.0


def test_polls_are_five_seconds_apart() -> None:
    clock = Clock()
    for _ in range(5):
        clock.call(poll=True)
    times = [at for at, _ in clock.calls]
    assert all(later - earlier >= POLL_S for earlier, later in pairwise(times))


def test_a_slow_controller_is_left_alone_for_ten_times_as_long() -> None:
    clock = Clock()
    clock.call(poll=True, took_s=4.0)
    assert clock.budget.wait_s(clock.now, poll=True) >= 40.0


def test_each_failure_doubles_the_pause_up_to_two_minutes_and_an_answer_ends_that() -> None:
    clock = Clock()
    pauses = []
    for _ in range(8):
        clock.call(poll=True, answered=False)
        pauses.append(clock.budget.wait_s(clock.now, poll=True))
    assert pauses[:3] == [10.0, 20.0, 40.0]
    assert max(pauses) == MAX_PAUSE_S
    clock.call(poll=True)
    assert clock.budget.wait_s(clock.now, poll=True) <= POLL_S
