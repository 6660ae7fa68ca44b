"""Answers to commands, in words and in events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.engine.command_handler import handle_command
from pmssm.supervisor.ipc.messages import Command, Down, Reply, Restart, Start, Stop
from pmssm.supervisor.session.events import RestartRequested, StopRequested
from pmssm.supervisor.session.state import RunState, initial_state
from support.simulation import CPU, PMSSM, World, gpu_slots, plan_of


@pytest.fixture
def world() -> World:
    """The pMSSM session with both transformers running."""
    world = World(PMSSM, gpu_slots(2))
    world.settle()
    world.end("prepare")
    world.settle()
    return world


def refused(reply: Reply) -> str:
    assert not reply.ok
    return reply.message


def accepted(reply: Reply) -> str:
    assert reply.ok
    return reply.message


@pytest.mark.parametrize("command", [Stop(run="transfomer"), Restart(run="transfomer"), Start(run="transfomer")])
def test_an_unknown_run_is_refused_with_the_nearest_name(world: World, command: Command) -> None:
    assert refused(world.ask(command)) == "no run named 'transfomer'; did you mean 'transformer'?"


def test_a_name_like_no_run_is_refused_with_all_names(world: World) -> None:
    message = refused(world.ask(Stop(run="zzz")))
    assert message == "no run named 'zzz'; runs are prepare, transformer, transformer_tabular, mlp"


def test_stop_says_how_long_the_run_may_take(world: World) -> None:
    message = accepted(world.ask(Stop(run="transformer")))
    assert message == "transformer: SIGTERM sent; it has 30 s to write its checkpoint, then SIGKILL"
    assert world.states()["transformer"] is RunState.STOPPING


def test_a_second_stop_changes_nothing_and_names_the_way_out(world: World) -> None:
    world.ask(Stop(run="transformer"))
    events = list(world.events)
    assert accepted(world.ask(Stop(run="transformer"))).endswith("is stopping already; `kill` ends it at once")
    assert world.events == events


def test_kill_says_so_and_works_on_a_stopping_run(world: World) -> None:
    world.ask(Stop(run="transformer"))
    assert accepted(world.ask(Stop(run="transformer", how="kill"))) == "transformer: SIGKILL sent"
    world.settle()
    assert world.signalled["transformer"] == "kill"


def test_stop_takes_a_pending_restart_back(world: World) -> None:
    world.ask(Restart(run="transformer"))
    assert accepted(world.ask(Stop(run="transformer"))) == "transformer: will not start again"
    world.settle()
    world.end("transformer")
    world.run_to_the_end()
    assert world.states()["transformer"] is RunState.STOPPED


def test_a_waiting_run_can_be_told_not_to_start(world: World) -> None:
    assert accepted(world.ask(Stop(run="mlp"))) == "mlp: will not start; `restart` undoes this"
    assert world.states()["mlp"] is RunState.STOPPED
    assert accepted(world.ask(Restart(run="mlp"))).startswith(
        "mlp: starts once transformer, transformer_tabular succeeded"
    )
    assert world.states()["mlp"] is RunState.WAITING


def test_stopping_what_has_ended_is_refused(world: World) -> None:
    assert refused(world.ask(Stop(run="prepare"))) == "prepare: is not running (succeeded)"


def test_start_of_a_running_run_is_refused(world: World) -> None:
    assert refused(world.ask(Start(run="transformer"))) == "transformer: is running already"


def test_start_of_a_stopping_run_points_to_restart(world: World) -> None:
    world.ask(Stop(run="transformer"))
    assert "`restart` starts it again" in refused(world.ask(Start(run="transformer")))


def test_start_of_a_stopped_run_resumes_it(world: World) -> None:
    world.ask(Stop(run="transformer"))
    world.settle()
    world.end("transformer")
    world.settle()
    assert accepted(world.ask(Start(run="transformer"))).endswith("starts again from its checkpoint, if it has one")
    world.settle()
    assert world.started[-1] == "transformer@GPU 1"


def test_restart_of_a_blocked_run_names_what_blocks_it(world: World) -> None:
    world.end("transformer", "fails")
    assert refused(world.ask(Restart(run="mlp"))) == "mlp: is blocked by transformer; restart that first"


def test_restart_of_a_running_run_says_that_it_stops_first(world: World) -> None:
    message = accepted(world.ask(Restart(run="transformer", fresh=True)))
    assert message == "transformer: SIGTERM sent; once it has ended it starts again from the beginning"


def test_fresh_is_refused_where_the_plan_gives_no_way() -> None:
    plan = plan_of(a=((), 0))
    plan = plan.model_copy(update={"runs": {"a": plan.runs["a"].model_copy(update={"fresh_args": ()})}})
    world = World(plan, CPU)
    assert refused(world.ask(Restart(run="a", fresh=True))).startswith("a: the plan gives it no fresh_args")


def test_down_names_what_it_stops(world: World) -> None:
    message = accepted(world.ask(Down()))
    assert message.startswith("SIGTERM sent to transformer, transformer_tabular; up to 30 s for checkpoints")
    world.run_to_the_end()
    assert world.state.finished


def test_a_second_down_adds_nothing(world: World) -> None:
    world.ask(Down())
    events = list(world.events)
    assert world.ask(Down()).ok
    assert world.events == events


def test_down_at_rest_says_that_nothing_was_running() -> None:
    world = World(PMSSM, gpu_slots(2))
    world.run_to_the_end()
    assert accepted(world.ask(Down())) == "nothing was running; the session ends"


def test_events_carry_the_time_of_the_command() -> None:
    plan = plan_of(a=((), 0))
    stop = handle_command(plan, initial_state(plan), Stop(run="a"), 1234.5)
    assert stop.events == (StopRequested(at=1234.5, run="a", how="stop"),)
    restart = handle_command(plan, initial_state(plan), Restart(run="a", fresh=True), 1234.5)
    assert restart.events == (RestartRequested(at=1234.5, run="a", fresh=True),)


@given(name=st.text(max_size=30))
def test_any_name_gets_an_answer(name: str) -> None:
    for command in (Stop(run=name), Restart(run=name), Start(run=name)):
        result = handle_command(PMSSM, initial_state(PMSSM), command, 0.0)
        assert result.reply.ok == (name in PMSSM.runs)
        assert result.reply.message.isprintable()
