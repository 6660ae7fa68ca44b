"""The budget of calls: never more than 12 a minute, and less while the controller is slow."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.launchers.slurm.call_budget import CALLS, MAX_PAUSE_S, POLL_S, WINDOW_S, CallBudget, CallKind

KINDS: tuple[CallKind, ...] = ("poll", "submit", "command")


class Clock:
    """Makes calls one after the other, each as early as the budget allows."""

    def __init__(self) -> None:
        self.budget = CallBudget()
        self.now = 1000.0
        self.calls: list[float] = []

    def call(self, kind: CallKind, *, took_s: float = 0.0, answered: bool = True) -> None:
        while (wait := self.budget.wait_s(self.now, kind)) > 0:
            self.now += wait
        self.calls.append(self.now)
        self.budget.begin(self.now, kind)
        self.now += took_s
        self.budget.end(self.now, took_s=took_s, answered=answered)

    def wait_s(self, kind: CallKind) -> float:
        return self.budget.wait_s(self.now, kind)


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.floats(0, 40), st.booleans(), st.floats(0, 30)), max_size=80))
def test_no_minute_sees_more_calls_than_allowed(history: list[tuple[CallKind, float, bool, float]]) -> None:
    clock = Clock()
    for kind, took_s, answered, pause_s in history:
        clock.call(kind, took_s=took_s, answered=answered)
        clock.now += pause_s
    for at in clock.calls:
        assert sum(at <= other < at + WINDOW_S - 1e-6 for other in clock.calls) <= CALLS


def test_the_first_submissions_do_not_wait() -> None:
    clock = Clock()
    for _ in range(8):
        clock.call("submit")
    assert clock.now == 1000.0
    assert clock.wait_s("submit") == WINDOW_S


def test_many_submissions_leave_room_for_polls_and_commands() -> None:
    clock = Clock()
    for _ in range(40):
        clock.call("submit")
    assert clock.wait_s("poll") == clock.wait_s("command") == 0.0


def test_many_polls_leave_room_for_submissions_and_commands() -> None:
    clock = Clock()
    for _ in range(40):
        clock.call("poll")
    assert clock.wait_s("submit") == clock.wait_s("command") == 0.0


def test_polls_keep_their_distance() -> None:
    clock = Clock()
    for _ in range(5):
        clock.call("poll")
    assert all(later - earlier >= POLL_S for earlier, later in pairwise(clock.calls))


def test_a_slow_controller_is_left_alone_for_ten_times_as_long_but_not_by_the_user() -> None:
    clock = Clock()
    clock.call("poll", took_s=4.0)
    assert clock.wait_s("poll") == clock.wait_s("submit") == 40.0
    assert clock.wait_s("command") == 0.0


def test_each_failure_doubles_the_pause_up_to_two_minutes_and_an_answer_ends_that() -> None:
    clock = Clock()
    pauses = []
    for _ in range(8):
        clock.call("submit", took_s=9.0, answered=False)
        pauses.append(clock.wait_s("submit"))
    assert pauses[:3] == [10.0, 20.0, 40.0]
    assert max(pauses) == MAX_PAUSE_S
    clock.call("submit")
    assert clock.wait_s("submit") == 0.0
