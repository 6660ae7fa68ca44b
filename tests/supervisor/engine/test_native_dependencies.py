"""Jobs that Slurm starts after other jobs: submitted early, withdrawn if one before them does not succeed."""

from hypothesis import given, settings
from hypothesis import strategies as st
from pmssm.supervisor.engine.scheduler import Withdraw, decide
from pmssm.supervisor.ipc.messages import Command, Down, Restart, Stop
from pmssm.supervisor.plan.loader import parse_plan
from pmssm.supervisor.plan.schema import Plan
from pmssm.supervisor.session.event_messages import event_messages
from pmssm.supervisor.session.events import AttemptVoided
from pmssm.supervisor.session.state import RunState
from support.simulation import Outcome, Simulation

TEXT = """
[session]
launcher = "slurm"
native_dependencies = true
continuations = 2
[runs.a]
command = ["true"]
retries = 1
[runs.b]
command = ["true"]
after = ["a"]
[runs.c]
command = ["true"]
after = ["a", "b"]
continuations = 0
[runs.d]
command = ["true"]
after = ["c"]
[runs.e]
command = ["true"]
after = ["a"]
after_end = ["b"]
[runs.here]
command = ["true"]
launcher = "local"
slot = "none"
after = ["c"]
[runs.last]
command = ["true"]
after = ["here"]
"""
PLAN = parse_plan(TEXT, "plan.toml")
WITHOUT = parse_plan(TEXT.replace("native_dependencies = true", ""), "plan.toml")
NATIVE = ["a", "b", "c", "d"]


def begin(plan: Plan = PLAN, max_jobs: int = 64) -> Simulation:
    begun = Simulation(plan, None, max_jobs=max_jobs)
    begun.settle()
    return begun


def end(session: Simulation, run: str, outcome: Outcome = "succeeds") -> None:
    session.end(run, outcome)
    session.settle()
    session.advance_queue()
    session.settle()


def test_a_chain_of_jobs_is_submitted_at_once() -> None:
    session = begin()
    assert list(session.living) == NATIVE
    assert session.in_queue == {"b": (("a", 1),), "c": (("a", 1), ("b", 1)), "d": (("c", 1),)}
    assert [session.states()[run] for run in NATIVE] == [RunState.RUNNING, *[RunState.PENDING] * 3]


def test_runs_that_slurm_cannot_hold_back_wait_here() -> None:
    session = begin()
    assert {session.states()[run] for run in ("e", "here", "last")} == {RunState.WAITING}
    for run in ("a", "b", "c"):
        end(session, run)
    assert {"e", "here"} <= session.living.keys() and session.states()["last"] is RunState.WAITING


def test_without_the_option_every_run_waits_here() -> None:
    assert list(begin(WITHOUT).living) == ["a"]


def test_rounds_that_an_exit_code_may_end_wait_here() -> None:
    rounds = """
[session]
launcher = "slurm"
native_dependencies = true
rounds = 2
[runs.propose]
command = ["true"]
each_round = true
[runs.simulate]
command = ["true"]
each_round = true
after = ["propose"]
"""
    runs = {f"{run}-r0{number}" for run in ("propose", "simulate") for number in (1, 2)}
    assert begin(parse_plan(rounds, "plan.toml")).living.keys() == runs
    ended = rounds.replace("[runs.simulate]", "stop_when = [3]\n[runs.simulate]")
    assert list(begin(parse_plan(ended, "plan.toml")).living) == ["propose-r01", "propose-r02"]


def test_runs_behind_a_job_that_others_share_wait_here() -> None:
    plan = parse_plan(TEXT.replace("retries = 1", "retries = 1\nslurm = { bundle = 2 }"), "plan.toml")
    assert list(begin(plan).living) == ["a"]


def test_jobs_behind_others_count_for_max_jobs_and_ready_runs_come_first() -> None:
    session = begin(max_jobs=2)
    assert list(session.living) == ["a", "b"]
    end(session, "a")
    assert list(session.living) == ["b", "c"]


def test_a_failure_blocks_the_runs_behind_it_which_never_start() -> None:
    session = begin()
    end(session, "a", "fails")
    assert session.living == {} and session.state.finished
    states = session.states()
    assert [states[run] for run in NATIVE] == [RunState.FAILED, *[RunState.BLOCKED] * 3]


