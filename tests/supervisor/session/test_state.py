"""The state of each run, event by event."""

import pytest
from pmssm.supervisor.plan.schema import Plan
from pmssm.supervisor.session.events import ClockStepped, EngineStarted, Event, SessionFinished, SlotsChosen
from pmssm.supervisor.session.reducer import clock_step, initial_state, reduce, replay
from pmssm.supervisor.session.run_states import run_states
from pmssm.supervisor.session.state import Attempt, RunState, progress_start_offset
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
from support.simulation import PMSSM, plan_of

ONE = plan_of(a=((), 0))


def state_of(*events: Event, plan: Plan = ONE, run: str = "a") -> RunState:
    return run_states(plan, replay(plan, events))[run]


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], RunState.QUEUED),
        ([starting()], RunState.RUNNING),
        ([starting(), stop_requested()], RunState.STOPPING),
        ([starting(), stop_requested(how="kill")], RunState.STOPPING),
        ([starting(), restart_requested()], RunState.STOPPING),
        ([starting(), ended(exit_code=0)], RunState.SUCCEEDED),
        ([starting(), ended(exit_code=1)], RunState.FAILED),
        ([starting(), ended(signal=11)], RunState.FAILED),
        ([starting(), ended(exit_code=127, error="cannot start it")], RunState.FAILED),
        ([starting(), ended()], RunState.LOST),
        ([starting(), stop_requested(), ended(exit_code=143)], RunState.STOPPED),
        ([starting(), stop_requested(how="kill"), ended(signal=9)], RunState.STOPPED),
        ([starting(), stop_requested(), ended(exit_code=0)], RunState.SUCCEEDED),  # it ended before the stop
        ([starting(), stop_requested(), ended(exit_code=0, stop="stop")], RunState.STOPPED),
        ([starting(), ended(exit_code=0, stop="stop")], RunState.SUCCEEDED),  # a signal of another process
        ([starting(), stop_requested(), ended()], RunState.LOST),
        ([stop_requested()], RunState.STOPPED),
        ([stop_requested(), restart_requested()], RunState.QUEUED),
        ([starting(), ended(exit_code=1), restart_requested()], RunState.QUEUED),
        ([starting(), restart_requested(), ended(exit_code=143)], RunState.QUEUED),
        ([starting(), restart_requested(), stop_requested(), ended(exit_code=143)], RunState.STOPPED),
        ([starting(), voided()], RunState.QUEUED),
        ([starting(), stop_requested(), voided()], RunState.STOPPED),
        ([starting(), stop_requested(), voided(), restart_requested()], RunState.QUEUED),
        ([submitting()], RunState.PENDING),
        ([submitting(), submitted()], RunState.PENDING),
        ([submitting(), submitted(), started(node="n1")], RunState.RUNNING),
        ([submitting(), submitted(), stop_requested()], RunState.STOPPING),
        ([submitting(), submitted(), stop_requested(), ended(error="its job was cancelled")], RunState.STOPPED),
        ([submitting(), started(node="n1"), ended(exit_code=143, interrupted=True)], RunState.FAILED),
        ([submitting(), started(node="n1"), ended(exit_code=0, stop="stop", interrupted=True)], RunState.FAILED),
        ([submitting(), ended(interrupted=True), continued()], RunState.QUEUED),
        ([submitting(), ended(interrupted=True), continued(), submitting(number=2)], RunState.PENDING),
        ([submitting(), stop_requested(), ended(exit_code=143, interrupted=True)], RunState.STOPPED),
        ([submitting(), ended(interrupted=True), continued(), stop_requested()], RunState.STOPPED),
    ],
)
def test_the_state_of_a_run_follows_from_its_events(events: list[Event], state: RunState) -> None:
    assert state_of(*events) is state


@pytest.mark.parametrize(
    ("first", "second", "then"),
    [
        ({"exit_code": 0}, {"exit_code": 0}, RunState.QUEUED),
        ({"exit_code": 0}, None, RunState.WAITING),
        ({"exit_code": 1}, None, RunState.BLOCKED),
        ({"exit_code": 1}, {"exit_code": 0}, RunState.BLOCKED),
        ({"signal": 9}, {"exit_code": 0}, RunState.BLOCKED),
        ({}, {"exit_code": 0}, RunState.BLOCKED),
    ],
)
def test_dependencies_decide_between_waiting_blocked_and_queued(
    first: dict[str, int], second: dict[str, int] | None, then: RunState
) -> None:
    plan = plan_of(a=((), 0), b=((), 0), c=(("a", "b"), 0))
    events: list[Event] = [starting(run="a"), ended(run="a", **first), starting(run="b")]
    if second is not None:
        events.append(ended(run="b", **second))
    assert state_of(*events, plan=plan, run="c") is then


