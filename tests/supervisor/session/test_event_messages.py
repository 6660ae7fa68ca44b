"""The lines of the session's log for each event."""

import pytest
from pmssm.supervisor.session.event_messages import event_messages
from pmssm.supervisor.session.events import ClockStepped, EngineStarted, Event, SessionFinished, SlotsChosen
from pmssm.supervisor.session.reducer import replay
from support.events import (
    GPU,
    continued,
    ended,
    restart_requested,
    started,
    starting,
    stop_requested,
    submitted,
    submitting,
    voided,
)
from support.simulation import PMSSM

TIME_LIMIT = {"interrupted": True, "error": "reached its time limit on n1"}


def messages(*events: Event) -> list[tuple[str, str]]:
    """Return the messages for the last of `events`."""
    return list(event_messages(events[-1], PMSSM, replay(PMSSM, events)))


@pytest.mark.parametrize(
    ("events", "lines"),
    [
        ([EngineStarted(at=1, pid=42)], [("engine started (pid 42)", "info")]),
        (
            [SlotsChosen(at=1, slots=(GPU,), mode="sequential", notes=("only one GPU",))],
            [("sequential: GPU 1", "info"), ("only one GPU", "warning")],
        ),
        ([starting("mlp")], [("mlp: starting attempt 1 on GPU 1", "info")]),
        ([starting("mlp", 2, fresh=True)], [("mlp: starting attempt 2 on GPU 1 from the beginning", "info")]),
        (
            [starting("mlp"), started("mlp", pid=7)],
            [("mlp: running as pid 7", "info")],
        ),
        (
            [starting("mlp"), voided("mlp")],
            [("mlp: attempt 1 was not started; starting it again", "warning")],
        ),
        ([starting("mlp"), ended("mlp", exit_code=0)], [("mlp: succeeded after 2.5 s", "info")]),
        ([starting("mlp"), ended("mlp", exit_code=2)], [("mlp: failed after 2.5 s (exit code 2)", "error")]),
        ([starting("mlp"), ended("mlp", signal=11)], [("mlp: failed after 2.5 s (SIGSEGV)", "error")]),
        (
            [starting("mlp"), ended("mlp", exit_code=127, error="cannot start mlp: No such file")],
            [("mlp: failed after 2.5 s (cannot start mlp: No such file)", "error")],
        ),
        (
            [starting("mlp"), ended("mlp", exit_code=0, leftovers=3)],
            [
                ("mlp: succeeded after 2.5 s", "info"),
                ("mlp: terminated 3 leftover processes", "warning"),
            ],
        ),
        (
            [starting("transformer"), ended("transformer", exit_code=1)],
            [
                ("transformer: failed after 2.5 s (exit code 1)", "error"),
                ("mlp: blocked by transformer (exit code 1)", "warning"),
            ],
        ),
        ([starting("mlp"), stop_requested("mlp", "kill")], [("mlp: kill requested", "info")]),
        (
            [starting("mlp"), stop_requested("mlp"), ended("mlp", exit_code=143)],
            [("mlp: stopped after 2.5 s", "info")],
        ),
        (
            [restart_requested("mlp", fresh=True)],
            [("mlp: restart requested from the beginning", "info")],
        ),
        ([submitting("mlp")], [("mlp: submitting attempt 1", "info")]),
        ([submitting("mlp"), submitted("mlp")], [("mlp: submitted as job 314", "info")]),
        ([submitting("mlp"), started("mlp", pid=7, node="n1")], [("mlp: running on n1 as pid 7", "info")]),
        (
            [submitting("transformer"), ended("transformer", exit_code=143, **TIME_LIMIT)],
            [("transformer: interrupted after 0.0 s (reached its time limit on n1)", "warning")],
        ),
        (
            [submitting("mlp"), ended("mlp", **TIME_LIMIT), continued("mlp")],
            [("mlp: continues; 2nd job of this run", "info")],
        ),
    ],
)
def test_an_event_is_logged_in_a_line(events: list[Event], lines: list[tuple[str, str]]) -> None:
    assert messages(*events) == lines


def test_a_lost_run_is_an_error_that_says_what_is_known() -> None:
    ((line, level),) = messages(starting("mlp"), ended("mlp"))
    assert level == "error"
    assert line.startswith("mlp: lost after about 2.5 s (")
    assert "exit status unknown: its shim was killed" in line


def test_durations_are_the_measured_ones_and_marked_where_only_the_clock_tells() -> None:
    (measured,) = messages(starting("mlp"), ended("mlp", exit_code=0, ended=-500, duration_s=7))
    assert measured == ("mlp: succeeded after 7.0 s", "info")
    ((unknown, _),) = messages(starting("mlp"), ended("mlp", ended=-500))
    assert unknown.startswith("mlp: lost after an unknown time (the clock was set) (")


@pytest.mark.parametrize(("by_s", "words"), [(3600, "forward by 1:00:00"), (-2, "back by 2.0 s")])
def test_a_step_of_the_clock_is_told(by_s: float, words: str) -> None:
    assert messages(ClockStepped(at=1, by_s=by_s)) == [
        (f"the clock was set {words}; durations are not affected", "warning")
    ]


def test_the_end_of_the_session_counts_the_states() -> None:
    events = [
        *(event for run in ("prepare", "transformer_tabular") for event in (starting(run), ended(run, exit_code=0))),
        starting("transformer"),
        ended("transformer", exit_code=1),
        SessionFinished(at=20),
    ]
    assert messages(*events) == [("session finished: 2 succeeded, 1 failed, 1 blocked", "info")]


def test_a_run_that_was_blocked_by_another_before_is_not_reported_again() -> None:
    events: list[Event] = [starting("transformer"), ended("transformer", exit_code=1), starting("transformer_tabular")]
    lines = messages(*events, ended("transformer_tabular", exit_code=1))
    assert lines[-1] == ("mlp: blocked by transformer (exit code 1), transformer_tabular (exit code 1)", "warning")
    lonely = messages(starting("mlp"), ended("mlp", exit_code=1))
    assert len(lonely) == 1
