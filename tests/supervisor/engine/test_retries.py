"""Crashes and stalls: which of them start a run again by itself, when, and how often."""

import pytest
from pmssm.supervisor.engine.scheduler import RestartStalled, StartAttempt, decide, seconds_to_retry
from pmssm.supervisor.plan.schema import Plan, RunPlan
from pmssm.supervisor.session.events import AttemptEnded, Exit, RestartRequested, StopRequested
from pmssm.supervisor.session.state import RunState
from support.simulation import CPU, Simulation


def _simulation(**keys: object) -> Simulation:
    """A simulation with a run `train` that may be retried twice, and `after` that waits for it."""
    train = {"command": ["true"], "retries": 2, "retry_exit_codes": [75], "retry_delay_s": 10.0, **keys}
    after = {"command": ["true"], "after": ["train"]}
    plan = Plan(runs={"train": RunPlan.model_validate(train), "after": RunPlan.model_validate(after)})
    simulation = Simulation(plan, CPU)
    simulation.settle()
    return simulation


def _end(simulation: Simulation, **ending: object) -> None:
    number = simulation.living.pop("train")
    ended = Exit.model_validate({"ended": simulation.now(), **ending})
    simulation.record(AttemptEnded(at=simulation.clock, run="train", attempt=number, exit=ended))
    simulation.settle()


@pytest.mark.parametrize("ending", [{"signal": 11}, {"signal": 9}, {"exit_code": 75}, {}, {"unseen": "never started"}])
def test_a_crash_is_retried_after_a_delay_and_nobody_is_blocked_meanwhile(ending: dict[str, object]) -> None:
    simulation = _simulation()
    _end(simulation, **ending)
    assert simulation.states() == {"train": RunState.QUEUED, "after": RunState.WAITING}
    assert decide(simulation.plan, simulation.state, now=simulation.clock) == []
    (start,) = decide(simulation.plan, simulation.state, now=simulation.clock + 10)
    assert isinstance(start, StartAttempt) and start.run == "train" and not start.fresh


def test_a_command_that_cannot_be_started_is_no_crash() -> None:
    simulation = _simulation()
    _end(simulation, exit_code=127, error="cannot start train: No such file or directory")
    assert simulation.states()["train"] is RunState.FAILED and simulation.state.finished


def test_an_exit_code_that_the_plan_does_not_list_is_no_crash() -> None:
    simulation = _simulation()
    _end(simulation, exit_code=1)
    assert simulation.states() == {"train": RunState.FAILED, "after": RunState.BLOCKED}
    assert simulation.state.finished


def test_each_retry_waits_twice_as_long_and_after_the_last_the_run_has_failed() -> None:
    simulation = _simulation()
    delays = []
    for _ in range(2):
        _end(simulation, signal=11)
        delays.append(seconds_to_retry(simulation.state.runs["train"], now=simulation.clock))
        simulation.clock += 100
        simulation.settle()
    _end(simulation, signal=11)
    assert delays == [pytest.approx(10, abs=2), pytest.approx(20, abs=2)]
    assert simulation.states()["train"] is RunState.FAILED and simulation.state.finished


def test_a_run_that_a_user_stopped_is_never_retried() -> None:
    simulation = _simulation()
    simulation.record(StopRequested(at=simulation.now(), run="train", how="kill"))
    _end(simulation, signal=9)
    assert simulation.states()["train"] is RunState.STOPPED and simulation.state.finished


def test_a_stop_while_it_waits_for_its_retry_holds_it() -> None:
    simulation = _simulation()
    _end(simulation, signal=11)
    simulation.record(StopRequested(at=simulation.now(), run="train", how="stop"))
    simulation.clock += 1000
    simulation.settle()
    assert simulation.living == {} and simulation.state.finished


def test_a_users_restart_starts_at_once_and_gives_all_retries_back() -> None:
    simulation = _simulation()
    _end(simulation, signal=11)
    simulation.record(RestartRequested(at=simulation.now(), run="train", fresh=False))
    simulation.settle()
    assert "train" in simulation.living and simulation.state.runs["train"].retries == 0


def test_a_clock_set_back_does_not_hold_a_retry() -> None:
    simulation = _simulation()
    _end(simulation, signal=11)
    assert seconds_to_retry(simulation.state.runs["train"], now=simulation.clock - 3600) == 0


def test_a_retry_waits_on_across_the_death_of_the_engine() -> None:
    simulation = _simulation()
    _end(simulation, signal=11)
    simulation.die_and_recover()
    assert simulation.living == {}
    simulation.clock += 100
    simulation.settle()
    assert "train" in simulation.living and simulation.state.runs["train"].retries == 1


def test_a_stalled_run_is_restarted_as_often_as_was_asked_for_and_no_more() -> None:
    simulation = _simulation()
    for restarts in range(2):
        actions = decide(simulation.plan, simulation.state, now=simulation.clock, stalled=["train"], stall_restarts=2)
        assert actions == [RestartStalled("train")]
        simulation.execute(actions[0])
        assert simulation.state.runs["train"].stall_restarts == restarts + 1
        _end(simulation, exit_code=143)
    assert decide(simulation.plan, simulation.state, now=simulation.clock, stalled=["train"], stall_restarts=2) == []
    assert "train" in simulation.living


def test_stalls_are_ignored_unless_restarts_were_asked_for() -> None:
    simulation = _simulation()
    assert decide(simulation.plan, simulation.state, now=simulation.clock, stalled=["train"]) == []
