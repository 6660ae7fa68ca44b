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
from pmssm.supervisor.session.state import ENDED_BADLY, RunState, blockers, initial_state, replay, run_states
from support.simulation import CPU, PMSSM, Outcome, World, gpu_slots, plan_of

# The pMSSM plan


def test_with_two_gpus_the_transformers_train_side_by_side_and_the_mlp_on_the_second() -> None:
    world = World(PMSSM, gpu_slots(2))
    world.settle()
    assert world.started == ["prepare@none"]
    world.end("prepare")
    world.settle()
    assert world.started[1:] == ["transformer@GPU 1", "transformer_tabular@GPU 2"]
    world.end("transformer")
    world.settle()
    assert len(world.started) == 3
    world.end("transformer_tabular")
    world.settle()
    assert world.started[3:] == ["mlp@GPU 2"]
    world.end("mlp")
    assert not world.state.finished
    world.settle()
    assert set(world.states().values()) == {RunState.SUCCEEDED}


def test_the_session_finishes_after_its_last_run() -> None:
    world = World(PMSSM, gpu_slots(2))
    world.run_to_the_end()
    assert world.state.finished
    assert set(world.states().values()) == {RunState.SUCCEEDED}


@pytest.mark.parametrize("first", ["transformer", "transformer_tabular"])
def test_mlp_waits_until_both_transformers_exit_0(first: str) -> None:
    world = World(PMSSM, gpu_slots(2))
    world.settle()
    world.end("prepare")
    world.settle()
    world.end(first)
    world.settle()
    assert world.states()["mlp"] is RunState.WAITING
    assert "mlp" not in world.living


@pytest.mark.parametrize("slots", [gpu_slots(1), CPU])
def test_with_one_slot_the_runs_go_one_after_the_other_in_the_order_of_the_plan(slots: tuple) -> None:  # type: ignore[type-arg]
    world = World(PMSSM, slots)
    order = []
    world.settle()
    while world.living:
        (run,) = world.living
        order.append(run)
        world.end(run)
        world.settle()
    assert order == ["prepare", "transformer", "transformer_tabular", "mlp"]
    assert {where.split("@")[1] for where in world.started[1:]} == {slots[0].name}
    assert world.state.finished


def test_until_the_slots_are_known_only_runs_that_need_none_start() -> None:
    world = World(PMSSM, None)
    world.settle()
    assert world.started == ["prepare@none"]
    world.end("prepare")
    world.settle()
    assert world.states()["transformer"] is RunState.QUEUED
    assert world.started == ["prepare@none"]
    assert not world.state.finished
    world.choose_slots(gpu_slots(2))
    world.settle()
    assert world.started[1:] == ["transformer@GPU 1", "transformer_tabular@GPU 2"]


def test_mlp_is_blocked_by_a_failed_transformer_and_the_session_comes_to_rest() -> None:
    world = World(PMSSM, gpu_slots(2))
    world.run_to_the_end(transformer="fails")
    states = world.states()
    assert states["mlp"] is RunState.BLOCKED
    assert blockers(PMSSM, states, "mlp") == ("transformer",)
    assert "mlp@GPU 2" not in world.started
    assert world.state.finished


def test_restarting_the_failed_transformer_to_success_starts_the_mlp_exactly_once() -> None:
    world = World(PMSSM, gpu_slots(2))
    world.run_to_the_end(transformer="fails")
    assert world.ask(Restart(run="transformer")).ok
    assert world.states()["mlp"] is RunState.WAITING
    assert not world.state.finished
    world.run_to_the_end()
    assert world.started[-2:] == ["transformer@GPU 1", "mlp@GPU 2"]
    assert sum(where.startswith("mlp") for where in world.started) == 1
    assert world.state.finished


def test_after_a_failed_prepare_everything_is_blocked_by_it() -> None:
    world = World(PMSSM, gpu_slots(2))
    world.run_to_the_end(prepare="fails")
    states = world.states()
    assert [states[run] for run in ("transformer", "transformer_tabular", "mlp")] == [RunState.BLOCKED] * 3
    assert blockers(PMSSM, states, "mlp") == ("prepare",)
    assert world.state.finished


@pytest.mark.parametrize("outcome", ["fails", "crashes", "is_lost", "cannot_start"])
def test_no_end_but_exit_0_lets_the_mlp_start(outcome: Outcome) -> None:
    world = World(PMSSM, gpu_slots(2))
    world.run_to_the_end(transformer_tabular=outcome)
    assert world.states()["mlp"] is RunState.BLOCKED


