"""What is started when: the pMSSM plan step by step, then random plans through random histories."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pmssm.supervisor.engine.scheduler import FinishSession, Retry, SendSignal, StartAttempt, decide
from pmssm.supervisor.gpus.slots import Slot
from pmssm.supervisor.ipc.messages import Command, Down, Restart, Stop
from pmssm.supervisor.ipc.messages import Start as StartCommand
from pmssm.supervisor.plan.schema import Plan, RunPlan
from pmssm.supervisor.session.events import AttemptEnded, Exit
from pmssm.supervisor.session.reducer import initial_state, replay
from pmssm.supervisor.session.run_states import blockers, run_states
from pmssm.supervisor.session.state import ENDED_BADLY, RunState
from support.simulation import CPU, PMSSM, Outcome, Simulation, gpu_slots, plan_of

# The pMSSM plan


def test_with_two_gpus_the_transformers_train_side_by_side_and_the_mlp_on_the_second() -> None:
    simulation = Simulation(PMSSM, gpu_slots(2))
    simulation.settle()
    assert simulation.started == ["prepare@none"]
    simulation.end("prepare")
    simulation.settle()
    assert simulation.started[1:] == ["transformer@GPU 1", "transformer_tabular@GPU 2"]
    simulation.end("transformer")
    simulation.settle()
    assert len(simulation.started) == 3
    simulation.end("transformer_tabular")
    simulation.settle()
    assert simulation.started[3:] == ["mlp@GPU 2"]
    simulation.end("mlp")
    assert not simulation.state.finished
    simulation.settle()
    assert set(simulation.states().values()) == {RunState.SUCCEEDED}


def test_the_session_finishes_after_its_last_run() -> None:
    simulation = Simulation(PMSSM, gpu_slots(2))
    simulation.run_to_the_end()
    assert simulation.state.finished
    assert set(simulation.states().values()) == {RunState.SUCCEEDED}


@pytest.mark.parametrize("first", ["transformer", "transformer_tabular"])
def test_mlp_waits_until_both_transformers_exit_0(first: str) -> None:
    simulation = Simulation(PMSSM, gpu_slots(2))
    simulation.settle()
    simulation.end("prepare")
    simulation.settle()
    simulation.end(first)
    simulation.settle()
    assert simulation.states()["mlp"] is RunState.WAITING
    assert "mlp" not in simulation.living


@pytest.mark.parametrize("slots", [gpu_slots(1), CPU])
def test_with_one_slot_the_runs_go_one_after_the_other_in_the_order_of_the_plan(slots: tuple) -> None:  # type: ignore[type-arg]
    simulation = Simulation(PMSSM, slots)
    order = []
    simulation.settle()
    while simulation.living:
        (run,) = simulation.living
        order.append(run)
        simulation.end(run)
        simulation.settle()
    assert order == ["prepare", "transformer", "transformer_tabular", "mlp"]
    assert {where.split("@")[1] for where in simulation.started[1:]} == {slots[0].name}
    assert simulation.state.finished


def test_until_the_slots_are_known_only_runs_that_need_none_start() -> None:
    simulation = Simulation(PMSSM, None)
    simulation.settle()
    assert simulation.started == ["prepare@none"]
    simulation.end("prepare")
    simulation.settle()
    assert simulation.states()["transformer"] is RunState.QUEUED
    assert simulation.started == ["prepare@none"]
    assert not simulation.state.finished
    simulation.choose_slots(gpu_slots(2))
    simulation.settle()
    assert simulation.started[1:] == ["transformer@GPU 1", "transformer_tabular@GPU 2"]


def test_mlp_is_blocked_by_a_failed_transformer_and_the_session_comes_to_rest() -> None:
    simulation = Simulation(PMSSM, gpu_slots(2))
    simulation.run_to_the_end(transformer="fails")
    states = simulation.states()
    assert states["mlp"] is RunState.BLOCKED
    assert blockers(PMSSM, states, "mlp") == ("transformer",)
    assert "mlp@GPU 2" not in simulation.started
    assert simulation.state.finished


def test_restarting_the_failed_transformer_to_success_starts_the_mlp_exactly_once() -> None:
    simulation = Simulation(PMSSM, gpu_slots(2))
    simulation.run_to_the_end(transformer="fails")
    assert simulation.send(Restart(run="transformer")).ok
    assert simulation.states()["mlp"] is RunState.WAITING
    assert not simulation.state.finished
    simulation.run_to_the_end()
    assert simulation.started[-2:] == ["transformer@GPU 1", "mlp@GPU 2"]
    assert sum(where.startswith("mlp") for where in simulation.started) == 1
    assert simulation.state.finished


def test_after_a_failed_prepare_everything_is_blocked_by_it() -> None:
    simulation = Simulation(PMSSM, gpu_slots(2))
    simulation.run_to_the_end(prepare="fails")
    states = simulation.states()
    assert [states[run] for run in ("transformer", "transformer_tabular", "mlp")] == [RunState.BLOCKED] * 3
    assert blockers(PMSSM, states, "mlp") == ("prepare",)
    assert simulation.state.finished


@pytest.mark.parametrize("outcome", ["fails", "crashes", "is_lost", "cannot_start"])
def test_no_end_but_exit_0_lets_the_mlp_start(outcome: Outcome) -> None:
    simulation = Simulation(PMSSM, gpu_slots(2))
    simulation.run_to_the_end(transformer_tabular=outcome)
    assert simulation.states()["mlp"] is RunState.BLOCKED


@pytest.mark.parametrize(("preferred", "gpu"), [(0, 1), (1, 2), (2, 3), (3, 1), (4, 2), (11, 3)])
def test_a_run_prefers_its_slot_modulo_their_number(preferred: int, gpu: int) -> None:
    simulation = Simulation(plan_of(a=((), preferred)), gpu_slots(3))
    simulation.settle()
    assert simulation.started == [f"a@GPU {gpu}"]


def test_a_run_whose_slot_is_taken_takes_another_free_one() -> None:
    simulation = Simulation(plan_of(a=((), 0), b=((), 0), c=((), None)), gpu_slots(3))
    simulation.settle()
    assert simulation.started == ["a@GPU 1", "b@GPU 2", "c@GPU 3"]


def test_a_run_without_preference_leaves_a_slot_to_the_run_that_prefers_it() -> None:
    simulation = Simulation(plan_of(anywhere=((), None), first=((), 0)), gpu_slots(2))
    simulation.settle()
    assert sorted(simulation.started) == ["anywhere@GPU 2", "first@GPU 1"]


def test_a_freed_slot_goes_to_the_next_of_the_plan() -> None:
    simulation = Simulation(plan_of(a=((), None), b=((), None), c=((), None)), gpu_slots(1))
    simulation.settle()
    simulation.end("a", "fails")
    simulation.settle()
    assert simulation.started == ["a@GPU 1", "b@GPU 1"]


# Commands in the middle


def test_a_slot_is_not_given_away_while_its_run_is_stopping() -> None:
    simulation = Simulation(plan_of(a=((), 0), b=((), 0)), gpu_slots(1))
    simulation.settle()
    simulation.send(Stop(run="a"))
    simulation.settle()
    assert simulation.states() == {"a": RunState.STOPPING, "b": RunState.QUEUED}
    assert list(simulation.living) == ["a"]
    simulation.end("a")
    simulation.settle()
    assert list(simulation.living) == ["b"]


def test_a_restart_while_running_stops_first_and_starts_once_afterwards() -> None:
    simulation = Simulation(PMSSM, gpu_slots(2))
    simulation.settle()
    simulation.end("prepare")
    simulation.settle()
    simulation.send(Restart(run="transformer", fresh=True))
    simulation.settle()
    assert simulation.signalled == {"transformer": "stop"}
    assert simulation.started.count("transformer@GPU 1+fresh") == 0
    simulation.end("transformer")
    simulation.settle()
    assert simulation.started[3:] == ["transformer@GPU 1+fresh"]
    simulation.end("transformer")
    simulation.settle()
    assert len(simulation.started) == 4


def test_an_attempt_after_a_fresh_one_resumes() -> None:
    simulation = Simulation(plan_of(a=((), 0)), CPU)
    simulation.run_to_the_end(a="fails")
    simulation.send(Restart(run="a", fresh=True))
    simulation.run_to_the_end(a="fails")
    simulation.send(Restart(run="a"))
    simulation.run_to_the_end()
    assert simulation.started == ["a@CPU", "a@CPU+fresh", "a@CPU"]


def test_a_kill_after_a_stop_is_a_new_signal_and_a_stop_after_a_kill_is_none() -> None:
    simulation = Simulation(plan_of(a=((), 0)), CPU)
    simulation.settle()
    simulation.send(Stop(run="a"))
    assert decide(simulation.plan, simulation.state, now=0.0) == [SendSignal("a", "stop")]
    simulation.send(Stop(run="a", how="kill"))
    assert decide(simulation.plan, simulation.state, now=0.0) == [SendSignal("a", "kill")]
    simulation.send(Stop(run="a"))
    assert decide(simulation.plan, simulation.state, now=0.0) == [SendSignal("a", "kill")]


def test_down_ends_the_session_even_while_a_restart_is_pending() -> None:
    simulation = Simulation(PMSSM, gpu_slots(2))
    simulation.settle()
    simulation.end("prepare")
    simulation.settle()
    simulation.send(Restart(run="transformer"))
    simulation.settle()
    simulation.send(Down())
    simulation.run_to_the_end()
    assert len(simulation.started) == 3
    assert simulation.state.finished
    assert {simulation.states()[run] for run in ("transformer", "transformer_tabular", "mlp")} == {RunState.STOPPED}


def test_down_before_anything_started_starts_nothing() -> None:
    simulation = Simulation(PMSSM, None)
    simulation.send(Down())
    simulation.settle()
    assert simulation.started == []
    assert simulation.state.finished


def test_a_stopped_queued_run_lets_the_others_go_on() -> None:
    simulation = Simulation(plan_of(a=((), 0), b=((), 0), c=((), 0)), CPU)
    simulation.settle()
    simulation.send(Stop(run="b"))
    simulation.run_to_the_end()
    assert simulation.started == ["a@CPU", "c@CPU"]
    assert simulation.states()["b"] is RunState.STOPPED


def test_restarting_a_succeeded_run_does_not_start_its_successors_again() -> None:
    simulation = Simulation(PMSSM, gpu_slots(2))
    simulation.run_to_the_end()
    simulation.send(Restart(run="transformer"))
    simulation.run_to_the_end()
    assert simulation.started[4:] == ["transformer@GPU 1"]


# An engine's death


def test_a_start_that_the_engine_did_not_live_to_carry_out_is_made_up_for_once() -> None:
    simulation = Simulation(plan_of(a=((), 0)), CPU)
    simulation.die_and_recover(before_spawn=True)
    simulation.run_to_the_end()
    assert simulation.started == ["a@CPU"]


def test_a_start_made_up_for_gets_a_number_and_so_a_folder_of_its_own() -> None:
    simulation = Simulation(plan_of(a=((), 0)), CPU)
    simulation.die_and_recover(before_spawn=True)
    simulation.settle()
    assert simulation.living == {"a": 2}
    assert [attempt.number for attempt in simulation.state.runs["a"].attempts] == [1, 2]


def test_a_fresh_start_that_never_happened_is_made_up_for_fresh() -> None:
    simulation = Simulation(plan_of(a=((), 0)), CPU)
    simulation.run_to_the_end(a="fails")
    simulation.send(Restart(run="a", fresh=True))
    simulation.die_and_recover(before_spawn=True)
    simulation.settle()
    assert simulation.started == ["a@CPU", "a@CPU+fresh"]


def test_a_fresh_restart_asked_for_while_a_start_was_being_lost_is_fresh() -> None:
    simulation = Simulation(plan_of(a=((), 0)), CPU)
    (start,) = decide(simulation.plan, simulation.state, now=0.0)
    assert isinstance(start, StartAttempt)
    simulation.note_start(start)
    simulation.send(Restart(run="a", fresh=True))
    simulation.die_and_recover()
    simulation.settle()
    assert simulation.started == ["a@CPU+fresh"]


def test_a_run_stopped_while_its_start_was_being_lost_stays_stopped() -> None:
    simulation = Simulation(plan_of(a=((), 0)), CPU)
    (start,) = decide(simulation.plan, simulation.state, now=0.0)
    assert isinstance(start, StartAttempt)
    simulation.note_start(start)
    simulation.send(Stop(run="a"))
    simulation.die_and_recover()
    simulation.settle()
    assert simulation.started == []
    assert simulation.states()["a"] is RunState.STOPPED
    assert simulation.state.finished


def test_between_both_transformers_and_the_mlp_a_death_starts_the_mlp_once() -> None:
    simulation = Simulation(PMSSM, gpu_slots(2))
    simulation.settle()
    simulation.end("prepare")
    simulation.settle()
    simulation.end("transformer")
    simulation.end("transformer_tabular")
    simulation.die_and_recover(before_spawn=True)
    simulation.run_to_the_end()
    assert sum(where.startswith("mlp") for where in simulation.started) == 1
    assert simulation.state.finished


# Crashes and stalls

RETRIED = Plan(
    runs={
        "a": RunPlan(command=("true",), retries=2, retry_exit_codes=(75,), retry_delay_s=100),
        "b": RunPlan(command=("true",), after=("a",)),
    }
)


@pytest.mark.parametrize(
    ("outcome", "attempts"), [("crashes", 3), ("fails", 1), ("is_lost", 3), ("cannot_start", 1), ("succeeds", 1)]
)
def test_a_crash_is_retried_as_often_as_the_plan_says_and_nothing_else_is(outcome: Outcome, attempts: int) -> None:
    simulation = Simulation(RETRIED, CPU)
    simulation.run_to_the_end(a=outcome)
    assert simulation.started.count("a@CPU") == attempts
    assert (simulation.states()["a"] is RunState.SUCCEEDED) == (outcome == "succeeds")
    assert simulation.state.finished


def test_an_exit_code_that_the_plan_lists_is_a_crash() -> None:
    simulation = Simulation(RETRIED, CPU)
    simulation.settle()
    ended = AttemptEnded(
        at=simulation.now(), run="a", attempt=simulation.living.pop("a"), exit=Exit(ended=1, exit_code=75)
    )
    simulation.record(ended)
    assert decide(RETRIED, simulation.state, simulation.clock) == [Retry("a", 100)]


def test_retries_wait_twice_as_long_each_time_and_hold_the_session_open() -> None:
    simulation = Simulation(RETRIED, CPU)
    delays = []
    for _ in range(2):
        simulation.settle()
        simulation.end("a", "crashes")
        simulation.settle()
        assert not simulation.living
        assert not simulation.state.finished
        assert simulation.states() == {"a": RunState.QUEUED, "b": RunState.WAITING}
        retry = simulation.state.runs["a"].retry
        assert retry is not None
        delays.append(retry.delay_s)
        simulation.clock = retry.at + retry.delay_s
    assert delays == [100, 200]
    simulation.run_to_the_end()
    assert set(simulation.states().values()) == {RunState.SUCCEEDED}


def test_a_clock_set_back_does_not_make_a_retry_wait_for_it() -> None:
    simulation = Simulation(RETRIED, CPU)
    simulation.settle()
    simulation.end("a", "crashes")
    simulation.settle()
    retry = simulation.state.runs["a"].retry
    assert retry is not None
    assert decide(RETRIED, simulation.state, retry.at + 99) == []
    assert [
        action.run for action in decide(RETRIED, simulation.state, retry.at - 3600) if isinstance(action, StartAttempt)
    ] == ["a"]


def test_what_a_user_stopped_or_killed_is_not_retried() -> None:
    simulation = Simulation(RETRIED, CPU)
    simulation.settle()
    simulation.send(Stop(run="a", how="kill"))
    simulation.run_to_the_end()
    assert simulation.started == ["a@CPU"]
    assert simulation.states() == {"a": RunState.STOPPED, "b": RunState.BLOCKED}


@pytest.mark.parametrize("command", [Stop(run="a"), Down()])
def test_a_stop_while_waiting_for_a_retry_ends_the_waiting(command: Command) -> None:
    simulation = Simulation(RETRIED, CPU)
    simulation.settle()
    simulation.end("a", "crashes")
    simulation.settle()
    assert simulation.send(command).ok
    simulation.run_to_the_end()
    assert simulation.started == ["a@CPU"]
    assert simulation.state.finished


def test_a_restart_by_the_user_does_not_wait_and_gives_the_retries_back() -> None:
    simulation = Simulation(RETRIED, CPU)
    simulation.run_to_the_end(a="crashes")
    assert simulation.started == ["a@CPU"] * 3
    simulation.send(Restart(run="a"))
    simulation.settle()
    assert "a" in simulation.living
    simulation.run_to_the_end(a="crashes")
    assert simulation.started == ["a@CPU"] * 6


def test_a_stalled_run_is_restarted_as_often_as_allowed_and_no_more() -> None:
    simulation = Simulation(plan_of(a=((), 0)), CPU, stall_restarts=2)
    simulation.settle()
    for restarts in (1, 2):
        simulation.stalled = {"a"}
        simulation.settle()
        assert simulation.signalled == {"a": "stop"}
        simulation.end("a")
        simulation.settle()
        assert len(simulation.started) == 1 + restarts
    simulation.stalled = {"a"}
    simulation.settle()
    assert simulation.signalled == {}
    assert simulation.states()["a"] is RunState.RUNNING


def test_a_stalled_run_that_is_being_stopped_is_left_to_it() -> None:
    simulation = Simulation(plan_of(a=((), 0)), CPU, stall_restarts=2)
    simulation.settle()
    simulation.send(Stop(run="a"))
    simulation.stalled = {"a"}
    simulation.run_to_the_end()
    assert simulation.started == ["a@CPU"]
    assert simulation.states()["a"] is RunState.STOPPED


# Several runs on one GPU


def shared_slot(room_mib: int) -> tuple[Slot, ...]:
    return (Slot(index=0, gpu_index=0, gpu_uuid="GPU-0", name="GPU 0", shared_mib=room_mib),)


def runs_expecting(*memories: int | None) -> Plan:
    runs = {f"r{at}": RunPlan(command=("true",), slot=at, gpu_memory_mib=mib) for at, mib in enumerate(memories)}
    return Plan(runs=runs)


def started_together(plan: Plan, slots: tuple[Slot, ...], **free_mib: int) -> list[str]:
    state = Simulation(plan, slots).state
    free = {uuid.replace("_", "-"): mib for uuid, mib in free_mib.items()}
    return [action.run for action in decide(plan, state, now=0.0, free_mib=free) if isinstance(action, StartAttempt)]


def test_runs_share_a_gpu_while_their_expected_memory_fits() -> None:
    assert started_together(runs_expecting(800, 800, 1500), shared_slot(2000)) == ["r0", "r1"]
    assert started_together(runs_expecting(800, 800, 1500), shared_slot(4000)) == ["r0", "r1", "r2"]


def test_a_run_that_expects_too_much_has_the_gpu_for_itself() -> None:
    assert started_together(runs_expecting(5000, 800), shared_slot(2000)) == ["r0"]


def test_a_run_of_unknown_memory_does_not_share_a_gpu() -> None:
    assert started_together(runs_expecting(None, 800), shared_slot(80000)) == ["r0"]
    assert started_together(runs_expecting(800, None), shared_slot(80000)) == ["r0"]


def test_a_run_joins_others_only_where_its_memory_is_free_at_this_moment() -> None:
    assert started_together(runs_expecting(800, 800), shared_slot(80000), GPU_0=799) == ["r0"]
    assert started_together(runs_expecting(800, 800), shared_slot(80000), GPU_0=800) == ["r0", "r1"]


def test_the_emptiest_of_shared_gpus_is_taken_where_the_plan_prefers_none() -> None:
    slots = tuple(Slot(index=n, gpu_index=n, gpu_uuid=f"GPU-{n}", name=f"GPU {n}", shared_mib=8000) for n in range(2))
    plan = Plan(runs={f"r{n}": RunPlan(command=("true",), gpu_memory_mib=800) for n in range(4)})
    starts = decide(plan, Simulation(plan, slots).state, now=0.0)
    assert [action.slot.index for action in starts if isinstance(action, StartAttempt) and action.slot] == [0, 1, 0, 1]


@given(
    memories=st.lists(st.one_of(st.none(), st.integers(0, 3000)), min_size=1, max_size=8),
    room=st.integers(0, 8000),
    data=st.data(),
)
def test_what_shares_a_gpu_never_expects_more_than_it_has(
    memories: list[int | None], room: int, data: st.DataObject
) -> None:
    plan = runs_expecting(*memories)
    simulation = Simulation(plan, shared_slot(room))
    simulation.settle()
    while simulation.living:
        together = [plan.runs[run].gpu_memory_mib for run in simulation.living]
        assert len(together) == 1 or (None not in together and sum(filter(None, together)) <= room)
        simulation.end(data.draw(st.sampled_from(sorted(simulation.living)), "ends"))
        simulation.settle()
    check_rest(simulation)


# What runs after others have ended, however they ended


SUMMED_UP = Plan(
    runs={
        "a": RunPlan(command=("true",)),
        "b": RunPlan(command=("true",), after=("a",)),
        "report": RunPlan(command=("true",), after_end=("a", "b"), rerun=True, slot="none"),
    }
)


@pytest.mark.parametrize("outcome", ["succeeds", "fails", "crashes", "is_lost", "cannot_start"])
def test_a_report_runs_once_all_others_have_ended_however_they_ended(outcome: Outcome) -> None:
    simulation = Simulation(SUMMED_UP, CPU)
    simulation.settle()
    assert simulation.states()["report"] is RunState.WAITING
    simulation.run_to_the_end(a=outcome)
    assert simulation.started == (["a@CPU", "b@CPU"] if outcome == "succeeds" else ["a@CPU"]) + ["report@none"]
    assert simulation.states()["report"] is RunState.SUCCEEDED


def test_a_report_runs_again_after_what_it_sums_up_has_run_again() -> None:
    simulation = Simulation(SUMMED_UP, CPU)
    simulation.run_to_the_end(b="fails")
    simulation.send(Restart(run="b"))
    simulation.settle()
    assert simulation.states() == {"a": RunState.SUCCEEDED, "b": RunState.RUNNING, "report": RunState.WAITING}
    simulation.run_to_the_end()
    assert simulation.started == ["a@CPU", "b@CPU", "report@none", "b@CPU", "report@none"]


def test_a_run_without_rerun_keeps_its_result_when_what_it_waited_for_starts_again() -> None:
    runs = {"a": RunPlan(command=("true",)), "long": RunPlan(command=("true",), after_end=("a",))}
    simulation = Simulation(Plan(runs=runs), CPU)
    simulation.run_to_the_end(long="fails")
    simulation.send(Restart(run="a"))
    simulation.run_to_the_end()
    assert simulation.started == ["a@CPU", "long@CPU", "a@CPU"]
    assert simulation.states() == {"a": RunState.SUCCEEDED, "long": RunState.FAILED}


def test_a_report_that_a_user_stopped_does_not_start_again_by_itself() -> None:
    simulation = Simulation(SUMMED_UP, CPU)
    simulation.send(Stop(run="report"))
    simulation.run_to_the_end()
    simulation.send(Restart(run="b"))
    simulation.run_to_the_end()
    assert simulation.started == ["a@CPU", "b@CPU", "b@CPU"]


def test_a_report_waits_for_the_retry_of_a_crashed_run() -> None:
    runs = {"a": RunPlan(command=("true",), retries=1), "report": RunPlan(command=("true",), after_end=("a",))}
    simulation = Simulation(Plan(runs=runs), gpu_slots(2))
    simulation.settle()
    simulation.end("a", "crashes")
    simulation.settle()
    assert simulation.started == ["a@GPU 1"]
    simulation.run_to_the_end()
    assert simulation.started == ["a@GPU 1", "a@GPU 1", "report@GPU 1"]


# Any plan, any history


@st.composite
def random_plans(draw: st.DrawFn) -> Plan:
    """Random DAGs; the order of the file is not the order of dependence."""
    count = draw(st.integers(1, 7))
    names = [f"r{number}" for number in range(count)]
    runs = {}
    for number, name in enumerate(names):
        earlier = st.lists(st.sampled_from(names[:number]), unique=True, max_size=3) if number else st.just([])
        after, after_end = draw(earlier), draw(st.one_of(st.just([]), earlier))
        slot = draw(st.sampled_from([None, "none", 0, 1, 2, 5]))
        fresh = draw(st.sampled_from([(), ("--fresh",)]))
        runs[name] = RunPlan(
            command=("true",),
            after=tuple(after),
            after_end=tuple(after_end),
            rerun=draw(st.booleans()) and bool(after_end),
            slot=slot,  # type: ignore[arg-type]
            fresh_args=fresh,
            retries=draw(st.sampled_from([0, 0, 1, 2])),
            retry_exit_codes=draw(st.sampled_from([(), (1,)])),
            retry_delay_s=draw(st.sampled_from([0.0, 3.0, 1000.0])),
        )
    return Plan(runs={name: runs[name] for name in draw(st.permutations(names))})


def draw_command(data: st.DataObject, plan: Plan) -> Command:
    run = data.draw(st.sampled_from([*plan.runs, "no such run", ""]), "run")
    kinds: list[Command] = [
        Stop(run=run),
        Stop(run=run, how="kill"),
        Restart(run=run),
        Restart(run=run, fresh=True),
        StartCommand(run=run),
        Down(),
    ]
    return data.draw(st.sampled_from(kinds), "command")


OUTCOMES: list[Outcome] = ["succeeds", "succeeds", "succeeds", "fails", "crashes", "is_lost", "cannot_start"]


def check_rest(simulation: Simulation) -> None:
    """What must hold of a session that is at rest."""
    states = simulation.states()
    assert simulation.state.finished
    assert not simulation.living
    assert set(states.values()) <= {RunState.SUCCEEDED, *ENDED_BADLY}
    for name, state in states.items():
        if state is RunState.BLOCKED:
            roots = blockers(simulation.plan, states, name)
            assert roots
            assert {states[root] for root in roots} <= ENDED_BADLY - {RunState.BLOCKED}
    for name, run in simulation.state.runs.items():
        others = [simulation.state.runs[dependency].last for dependency in simulation.plan.runs[name].after_end]
        is_rerun = simulation.plan.runs[name].rerun
        if is_rerun and run.last is not None and not run.stopped_by_user and states[name] is not RunState.BLOCKED:
            assert all(other is None or other.order < run.last.order for other in others)
    assert replay(simulation.plan, simulation.events) == simulation.state
    assert decide(simulation.plan, simulation.state, now=0.0) == []


@given(plan=random_plans(), data=st.data())
@settings(max_examples=250)
def test_any_history_of_any_plan_keeps_the_rules_and_comes_to_rest(plan: Plan, data: st.DataObject) -> None:
    slots = gpu_slots(data.draw(st.integers(1, 3), "slots"))
    simulation = Simulation(plan, None if data.draw(st.booleans(), "slots come late") else slots, stall_restarts=1)
    for _ in range(data.draw(st.integers(0, 25), "steps")):
        step = data.draw(st.sampled_from(["settle", "end", "ask", "die", "die before spawn", "slots", "stall"]), "step")
        if step == "settle":
            simulation.settle()
        elif step == "end" and simulation.living:
            run = data.draw(st.sampled_from(sorted(simulation.living)), "ends")
            simulation.end(run, data.draw(st.sampled_from(OUTCOMES), "outcome"))
        elif step == "ask":
            simulation.send(draw_command(data, plan))
        elif step.startswith("die"):
            simulation.die_and_recover(before_spawn=step == "die before spawn")
        elif step == "stall":
            simulation.stalled = set(data.draw(st.lists(st.sampled_from([*plan.runs]), unique=True), "stalled"))
        elif step == "slots" and simulation.state.slots is None:
            simulation.choose_slots(slots)
    if simulation.state.slots is None:
        simulation.choose_slots(slots)
    simulation.run_to_the_end()
    check_rest(simulation)


@given(plan=random_plans(), slots=st.integers(1, 3), data=st.data())
def test_when_nothing_fails_everything_runs_exactly_once(plan: Plan, slots: int, data: st.DataObject) -> None:
    simulation = Simulation(plan, gpu_slots(slots))
    simulation.settle()
    while simulation.living:
        for run in data.draw(
            st.lists(st.sampled_from(sorted(simulation.living)), min_size=1, unique=True), "end together"
        ):
            simulation.end(run)
        if data.draw(st.booleans(), "engine dies"):
            simulation.die_and_recover(before_spawn=True)
        simulation.settle()
    assert sorted(where.split("@")[0] for where in simulation.started) == sorted(plan.runs)
    check_rest(simulation)


@given(plan=random_plans(), slots=st.integers(1, 3))
def test_no_slot_stays_free_while_a_run_is_queued(plan: Plan, slots: int) -> None:
    simulation = Simulation(plan, gpu_slots(slots))
    simulation.settle()
    while simulation.living:
        busy = {run for run in simulation.living if plan.runs[run].takes_slot}
        assert len(busy) == slots or RunState.QUEUED not in simulation.states().values()
        simulation.end(next(iter(simulation.living)))
        simulation.settle()


def test_once_all_is_done_the_only_action_is_to_finish() -> None:
    simulation = Simulation(plan_of(a=((), 0)), CPU)
    simulation.settle()
    simulation.end("a")
    assert decide(simulation.plan, simulation.state, now=0.0) == [FinishSession()]


# Large plans


def test_a_chain_longer_than_pythons_stack_is_decided_whatever_the_order_of_the_file() -> None:
    names = [f"r{number}" for number in range(3000)]
    chain = {name: ([before] if before else [], 0) for before, name in zip([None, *names], names, strict=False)}
    plan = plan_of(**dict(reversed(chain.items())))
    state = initial_state(plan)
    assert run_states(plan, state)["r2999"] is RunState.WAITING
    simulation = Simulation(plan, CPU)
    simulation.settle()
    simulation.end("r0", "fails")
    assert blockers(plan, simulation.states(), "r2999") == ("r0",)


def test_the_roots_of_a_ladder_of_runs_are_found_without_walking_every_path() -> None:
    rungs: dict[str, tuple[list[str], int]] = {"a0": ([], 0), "b0": ([], 0)}
    for number in range(1, 60):  # 2^59 paths
        rungs |= {f"{side}{number}": ([f"a{number - 1}", f"b{number - 1}"], 0) for side in "ab"}
    plan = plan_of(**rungs)
    simulation = Simulation(plan, gpu_slots(2))
    simulation.settle()
    simulation.end("a0", "fails")
    simulation.end("b0", "is_lost")
    began = time.process_time()
    assert blockers(plan, simulation.states(), "b59") == ("a0", "b0")
    assert time.process_time() - began < 10  # not a speed, but the difference between now and never