def test_an_interruption_and_a_retry_submit_the_chain_again_behind_the_new_job() -> None:
    session = begin()
    for number, outcome in ((2, "is_interrupted"), (3, "crashes")):
        end(session, "a", outcome)  # type: ignore[arg-type]
        session.clock += 60.0
        session.settle()
        assert session.in_queue["b"] == (("a", number),)
    run = session.state.runs["b"]
    assert [attempt.number for attempt in run.attempts] == [1, 2, 3] and (run.retries, run.continuations) == (0, 0)


def test_a_restart_of_a_run_withdraws_the_jobs_behind_it() -> None:
    session = begin()
    session.send(Restart(run="a"))
    session.settle()
    session.advance_queue()
    assert session.states()["b"] is RunState.PENDING
    session.end("a")
    assert Withdraw("b") in decide(PLAN, session.state, session.clock)
    session.settle()
    session.advance_queue()
    session.settle()
    assert session.in_queue["b"] == (("a", 2),) and session.states()["d"] is RunState.PENDING


def test_a_restart_of_a_success_leaves_the_job_behind_it_alone() -> None:
    session = begin()
    session.end("a")
    session.settle()
    session.send(Restart(run="a"))
    session.settle()
    session.advance_queue()
    assert session.states()["b"] is RunState.RUNNING


def test_a_withdrawal_is_repeated_after_the_death_of_the_engine() -> None:
    session = begin()
    session.end("a", "fails")
    session.settle()
    session.die_and_recover()
    assert Withdraw("b") in decide(PLAN, session.state, session.clock)


def test_the_log_says_why_an_attempt_never_started() -> None:
    session = begin()
    event = AttemptVoided(at=1.0, run="b", attempt=1, reason="a run that it waits for has not succeeded")
    session.record(event)
    lines = list(event_messages(event, PLAN, session.state))
    assert lines == [("b: attempt 1 was not started: a run that it waits for has not succeeded", "info")]


OUTCOMES: list[Outcome] = ["succeeds", "succeeds", "succeeds", "fails", "crashes", "is_interrupted"]
Outcomes = dict[str, list[Outcome]]


def play(plan: Plan, outcomes: Outcomes, data: st.DataObject, max_jobs: int, commands: list[Command]) -> Simulation:
    """Run a session to its end; the outcomes of each run's commands are given, their order is drawn."""
    left = {run: list(given) for run, given in outcomes.items()}
    session = Simulation(plan, None, max_jobs=max_jobs)
    for _ in range(200):
        session.settle()
        if data.draw(st.booleans(), "Slurm looks"):
            session.advance_queue()
            session.settle()
        if data.draw(st.integers(0, 9), "engine dies") == 0:
            session.die_and_recover(before_spawn=True)
            session.settle()
        if commands and data.draw(st.booleans(), "command"):
            session.send(commands.pop())
            session.settle()
        ending = sorted(run for run in session.living if run not in session.in_queue or run in session.signalled)
        if ending:
            run = data.draw(st.sampled_from(ending), "ends")
            session.end(run, "succeeds" if run in session.signalled or not left[run] else left[run].pop())
        elif session.in_queue:
            session.advance_queue()
        elif due := [run.retry.at + run.retry.delay_s for run in session.state.runs.values() if run.retry]:
            session.clock = max(session.clock, min(due))
        elif session.state.finished and not commands:
            return session
    raise AssertionError(f"never comes to rest: {session.states()}")


OUTCOMES_OF_ALL = st.fixed_dictionaries({name: st.lists(st.sampled_from(OUTCOMES), max_size=3) for name in PLAN.runs})


@settings(max_examples=25, deadline=None)
@given(OUTCOMES_OF_ALL, st.data(), st.integers(1, 4))
def test_the_session_ends_as_without_the_option(outcomes: Outcomes, data: st.DataObject, max_jobs: int) -> None:
    native = play(PLAN, outcomes, data, max_jobs, [])
    assert native.states() == play(WITHOUT, outcomes, data, 64, []).states()


COMMANDS = st.lists(
    st.one_of(
        st.builds(Restart, run=st.sampled_from(NATIVE)),
        st.builds(Stop, run=st.sampled_from(NATIVE), how=st.sampled_from(["stop", "kill"])),
        st.just(Down()),
    ),
    max_size=4,
)


@settings(max_examples=25, deadline=None)
@given(OUTCOMES_OF_ALL, COMMANDS, st.data(), st.integers(1, 4))
def test_whatever_users_do_no_job_is_submitted_twice_and_none_waits_for_ever(
    outcomes: Outcomes, commands: list[Command], data: st.DataObject, max_jobs: int
) -> None:
    play(PLAN, outcomes, data, max_jobs, commands)
