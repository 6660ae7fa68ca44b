"""Crashes and stalls: which of them start a run again by itself, when, and how often."""

import pytest
from pmssm.supervisor.engine.scheduler import RestartStalled, StartAttempt, decide, seconds_to_retry
from pmssm.supervisor.plan.schema import Plan, RunPlan
from pmssm.supervisor.session.events import AttemptEnded, Exit, RestartRequested, StopRequested
from pmssm.supervisor.session.state import RunState
from support.simulation import CPU, World


def _world(**keys: object) -> World:
    """A world with a run `train` that may be retried twice, and `after` that waits for it."""
    train = {"command": ["true"], "retries": 2, "retry_exit_codes": [75], "retry_delay_s": 10.0, **keys}
    after = {"command": ["true"], "after": ["train"]}
    plan = Plan(runs={"train": RunPlan.model_validate(train), "after": RunPlan.model_validate(after)})
    world = World(plan, CPU)
    world.settle()
    return world


def _end(world: World, **ending: object) -> None:
    number = world.living.pop("train")
    ended = Exit.model_validate({"ended": world.now(), **ending})
    world.record(AttemptEnded(at=world.clock, run="train", attempt=number, exit=ended))
    world.settle()


@pytest.mark.parametrize("ending", [{"signal": 11}, {"signal": 9}, {"exit_code": 75}])
def test_a_crash_is_retried_after_a_delay_and_nobody_is_blocked_meanwhile(ending: dict[str, int]) -> None:
    world = _world()
    _end(world, **ending)
    assert world.states() == {"train": RunState.QUEUED, "after": RunState.WAITING}
    assert decide(world.plan, world.state, now=world.clock) == []
    (start,) = decide(world.plan, world.state, now=world.clock + 10)
    assert isinstance(start, StartAttempt) and start.run == "train" and not start.fresh


def test_an_exit_code_that_the_plan_does_not_list_is_no_crash() -> None:
    world = _world()
    _end(world, exit_code=1)
    assert world.states() == {"train": RunState.FAILED, "after": RunState.BLOCKED}
    assert world.state.finished


def test_each_retry_waits_twice_as_long_and_after_the_last_the_run_has_failed() -> None:
    world = _world()
    delays = []
    for _ in range(2):
        _end(world, signal=11)
        delays.append(seconds_to_retry(world.state.runs["train"], now=world.clock))
        world.clock += 100
        world.settle()
    _end(world, signal=11)
    assert delays == [pytest.approx(10, abs=2), pytest.approx(20, abs=2)]
    assert world.states()["train"] is RunState.FAILED and world.state.finished


def test_a_run_that_a_user_stopped_is_never_retried() -> None:
    world = _world()
    world.record(StopRequested(at=world.now(), run="train", how="kill"))
    _end(world, signal=9)
    assert world.states()["train"] is RunState.STOPPED and world.state.finished


def test_a_stop_while_it_waits_for_its_retry_holds_it() -> None:
    world = _world()
    _end(world, signal=11)
    world.record(StopRequested(at=world.now(), run="train", how="stop"))
    world.clock += 1000
    world.settle()
    assert world.living == {} and world.state.finished


def test_a_users_restart_starts_at_once_and_gives_all_retries_back() -> None:
    world = _world()
    _end(world, signal=11)
    world.record(RestartRequested(at=world.now(), run="train", fresh=False))
    world.settle()
    assert "train" in world.living and world.state.runs["train"].retries == 0


def test_a_clock_set_back_does_not_hold_a_retry() -> None:
    world = _world()
    _end(world, signal=11)
    assert seconds_to_retry(world.state.runs["train"], now=world.clock - 3600) == 0


def test_a_retry_waits_on_across_the_death_of_the_engine() -> None:
    world = _world()
    _end(world, signal=11)
    world.die_and_recover()
    assert world.living == {}
    world.clock += 100
    world.settle()
    assert "train" in world.living and world.state.runs["train"].retries == 1


def test_a_stalled_run_is_restarted_as_often_as_was_asked_for_and_no_more() -> None:
    world = _world()
    for restarts in range(2):
        actions = decide(world.plan, world.state, now=world.clock, stalled=["train"], stall_restarts=2)
        assert actions == [RestartStalled("train")]
        world.carry_out(actions[0])
        assert world.state.runs["train"].stall_restarts == restarts + 1
        _end(world, exit_code=143)
    assert decide(world.plan, world.state, now=world.clock, stalled=["train"], stall_restarts=2) == []
    assert "train" in world.living


def test_stalls_are_ignored_unless_restarts_were_asked_for() -> None:
    world = _world()
    assert decide(world.plan, world.state, now=world.clock, stalled=["train"]) == []