def test_a_blocked_run_waits_again_once_its_dependency_is_restarted() -> None:
    plan = plan_of(a=((), 0), b=(("a",), 0), c=(("b",), 0))
    events: list[Event] = [starting(), ended(exit_code=1)]
    assert state_of(*events, plan=plan, run="c") is RunState.BLOCKED
    assert state_of(*events, restart_requested(), plan=plan, run="c") is RunState.WAITING


def test_an_attempt_keeps_what_was_decided_and_learns_what_happened() -> None:
    events: list[Event] = [starting(fresh=True, log_offset=7), started()]
    attempt = replay(ONE, events).runs["a"].last
    assert attempt is not None
    assert (attempt.number, attempt.slot, attempt.fresh, attempt.log_offset) == (1, GPU, True, 7)
    assert (attempt.pid, attempt.started, attempt.exit) == (4242, 10.5, None)


def test_a_kill_stays_a_kill_when_a_stop_follows() -> None:
    attempt = replay(ONE, [starting(), stop_requested(how="kill"), stop_requested()]).runs["a"].last
    assert attempt is not None
    assert attempt.stop == "kill"


def test_the_first_engine_marks_the_beginning_and_later_ones_do_not() -> None:
    events = [EngineStarted(at=5, pid=1), EngineStarted(at=9, pid=2)]
    assert replay(ONE, events).started == 5


def test_a_step_of_the_clock_moves_all_times() -> None:
    before = [EngineStarted(at=5, pid=1, boot_id="b", clock_offset_s=0), starting(), started()]
    for step in (ClockStepped(at=900, by_s=800), EngineStarted(at=900, pid=2, boot_id="b", clock_offset_s=800)):
        state = replay(ONE, [*before, step])
        attempt = state.runs["a"].last
        assert attempt is not None
        assert (state.started, attempt.started, state.clock_offset_s) == (805, 810.5, 800)
        assert clock_step(state, "b", 800.5) == 0
        assert clock_step(state, "b", 700) == -100
    after_reboot = replay(ONE, [*before, EngineStarted(at=900, pid=2, boot_id="c", clock_offset_s=800)])
    assert after_reboot.started == 5


def test_a_measured_duration_beats_the_clock() -> None:
    last = replay(ONE, [starting(), ended(exit_code=0, ended=-100, duration_s=3)]).runs["a"].last
    assert last is not None
    assert (last.started, last.duration_s, last.is_duration_certain) == (-103, 3, True)


def test_a_restart_reopens_a_finished_session() -> None:
    finished = replay(ONE, [starting(), ended(exit_code=1), SessionFinished(at=30)])
    assert (finished.finished, finished.ended) == (True, 30)
    reopened = reduce(finished, restart_requested())
    assert (reopened.finished, reopened.ended) == (False, None)


def test_chosen_slots_are_kept_with_mode_and_notes() -> None:
    state = replay(ONE, [SlotsChosen(at=1, slots=(GPU,), mode="sequential", notes=("only one GPU",))])
    assert (state.slots, state.mode, state.notes) == ((GPU,), "sequential", ("only one GPU",))


def test_states_come_in_the_order_of_the_plan() -> None:
    assert list(run_states(PMSSM, initial_state(PMSSM))) == list(PMSSM.runs)


def test_progress_begins_at_the_newest_attempt_that_started_from_scratch() -> None:
    def attempt(number: int, offset: int, *, fresh: bool) -> Attempt:
        return Attempt(number=number, slot=None, fresh=fresh, started=0.0, log_offset=offset)

    assert progress_start_offset([]) == 0
    assert progress_start_offset([attempt(1, 5, fresh=False), attempt(2, 50, fresh=False)]) == 5
    assert (
        progress_start_offset([attempt(1, 5, fresh=False), attempt(2, 50, fresh=True), attempt(3, 70, fresh=False)])
        == 50
    )


def test_the_time_in_a_queue_is_not_a_duration_of_the_command() -> None:
    attempt = replay(ONE, [submitting(), submitted(), ended(ended=500, error="no such partition")]).runs["a"].last
    assert attempt is not None and attempt.duration_s == 0


def test_times_of_another_machine_stay_where_the_clock_of_this_one_is_set() -> None:
    state = replay(ONE, [submitting(), started(node="n1"), ClockStepped(at=20, by_s=3600)])
    last = state.runs["a"].last
    assert last is not None and last.started == 10.5


def test_a_restart_by_the_user_gives_all_continuations_back() -> None:
    events: list[Event] = [submitting(), ended(interrupted=True), continued()]
    assert replay(ONE, events).runs["a"].continuations == 1
    assert replay(ONE, [*events, restart_requested()]).runs["a"].continuations == 0
