"""Chains that end before their last round: which runs are skipped, and what waits for them."""

from __future__ import annotations

import pytest
from pmssm.supervisor.engine.run_index import RunIndex
from pmssm.supervisor.plan.loader import parse_plan
from pmssm.supervisor.plan.schema import Plan
from pmssm.supervisor.session.event_messages import event_messages
from pmssm.supervisor.session.events import AttemptEnded, Event, Exit
from pmssm.supervisor.session.explain import explain_state
from pmssm.supervisor.session.reducer import initial_state, reduce, replay
from pmssm.supervisor.session.run_states import run_states
from pmssm.supervisor.session.state import RunState
from support.events import ended, restart_requested, starting

PLAN = parse_plan(
    """
[session]
rounds = 3
[runs.train]
each_round = true
matrix.seed = [1, 2]
command = ["train", "{seed}"]
after = ["check@previous"]
[runs.check]
each_round = true
matrix.seed = [1, 2]
command = ["check", "{seed}"]
after = ["train"]
stop_when = [3]
[runs.compare]
each_round = true
command = ["compare"]
after = ["check"]
[runs.report]
command = ["report"]
after = ["check"]
""",
    "plan.toml",
)


def succeeds(run: str) -> list[Event]:
    return [starting(run), ended(run, exit_code=0)]


def stops_the_chain(run: str) -> list[Event]:
    return [starting(run), AttemptEnded(at=12, run=run, attempt=1, exit=Exit(ended=12, exit_code=3, ends_chain=True))]


FIRST_ROUND = [*succeeds("train-seed1-r01"), *succeeds("check-seed1-r01"), *succeeds("train-seed1-r02")]
STOPPED_IN_ROUND_2 = [*FIRST_ROUND, *stops_the_chain("check-seed1-r02")]


def states(events: list[Event], plan: Plan = PLAN) -> dict[str, RunState]:
    """Return the states, which the engine's index also gives, event by event and from the beginning."""
    state = initial_state(plan)
    index = RunIndex(plan, state)
    for event in events:
        state = reduce(state, event)
        index.update(state, event.run)  # type: ignore[union-attr]
        assert index.states == run_states(plan, state)
    assert RunIndex(plan, state).states == index.states
    return run_states(plan, state)


def test_a_run_that_ends_its_chain_has_succeeded_and_later_rounds_of_the_chain_are_skipped() -> None:
    found = states(STOPPED_IN_ROUND_2)
    assert found["check-seed1-r02"] is RunState.SUCCEEDED
    assert [name for name, state in found.items() if state is RunState.SKIPPED] == [
        "train-seed1-r03",
        "check-seed1-r03",
    ]
    assert found["train-seed2-r01"] is RunState.QUEUED


def test_what_compares_all_chains_goes_on_with_the_others() -> None:
    events = list(STOPPED_IN_ROUND_2)
    for number in (1, 2, 3):
        events += [*succeeds(f"train-seed2-r0{number}"), *succeeds(f"check-seed2-r0{number}")]
    assert states(events)["compare-r03"] is RunState.QUEUED
    assert states(events)["report"] is RunState.QUEUED


def test_a_run_waits_for_the_chains_that_have_not_ended() -> None:
    assert states(STOPPED_IN_ROUND_2)["compare-r03"] is RunState.WAITING


def test_a_run_without_a_chain_ends_all_chains() -> None:
    plan = parse_plan(
        '[session]\nrounds = 2\n[runs.a]\neach_round = true\nmatrix.x = [1]\ncommand = ["a", "{x}"]\n'
        '[runs.b]\neach_round = true\ncommand = ["b"]\nstop_when = [3]\n',
        "plan.toml",
    )
    assert states(stops_the_chain("b-r01"), plan) == {
        "a-x1-r01": RunState.QUEUED,
        "b-r01": RunState.SUCCEEDED,
        "a-x1-r02": RunState.SKIPPED,
        "b-r02": RunState.SKIPPED,
    }


def test_skipped_runs_wait_again_once_the_run_that_ended_the_chain_starts_again() -> None:
    found = states([*STOPPED_IN_ROUND_2, restart_requested("check-seed1-r02")])
    assert found["train-seed1-r03"] is RunState.WAITING


def test_a_run_that_has_started_before_the_end_of_the_chain_keeps_its_state() -> None:
    early = [*FIRST_ROUND, starting("train-seed1-r03"), *stops_the_chain("check-seed1-r02")]
    assert states(early)["train-seed1-r03"] is RunState.RUNNING
    done = [*FIRST_ROUND, *succeeds("train-seed1-r03"), *stops_the_chain("check-seed1-r02")]
    assert states(done)["train-seed1-r03"] is RunState.SUCCEEDED


def test_a_skipped_run_says_why() -> None:
    state = replay(PLAN, STOPPED_IN_ROUND_2)
    reason = explain_state("check-seed1-r03", PLAN, state, run_states(PLAN, state))
    assert reason == "its chain ended in round 2: check-seed1-r02 exited with exit code 3"


@pytest.mark.parametrize("code", [1, 4])
def test_another_exit_code_is_a_failure_that_blocks_the_next_round(code: int) -> None:
    found = states([*FIRST_ROUND, starting("check-seed1-r02"), ended("check-seed1-r02", exit_code=code)])
    assert found["check-seed1-r02"] is RunState.FAILED
    assert found["train-seed1-r03"] is RunState.BLOCKED


def test_the_log_says_that_a_chain_has_ended() -> None:
    event = STOPPED_IN_ROUND_2[-1]
    state = replay(PLAN, STOPPED_IN_ROUND_2)
    lines = [text for text, _ in event_messages(event, PLAN, state)]
    assert lines[-1] == "check-seed1-r02: exit code 3 ends its chain; 2 runs are skipped now"