@pytest.mark.parametrize(("preferred", "gpu"), [(0, 1), (1, 2), (2, 3), (3, 1), (4, 2), (11, 3)])
def test_a_run_prefers_its_slot_modulo_their_number(preferred: int, gpu: int) -> None:
    world = World(plan_of(a=((), preferred)), gpu_slots(3))
    world.settle()
    assert world.started == [f"a@GPU {gpu}"]


def test_a_run_whose_slot_is_taken_takes_another_free_one() -> None:
    world = World(plan_of(a=((), 0), b=((), 0), c=((), None)), gpu_slots(3))
    world.settle()
    assert world.started == ["a@GPU 1", "b@GPU 2", "c@GPU 3"]


def test_a_run_without_preference_leaves_a_slot_to_the_run_that_prefers_it() -> None:
    world = World(plan_of(anywhere=((), None), first=((), 0)), gpu_slots(2))
    world.settle()
    assert sorted(world.started) == ["anywhere@GPU 2", "first@GPU 1"]


def test_a_freed_slot_goes_to_the_next_of_the_plan() -> None:
    world = World(plan_of(a=((), None), b=((), None), c=((), None)), gpu_slots(1))
    world.settle()
    world.end("a", "fails")
    world.settle()
    assert world.started == ["a@GPU 1", "b@GPU 1"]


# Commands in the middle


def test_a_slot_is_not_given_away_while_its_run_is_stopping() -> None:
    world = World(plan_of(a=((), 0), b=((), 0)), gpu_slots(1))
    world.settle()
    world.ask(Stop(run="a"))
    world.settle()
    assert world.states() == {"a": RunState.STOPPING, "b": RunState.QUEUED}
    assert list(world.living) == ["a"]
    world.end("a")
    world.settle()
    assert list(world.living) == ["b"]


def test_a_restart_while_running_stops_first_and_starts_once_afterwards() -> None:
    world = World(PMSSM, gpu_slots(2))
    world.settle()
    world.end("prepare")
    world.settle()
    world.ask(Restart(run="transformer", fresh=True))
    world.settle()
    assert world.signalled == {"transformer": "stop"}
    assert world.started.count("transformer@GPU 1+fresh") == 0
    world.end("transformer")
    world.settle()
    assert world.started[3:] == ["transformer@GPU 1+fresh"]
    world.end("transformer")
    world.settle()
    assert len(world.started) == 4


def test_an_attempt_after_a_fresh_one_resumes() -> None:
    world = World(plan_of(a=((), 0)), CPU)
    world.run_to_the_end(a="fails")
    world.ask(Restart(run="a", fresh=True))
    world.run_to_the_end(a="fails")
    world.ask(Restart(run="a"))
    world.run_to_the_end()
    assert world.started == ["a@CPU", "a@CPU+fresh", "a@CPU"]


def test_a_kill_after_a_stop_is_a_new_signal_and_a_stop_after_a_kill_is_none() -> None:
    world = World(plan_of(a=((), 0)), CPU)
    world.settle()
    world.ask(Stop(run="a"))
    assert decide(world.plan, world.state, now=0.0) == [SendSignal("a", "stop")]
    world.ask(Stop(run="a", how="kill"))
    assert decide(world.plan, world.state, now=0.0) == [SendSignal("a", "kill")]
    world.ask(Stop(run="a"))
    assert decide(world.plan, world.state, now=0.0) == [SendSignal("a", "kill")]


def test_down_ends_the_session_even_while_a_restart_is_pending() -> None:
    world = World(PMSSM, gpu_slots(2))
    world.settle()
    world.end("prepare")
    world.settle()
    world.ask(Restart(run="transformer"))
    world.settle()
    world.ask(Down())
    world.run_to_the_end()
    assert len(world.started) == 3
    assert world.state.finished
    assert {world.states()[run] for run in ("transformer", "transformer_tabular", "mlp")} == {RunState.STOPPED}


def test_down_before_anything_started_starts_nothing() -> None:
    world = World(PMSSM, None)
    world.ask(Down())
    world.settle()
    assert world.started == []
    assert world.state.finished


