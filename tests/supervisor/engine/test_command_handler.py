"""Answers to commands, in words and in events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.engine.command_handler import handle_command
from pmssm.supervisor.ipc.messages import Command, Down, Reply, Restart, Start, Stop
from pmssm.supervisor.plan.loader import parse_plan
from pmssm.supervisor.plan.schema import Plan, RunPlan
from pmssm.supervisor.session.events import RestartRequested, StopRequested
from pmssm.supervisor.session.reducer import initial_state, replay
from pmssm.supervisor.session.state import RunState
from support.events import started, submitting
from support.simulation import CPU, PMSSM, Simulation, gpu_slots, plan_of


@pytest.fixture
def simulation() -> Simulation:
    """The pMSSM session with both transformers running."""
    simulation = Simulation(PMSSM, gpu_slots(2))
    simulation.settle()
    simulation.end("prepare")
    simulation.settle()
    return simulation


def refused(reply: Reply) -> str:
    assert not reply.ok
    return reply.message


def accepted(reply: Reply) -> str:
    assert reply.ok
    return reply.message


@pytest.mark.parametrize("command", [Stop(run="transfomer"), Restart(run="transfomer"), Start(run="transfomer")])
def test_an_unknown_run_is_refused_with_the_nearest_name(simulation: Simulation, command: Command) -> None:
    assert refused(simulation.send(command)) == "no run named 'transfomer'; did you mean 'transformer'?"


def test_a_name_like_no_run_is_refused_with_all_names(simulation: Simulation) -> None:
    message = refused(simulation.send(Stop(run="zzz")))
    assert message == "no run named 'zzz'; runs are prepare, transformer, transformer_tabular, mlp"


def test_stop_says_how_long_the_run_may_take(simulation: Simulation) -> None:
    message = accepted(simulation.send(Stop(run="transformer")))
    assert message == "transformer: SIGTERM sent; it has 30 s to write its checkpoint, then SIGKILL"
    assert simulation.states()["transformer"] is RunState.STOPPING


def test_a_second_stop_changes_nothing_and_names_the_way_out(simulation: Simulation) -> None:
    simulation.send(Stop(run="transformer"))
    events = list(simulation.events)
    assert accepted(simulation.send(Stop(run="transformer"))).endswith("is stopping already; `kill` ends it at once")
    assert simulation.events == events


def test_kill_says_so_and_works_on_a_stopping_run(simulation: Simulation) -> None:
    simulation.send(Stop(run="transformer"))
    assert accepted(simulation.send(Stop(run="transformer", how="kill"))) == "transformer: SIGKILL sent"
    simulation.settle()
    assert simulation.signalled["transformer"] == "kill"


def test_stop_takes_a_pending_restart_back(simulation: Simulation) -> None:
    simulation.send(Restart(run="transformer"))
    assert accepted(simulation.send(Stop(run="transformer"))) == "transformer: will not start again"
    simulation.settle()
    simulation.end("transformer")
    simulation.run_to_the_end()
    assert simulation.states()["transformer"] is RunState.STOPPED


def test_a_stop_keeps_a_waiting_run_from_starting(simulation: Simulation) -> None:
    assert accepted(simulation.send(Stop(run="mlp"))) == "mlp: will not start; `restart` undoes this"
    assert simulation.states()["mlp"] is RunState.STOPPED
    assert accepted(simulation.send(Restart(run="mlp"))).startswith(
        "mlp: starts once transformer, transformer_tabular succeeded"
    )
    assert simulation.states()["mlp"] is RunState.WAITING


def test_stopping_what_has_ended_is_refused(simulation: Simulation) -> None:
    assert refused(simulation.send(Stop(run="prepare"))) == "prepare: is not running (succeeded)"


def test_start_of_a_running_run_is_refused(simulation: Simulation) -> None:
    assert refused(simulation.send(Start(run="transformer"))) == "transformer: is running already"


def test_start_of_a_stopping_run_points_to_restart(simulation: Simulation) -> None:
    simulation.send(Stop(run="transformer"))
    assert "`restart` starts it again" in refused(simulation.send(Start(run="transformer")))


def test_start_of_a_stopped_run_resumes_it(simulation: Simulation) -> None:
    simulation.send(Stop(run="transformer"))
    simulation.settle()
    simulation.end("transformer")
    simulation.settle()
    assert accepted(simulation.send(Start(run="transformer"))).endswith(
        "starts again from its checkpoint, if it has one"
    )
    simulation.settle()
    assert simulation.started[-1] == "transformer@GPU 1"


def test_restart_of_a_blocked_run_names_what_blocks_it(simulation: Simulation) -> None:
    simulation.end("transformer", "fails")
    assert refused(simulation.send(Restart(run="mlp"))) == "mlp: is blocked by transformer; restart that first"


def test_restart_of_a_running_run_says_that_it_stops_first(simulation: Simulation) -> None:
    message = accepted(simulation.send(Restart(run="transformer", fresh=True)))
    assert message == "transformer: SIGTERM sent; once it has ended it starts again from the beginning"


def test_fresh_is_refused_where_the_plan_gives_no_way() -> None:
    plan = plan_of(a=((), 0))
    plan = plan.model_copy(update={"runs": {"a": plan.runs["a"].model_copy(update={"fresh_args": ()})}})
    simulation = Simulation(plan, CPU)
    assert refused(simulation.send(Restart(run="a", fresh=True))).startswith("a: the plan gives it no fresh_args")


def test_a_run_without_losses_and_fresh_args_is_not_said_to_have_a_checkpoint() -> None:
    simulation = Simulation(Plan(runs={"a": RunPlan(command=("sleep", "60"))}), CPU)
    simulation.settle()
    commands = (Down(), Restart(run="a"), Stop(run="a"))
    assert [handle_command(simulation.plan, simulation.state, command, 0.0).reply.message for command in commands] == [
        "SIGTERM sent to a; up to 30 s to end, then the session ends",
        "a: SIGTERM sent; once it has ended it starts again",
        "a: SIGTERM sent; it has 30 s to end, then SIGKILL",
    ]


def test_down_names_what_it_stops(simulation: Simulation) -> None:
    message = accepted(simulation.send(Down()))
    assert message.startswith("SIGTERM sent to transformer, transformer_tabular; up to 30 s for checkpoints")
    simulation.run_to_the_end()
    assert simulation.state.finished


def test_a_second_down_adds_nothing(simulation: Simulation) -> None:
    simulation.send(Down())
    events = list(simulation.events)
    assert simulation.send(Down()).ok
    assert simulation.events == events


def test_down_at_rest_says_that_nothing_was_running() -> None:
    simulation = Simulation(PMSSM, gpu_slots(2))
    simulation.run_to_the_end()
    assert accepted(simulation.send(Down())) == "nothing was running; the session ends"


JOBS = parse_plan(
    '[session]\nlauncher = "slurm"\n[runs.a]\ncommand = ["true"]\n[runs.b]\ncommand = ["true"]\n', "plan.toml"
)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (Stop(run="a"), "a: its job is cancelled"),
        (Stop(run="a", how="kill"), "a: its job is cancelled"),
        (Restart(run="a"), "a: its job is cancelled; after that it starts again"),
        (Down(), "jobs of a cancelled; SIGTERM sent to b; up to 30 s to end, then the session ends"),
    ],
)
def test_a_pending_job_is_cancelled(command: Command, message: str) -> None:
    state = replay(JOBS, [submitting("a"), submitting("b"), started("b", node="n1")])
    result = handle_command(JOBS, state, command, 20.0)
    assert accepted(result.reply) == message and result.events


def test_down_of_pending_jobs_alone_cancels_them() -> None:
    state = replay(JOBS, [submitting("a"), submitting("b")])
    assert handle_command(JOBS, state, Down(), 20.0).reply.message == "jobs of a, b cancelled; then the session ends"


def test_start_of_a_pending_run_is_refused() -> None:
    result = handle_command(JOBS, replay(JOBS, [submitting("a")]), Start(run="a"), 20.0)
    assert refused(result.reply) == "a: is pending already"


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
