"""The session's log: each event in a line for people."""

import pytest
from pmssm.supervisor.gpus.slots import Slot
from pmssm.supervisor.session.event_messages import event_messages
from pmssm.supervisor.session.events import (
    AttemptEnded,
    AttemptStarted,
    AttemptStarting,
    AttemptVoided,
    EngineStarted,
    Event,
    Exit,
    RestartRequested,
    SessionFinished,
    SlotsChosen,
    StopRequested,
)
from pmssm.supervisor.session.state import replay
from support.simulation import PMSSM

GPU = Slot(index=0, gpu_index=1, gpu_uuid="GPU-1", name="GPU 1")


def start(run: str, number: int = 1, *, fresh: bool = False) -> AttemptStarting:
    return AttemptStarting(at=10, run=run, attempt=number, slot=GPU, fresh=fresh, log_offset=0)


def end(run: str, **how: object) -> AttemptEnded:
    return AttemptEnded(at=12, run=run, attempt=1, exit=Exit.model_validate({"ended": 12.5, **how}))


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
        ([start("mlp")], [("mlp: starting attempt 1 on GPU 1", "info")]),
        ([start("mlp", 2, fresh=True)], [("mlp: starting attempt 2 on GPU 1 from the beginning", "info")]),
        (
            [start("mlp"), AttemptStarted(at=11, run="mlp", attempt=1, pid=7, started=10.5)],
            [("mlp: running as pid 7", "info")],
        ),
        (
            [start("mlp"), AttemptVoided(at=11, run="mlp", attempt=1)],
            [("mlp: attempt 1 was not started; starting it again", "warning")],
        ),
        ([start("mlp"), end("mlp", exit_code=0)], [("mlp: succeeded after 2.5 s", "info")]),
        ([start("mlp"), end("mlp", exit_code=2)], [("mlp: failed after 2.5 s (exit code 2)", "error")]),
        ([start("mlp"), end("mlp", signal=11)], [("mlp: failed after 2.5 s (SIGSEGV)", "error")]),
        (
            [start("mlp"), end("mlp", exit_code=127, error="cannot start mlp: No such file")],
            [("mlp: failed after 2.5 s (cannot start mlp: No such file)", "error")],
        ),
        (
            [start("mlp"), end("mlp", exit_code=0, leftovers=3)],
            [
                ("mlp: succeeded after 2.5 s", "info"),
                ("mlp: terminated 3 leftover processes", "warning"),
            ],
        ),
        (
            [start("transformer"), end("transformer", exit_code=1)],
            [
                ("transformer: failed after 2.5 s (exit code 1)", "error"),
                ("mlp: blocked by transformer (exit code 1)", "warning"),
            ],
        ),
        ([start("mlp"), StopRequested(at=11, run="mlp", how="kill")], [("mlp: kill requested", "info")]),
        (
            [start("mlp"), StopRequested(at=11, run="mlp", how="stop"), end("mlp", exit_code=143)],
            [("mlp: stopped after 2.5 s", "info")],
        ),
        (
            [RestartRequested(at=11, run="mlp", fresh=True)],
            [("mlp: restart requested from the beginning", "info")],
        ),
    ],
)
def test_an_event_is_logged_in_a_line(events: list[Event], lines: list[tuple[str, str]]) -> None:
    assert messages(*events) == lines


def test_a_lost_run_is_an_error_that_says_what_is_known() -> None:
    ((line, level),) = messages(start("mlp"), end("mlp"))
    assert level == "error"
    assert line.startswith("mlp: lost after 2.5 s (")
    assert "exit status unknown: its shim was killed" in line


def test_the_end_of_the_session_counts_the_states() -> None:
    events = [
        *(event for run in ("prepare", "transformer_tabular") for event in (start(run), end(run, exit_code=0))),
        start("transformer"),
        end("transformer", exit_code=1),
        SessionFinished(at=20),
    ]
    assert messages(*events) == [("session finished: 2 succeeded, 1 failed, 1 blocked", "info")]


def test_a_run_that_was_blocked_by_another_before_is_not_reported_again() -> None:
    events: list[Event] = [start("transformer"), end("transformer", exit_code=1), start("transformer_tabular")]
    lines = messages(*events, end("transformer_tabular", exit_code=1))
    assert lines[-1] == ("mlp: blocked by transformer (exit code 1), transformer_tabular (exit code 1)", "warning")
    lonely = messages(start("mlp"), end("mlp", exit_code=1))
    assert len(lonely) == 1