def test_a_stopped_queued_run_lets_the_others_go_on() -> None:
    world = World(plan_of(a=((), 0), b=((), 0), c=((), 0)), CPU)
    world.settle()
    world.ask(Stop(run="b"))
    world.run_to_the_end()
    assert world.started == ["a@CPU", "c@CPU"]
    assert world.states()["b"] is RunState.STOPPED


def test_restarting_a_succeeded_run_does_not_start_its_successors_again() -> None:
    world = World(PMSSM, gpu_slots(2))
    world.run_to_the_end()
    world.ask(Restart(run="transformer"))
    world.run_to_the_end()
    assert world.started[4:] == ["transformer@GPU 1"]


# An engine's death


def test_a_start_that_the_engine_did_not_live_to_carry_out_is_made_up_for_once() -> None:
    world = World(plan_of(a=((), 0)), CPU)
    world.die_and_recover(before_spawn=True)
    world.run_to_the_end()
    assert world.started == ["a@CPU"]


def test_a_start_made_up_for_gets_a_number_and_so_a_folder_of_its_own() -> None:
    world = World(plan_of(a=((), 0)), CPU)
    world.die_and_recover(before_spawn=True)
    world.settle()
    assert world.living == {"a": 2}
    assert [attempt.number for attempt in world.state.runs["a"].attempts] == [1, 2]


def test_a_fresh_start_that_never_happened_is_made_up_for_fresh() -> None:
    world = World(plan_of(a=((), 0)), CPU)
    world.run_to_the_end(a="fails")
    world.ask(Restart(run="a", fresh=True))
    world.die_and_recover(before_spawn=True)
    world.settle()
    assert world.started == ["a@CPU", "a@CPU+fresh"]


def test_a_fresh_restart_asked_for_while_a_start_was_being_lost_is_fresh() -> None:
    world = World(plan_of(a=((), 0)), CPU)
    (start,) = decide(world.plan, world.state, now=0.0)
    assert isinstance(start, StartAttempt)
    world.note_start(start)
    world.ask(Restart(run="a", fresh=True))
    world.die_and_recover()
    world.settle()
    assert world.started == ["a@CPU+fresh"]


def test_a_run_stopped_while_its_start_was_being_lost_stays_stopped() -> None:
    world = World(plan_of(a=((), 0)), CPU)
    (start,) = decide(world.plan, world.state, now=0.0)
    assert isinstance(start, StartAttempt)
    world.note_start(start)
    world.ask(Stop(run="a"))
    world.die_and_recover()
    world.settle()
    assert world.started == []
    assert world.states()["a"] is RunState.STOPPED
    assert world.state.finished


def test_between_both_transformers_and_the_mlp_a_death_starts_the_mlp_once() -> None:
    world = World(PMSSM, gpu_slots(2))
    world.settle()
    world.end("prepare")
    world.settle()
    world.end("transformer")
    world.end("transformer_tabular")
    world.die_and_recover(before_spawn=True)
    world.run_to_the_end()
    assert sum(where.startswith("mlp") for where in world.started) == 1
    assert world.state.finished


# Crashes and stalls

RETRIED = Plan(
    runs={
        "a": RunPlan(command=("true",), retries=2, retry_exit_codes=(75,), retry_delay_s=100),
        "b": RunPlan(command=("true",), after=("a",)),
    }
)


@pytest.mark.parametrize(
    ("outcome", "attempts"), [("crashes", 3), ("fails", 1), ("is_lost", 1), ("cannot_start", 1), ("succeeds", 1)]
)
def test_a_crash_is_retried_as_often_as_the_plan_says_and_nothing_else_is(outcome: Outcome, attempts: int) -> None:
    world = World(RETRIED, CPU)
    world.run_to_the_end(a=outcome)
    assert world.started.count("a@CPU") == attempts
    assert (world.states()["a"] is RunState.SUCCEEDED) == (outcome == "succeeds")
    assert world.state.finished


def test_an_exit_code_that_the_plan_lists_is_a_crash() -> None:
    world = World(RETRIED, CPU)
    world.settle()
    ended = AttemptEnded(at=world.now(), run="a", attempt=world.living.pop("a"), exit=Exit(ended=1, exit_code=75))
    world.record(ended)
    assert decide(RETRIED, world.state, world.clock) == [Retry("a", 100)]


def test_retries_wait_twice_as_long_each_time_and_hold_the_session_open() -> None:
    world = World(RETRIED, CPU)
    delays = []
    for _ in range(2):
        world.settle()
        world.end("a", "crashes")
        world.settle()
        assert not world.living
        assert not world.state.finished
        assert world.states() == {"a": RunState.QUEUED, "b": RunState.WAITING}
        retry = world.state.runs["a"].retry
        assert retry is not None
        delays.append(retry.delay_s)
        world.clock = retry.at + retry.delay_s
    assert delays == [100, 200]
    world.run_to_the_end()
    assert set(world.states().values()) == {RunState.SUCCEEDED}


def test_a_clock_set_back_does_not_make_a_retry_wait_for_it() -> None:
    world = World(RETRIED, CPU)
    world.settle()
    world.end("a", "crashes")
    world.settle()
    retry = world.state.runs["a"].retry
    assert retry is not None
    assert decide(RETRIED, world.state, retry.at + 99) == []
    assert [
        action.run for action in decide(RETRIED, world.state, retry.at - 3600) if isinstance(action, StartAttempt)
    ] == ["a"]


def test_what_a_user_stopped_or_killed_is_not_retried() -> None:
    world = World(RETRIED, CPU)
    world.settle()
    world.ask(Stop(run="a", how="kill"))
    world.run_to_the_end()
    assert world.started == ["a@CPU"]
    assert world.states() == {"a": RunState.STOPPED, "b": RunState.BLOCKED}


@pytest.mark.parametrize("command", [Stop(run="a"), Down()])
def test_a_stop_while_waiting_for_a_retry_ends_the_waiting(command: Command) -> None:
    world = World(RETRIED, CPU)
    world.settle()
    world.end("a", "crashes")
    world.settle()
    assert world.ask(command).ok
    world.run_to_the_end()
    assert world.started == ["a@CPU"]
    assert world.state.finished


def test_a_restart_by_the_user_does_not_wait_and_gives_the_retries_back() -> None:
    world = World(RETRIED, CPU)
    world.run_to_the_end(a="crashes")
    assert world.started == ["a@CPU"] * 3
    world.ask(Restart(run="a"))
    world.settle()
    assert "a" in world.living
    world.run_to_the_end(a="crashes")
    assert world.started == ["a@CPU"] * 6


def test_a_stalled_run_is_restarted_as_often_as_allowed_and_no_more() -> None:
    world = World(plan_of(a=((), 0)), CPU, stall_restarts=2)
    world.settle()
    for restarts in (1, 2):
        world.stalled = {"a"}
        world.settle()
        assert world.signalled == {"a": "stop"}
        world.end("a")
        world.settle()
        assert len(world.started) == 1 + restarts
    world.stalled = {"a"}
    world.settle()
    assert world.signalled == {}
    assert world.states()["a"] is RunState.RUNNING


def test_a_stalled_run_that_is_being_stopped_is_left_to_it() -> None:
    world = World(plan_of(a=((), 0)), CPU, stall_restarts=2)
    world.settle()
    world.ask(Stop(run="a"))
    world.stalled = {"a"}
    world.run_to_the_end()
    assert world.started == ["a@CPU"]
    assert world.states()["a"] is RunState.STOPPED


# Several runs on one GPU


def shared_slot(room_mib: int) -> tuple[Slot, ...]:
    return (Slot(index=0, gpu_index=0, gpu_uuid="GPU-0", name="GPU 0", shared_mib=room_mib),)


def runs_expecting(*memories: int | None) -> Plan:
    runs = {f"r{at}": RunPlan(command=("true",), slot=at, gpu_memory_mib=mib) for at, mib in enumerate(memories)}
    return Plan(runs=runs)


def started_together(plan: Plan, slots: tuple[Slot, ...], **free_mib: int) -> list[str]:
    state = World(plan, slots).state
    free = {uuid.replace("_", "-"): mib for uuid, mib in free_mib.items()}
    return [action.run for action in decide(plan, state, now=0.0, free_mib=free) if isinstance(action, StartAttempt)]


def test_runs_share_a_gpu_while_their_expected_memory_fits() -> None:
    assert started_together(runs_expecting(800, 800, 1500), shared_slot(2000)) == ["r0", "r1"]
    assert started_together(runs_expecting(800, 800, 1500), shared_slot(4000)) == ["r0", "r1", "r2"]


def test_a_run_that_expects_too_much_has_the_gpu_for_itself() -> None:
    assert started_together(runs_expecting(5000, 800), shared_slot(2000)) == ["r0"]


def test_a_run_of_unknown_appetite_shares_with_nobody() -> None:
    assert started_together(runs_expecting(None, 800), shared_slot(80000)) == ["r0"]
    assert started_together(runs_expecting(800, None), shared_slot(80000)) == ["r0"]


def test_a_run_joins_others_only_where_its_memory_is_free_at_this_moment() -> None:
    assert started_together(runs_expecting(800, 800), shared_slot(80000), GPU_0=799) == ["r0"]
    assert started_together(runs_expecting(800, 800), shared_slot(80000), GPU_0=800) == ["r0", "r1"]


def test_the_emptiest_of_shared_gpus_is_taken_where_the_plan_prefers_none() -> None:
    slots = tuple(Slot(index=n, gpu_index=n, gpu_uuid=f"GPU-{n}", name=f"GPU {n}", shared_mib=8000) for n in range(2))
    plan = Plan(runs={f"r{n}": RunPlan(command=("true",), gpu_memory_mib=800) for n in range(4)})
    starts = decide(plan, World(plan, slots).state, now=0.0)
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
    world = World(plan, shared_slot(room))
    world.settle()
    while world.living:
        together = [plan.runs[run].gpu_memory_mib for run in world.living]
        assert len(together) == 1 or (None not in together and sum(filter(None, together)) <= room)
        world.end(data.draw(st.sampled_from(sorted(world.living)), "ends"))
        world.settle()
    check_rest(world)


# What runs after others have ended, however they ended


SUMMED_UP = Plan(
    runs={
        "a": RunPlan(command=("true",)),
        "b": RunPlan(command=("true",), after=("a",)),
        "report": RunPlan(command=("true",), after_end=("a", "b"), slot="none"),
    }
)


@pytest.mark.parametrize("outcome", ["succeeds", "fails", "crashes", "is_lost", "cannot_start"])
def test_a_report_runs_once_all_others_have_ended_however_they_ended(outcome: Outcome) -> None:
    world = World(SUMMED_UP, CPU)
    world.settle()
    assert world.states()["report"] is RunState.WAITING
    world.run_to_the_end(a=outcome)
    assert world.started == (["a@CPU", "b@CPU"] if outcome == "succeeds" else ["a@CPU"]) + ["report@none"]
    assert world.states()["report"] is RunState.SUCCEEDED


def test_a_report_runs_again_after_what_it_sums_up_has_run_again() -> None:
    world = World(SUMMED_UP, CPU)
    world.run_to_the_end(b="fails")
    world.ask(Restart(run="b"))
    world.settle()
    assert world.states() == {"a": RunState.SUCCEEDED, "b": RunState.RUNNING, "report": RunState.WAITING}
    world.run_to_the_end()
    assert world.started == ["a@CPU", "b@CPU", "report@none", "b@CPU", "report@none"]


def test_a_report_that_somebody_stopped_does_not_come_back_by_itself() -> None:
    world = World(SUMMED_UP, CPU)
    world.ask(Stop(run="report"))
    world.run_to_the_end()
    world.ask(Restart(run="b"))
    world.run_to_the_end()
    assert world.started == ["a@CPU", "b@CPU", "b@CPU"]


def test_a_report_waits_for_the_retry_of_a_crashed_run() -> None:
    runs = {"a": RunPlan(command=("true",), retries=1), "report": RunPlan(command=("true",), after_end=("a",))}
    world = World(Plan(runs=runs), gpu_slots(2))
    world.settle()
    world.end("a", "crashes")
    world.settle()
    assert world.started == ["a@GPU 1"]
    world.run_to_the_end()
    assert world.started == ["a@GPU 1", "a@GPU 1", "report@GPU 1"]


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


def check_rest(world: World) -> None:
    """What must hold of a session that is at rest."""
    states = world.states()
    assert world.state.finished
    assert not world.living
    assert set(states.values()) <= {RunState.SUCCEEDED, *ENDED_BADLY}
    for name, state in states.items():
        if state is RunState.BLOCKED:
            roots = blockers(world.plan, states, name)
            assert roots
            assert {states[root] for root in roots} <= ENDED_BADLY - {RunState.BLOCKED}
    for name, run in world.state.runs.items():
        others = [world.state.runs[dependency].last for dependency in world.plan.runs[name].after_end]
        if run.last is not None and not run.stopped_by_user and states[name] is not RunState.BLOCKED:
            assert all(other is None or other.order < run.last.order for other in others)
    assert replay(world.plan, world.events) == world.state
    assert decide(world.plan, world.state, now=0.0) == []


@given(plan=random_plans(), data=st.data())
@settings(max_examples=250)
def test_any_history_of_any_plan_keeps_the_rules_and_comes_to_rest(plan: Plan, data: st.DataObject) -> None:
    slots = gpu_slots(data.draw(st.integers(1, 3), "slots"))
    world = World(plan, None if data.draw(st.booleans(), "slots come late") else slots, stall_restarts=1)
    for _ in range(data.draw(st.integers(0, 25), "steps")):
        step = data.draw(st.sampled_from(["settle", "end", "ask", "die", "die before spawn", "slots", "stall"]), "step")
        if step == "settle":
            world.settle()
        elif step == "end" and world.living:
            run = data.draw(st.sampled_from(sorted(world.living)), "ends")
            world.end(run, data.draw(st.sampled_from(OUTCOMES), "outcome"))
        elif step == "ask":
            world.ask(draw_command(data, plan))
        elif step.startswith("die"):
            world.die_and_recover(before_spawn=step == "die before spawn")
        elif step == "stall":
            world.stalled = set(data.draw(st.lists(st.sampled_from([*plan.runs]), unique=True), "stalled"))
        elif step == "slots" and world.state.slots is None:
            world.choose_slots(slots)
    if world.state.slots is None:
        world.choose_slots(slots)
    world.run_to_the_end()
    check_rest(world)


@given(plan=random_plans(), slots=st.integers(1, 3), data=st.data())
def test_when_nothing_fails_everything_runs_exactly_once(plan: Plan, slots: int, data: st.DataObject) -> None:
    world = World(plan, gpu_slots(slots))
    world.settle()
    while world.living:
        for run in data.draw(st.lists(st.sampled_from(sorted(world.living)), min_size=1, unique=True), "end together"):
            world.end(run)
        if data.draw(st.booleans(), "engine dies"):
            world.die_and_recover(before_spawn=True)
        world.settle()
    assert sorted(where.split("@")[0] for where in world.started) == sorted(plan.runs)
    check_rest(world)


@given(plan=random_plans(), slots=st.integers(1, 3))
def test_no_slot_stays_free_while_a_run_is_queued(plan: Plan, slots: int) -> None:
    world = World(plan, gpu_slots(slots))
    world.settle()
    while world.living:
        busy = {run for run in world.living if plan.runs[run].takes_slot}
        assert len(busy) == slots or RunState.QUEUED not in world.states().values()
        world.end(next(iter(world.living)))
        world.settle()


def test_once_all_is_done_the_only_action_is_to_finish() -> None:
    world = World(plan_of(a=((), 0)), CPU)
    world.settle()
    world.end("a")
    assert decide(world.plan, world.state, now=0.0) == [FinishSession()]


# Large plans


def test_a_chain_longer_than_pythons_stack_is_decided_whatever_the_order_of_the_file() -> None:
    names = [f"r{number}" for number in range(3000)]
    chain = {name: ([before] if before else [], 0) for before, name in zip([None, *names], names, strict=False)}
    plan = plan_of(**dict(reversed(chain.items())))
    state = initial_state(plan)
    assert run_states(plan, state)["r2999"] is RunState.WAITING
    world = World(plan, CPU)
    world.settle()
    world.end("r0", "fails")
    assert blockers(plan, world.states(), "r2999") == ("r0",)


def test_the_roots_of_a_ladder_of_runs_are_found_without_walking_every_path() -> None:
    rungs: dict[str, tuple[list[str], int]] = {"a0": ([], 0), "b0": ([], 0)}
    for number in range(1, 60):  # 2^59 paths
        rungs |= {f"{side}{number}": ([f"a{number - 1}", f"b{number - 1}"], 0) for side in "ab"}
    plan = plan_of(**rungs)
    world = World(plan, gpu_slots(2))
    world.settle()
    world.end("a0", "fails")
    world.end("b0", "is_lost")
    began = time.process_time()
    assert blockers(plan, world.states(), "b59") == ("a0", "b0")
    assert time.process_time() - began < 10  # not a speed, but the difference between now and never
