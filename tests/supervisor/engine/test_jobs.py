"""Runs of a batch system: they take no slot, are submitted a few at a time, and continue after interruptions."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from pmssm.supervisor.engine.scheduler import StartAttempt, decide
from pmssm.supervisor.ipc.messages import Start
from pmssm.supervisor.plan.loader import parse_plan
from pmssm.supervisor.plan.schema import Plan
from pmssm.supervisor.session.events import AttemptEnded, AttemptStarted, AttemptSubmitted, Exit
from pmssm.supervisor.session.explain import explain_state
from pmssm.supervisor.session.state import RunState
from support.simulation import Outcome, Simulation

PLAN = parse_plan(
    """
[session]
launcher = "slurm"
continuations = 2
[runs.prepare]
command = ["true"]
launcher = "local"
slot = "none"
[runs.a]
command = ["true"]
after = ["prepare"]
retries = 1
[runs.b]
command = ["true"]
after = ["prepare"]
continuations = 0
[runs.c]
command = ["true"]
after = ["a", "b"]
[runs.report]
command = ["true"]
launcher = "local"
slot = "none"
after_end = ["c"]
""",
    "plan.toml",
)


def simulation(**changes: object) -> Simulation:
    """A session whose local run has succeeded; no slot is known, and none is needed."""
    begun = Simulation(PLAN, None, **changes)  # type: ignore[arg-type]
    begun.settle()
    assert list(begun.living) == ["prepare"]
    begun.end("prepare")
    begun.settle()
    return begun


def test_jobs_need_no_slot_of_this_machine() -> None:
    assert list(simulation().living) == ["a", "b"]


def test_at_most_max_jobs_are_submitted_at_one_time() -> None:
    begun = simulation(max_jobs=1)
    assert list(begun.living) == ["a"] and begun.states()["b"] is RunState.QUEUED
    begun.end("a")
    begun.settle()
    assert list(begun.living) == ["b"]


def test_an_interrupted_run_continues_and_its_retries_are_untouched() -> None:
    begun = simulation()
    for number in (1, 2):
        begun.clock += 60.0
        begun.end("a", "is_interrupted")
        begun.settle()
        run = begun.state.runs["a"]
        assert begun.states()["a"] is RunState.RUNNING and begun.states()["c"] is RunState.WAITING
        assert (run.continuations, run.retries, len(run.attempts)) == (number, 0, number + 1)
    begun.end("a")
    begun.settle()
    assert begun.states()["a"] is RunState.SUCCEEDED


def test_a_run_that_has_used_up_its_continuations_has_failed_and_is_not_retried() -> None:
    begun = simulation()
    for _ in range(3):
        begun.clock += 60.0
        begun.end("a", "is_interrupted")
        begun.settle()
    assert begun.states()["a"] is RunState.FAILED and begun.state.runs["a"].retries == 0
    begun.end("b", "is_interrupted")
    begun.settle()
    assert begun.states()["b"] is RunState.FAILED
    assert begun.states()["c"] is RunState.BLOCKED


def test_jobs_that_are_interrupted_at_once_are_continued_more_and_more_slowly() -> None:
    plan = PLAN.model_copy(update={"session": PLAN.session.model_copy(update={"continuations": 20})})
    session = Simulation(plan, None)
    session.run_to_the_end(b="fails", prepare="succeeds", a="is_interrupted")
    starts = [event.started for event in session.events if isinstance(event, AttemptStarted) and event.run == "a"]
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert len(pauses) == 20
    expected = (0, 30, 60, 120, 240, 480, 960, 1920, 3600)
    assert all(delay <= pause < delay + 25 for delay, pause in zip(expected, pauses, strict=False))
    assert max(pauses) < 3625
    assert session.states()["a"] is RunState.FAILED


def test_a_job_that_lasts_and_a_restart_end_the_slow_pace() -> None:
    session = simulation()
    for _ in range(2):
        session.end("a", "is_interrupted")
        session.settle()
    assert session.states()["a"] is RunState.QUEUED and session.state.runs["a"].retry is not None
    reason = explain_state("a", PLAN, session.state, session.states())
    assert reason.startswith("interrupted: time limit; 3rd job of this run follows not before ")
    assert session.send(Start(run="a")).ok
    session.settle()
    session.end("a", "is_interrupted")
    session.settle()
    assert session.states()["a"] is RunState.RUNNING
    session.clock += 60.0
    session.end("a", "is_interrupted")
    session.settle()
    assert session.states()["a"] is RunState.RUNNING


def test_a_crash_of_a_job_is_still_a_retry() -> None:
    begun = simulation()
    begun.end("a", "crashes")
    begun.settle()
    run = begun.state.runs["a"]
    assert (run.retries, run.continuations) == (1, 0) and begun.states()["a"] is RunState.QUEUED


def test_nothing_that_waits_for_an_interrupted_run_starts_before_its_continuation_is_recorded() -> None:
    begun = simulation(max_jobs=1)
    begun.end("a")
    begun.settle()
    begun.end("b")
    begun.settle()
    begun.end("c", "is_interrupted")
    actions = decide(PLAN, begun.state, begun.clock)
    assert not any(isinstance(action, StartAttempt) for action in actions)
    begun.settle()
    assert begun.states()["report"] is RunState.WAITING


def bundles(**runs: str) -> Plan:
    """Return a plan of jobs from `name=settings`."""
    text = "".join(f"[runs.{name}]\ncommand = ['true']\nslurm = {{ {slurm} }}\n" for name, slurm in runs.items())
    return parse_plan(f"[session]\nlauncher = 'slurm'\n{text}", "plan.toml")


def starts(session: Simulation) -> list[str]:
    due = decide(session.plan, session.state, session.clock, max_jobs=session.max_jobs)
    return [action.run for action in due if isinstance(action, StartAttempt)]


def submit(session: Simulation, *runs: str, job_id: str = "") -> None:
    """Record that the attempts of some runs were started, and that they share a job if it has a number."""
    for run in runs:
        session.note_start(StartAttempt(run, None, fresh=False))
        if job_id:
            session.record(AttemptSubmitted(at=session.now(), run=run, attempt=1, job_id=job_id))


def test_runs_of_equal_settings_that_share_a_job_count_as_one() -> None:
    plan = bundles(**dict.fromkeys("abcde", "bundle = 2"))
    session = Simulation(plan, None, max_jobs=2)
    assert starts(session) == ["a", "b", "c", "d"]
    submit(session, "a", "b", job_id="7")
    assert starts(session) == ["c", "d"]
    submit(session, "c", job_id="8")
    assert starts(session) == []


def test_a_run_of_other_settings_needs_a_job_of_its_own() -> None:
    plan = bundles(a="bundle = 2", b="bundle = 2, cpus = 1", c="bundle = 2", d="bundle = 2, cpus = 1", e="bundle = 2")
    assert starts(Simulation(plan, None, max_jobs=1)) == ["a", "c"]
    assert starts(Simulation(plan, None, max_jobs=2)) == ["a", "b", "c", "d"]


def test_an_attempt_without_a_job_number_counts_as_a_job() -> None:
    session = Simulation(bundles(**dict.fromkeys("abcd", "bundle = 4")), None, max_jobs=2)
    submit(session, "a", "b")
    assert starts(session) == []
    assert starts(Simulation(session.plan, None, max_jobs=2)) == ["a", "b", "c", "d"]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 4))
def test_bundles_never_need_more_jobs_than_are_allowed(data: st.DataObject, max_jobs: int) -> None:
    kinds = data.draw(
        st.lists(st.sampled_from(("", "bundle = 2", "bundle = 3", "bundle = 3, cpus = 1")), min_size=1, max_size=12)
    )
    session = Simulation(bundles(**{f"r{number}": kind for number, kind in enumerate(kinds)}), None, max_jobs=max_jobs)
    unsubmitted: list[str] = []
    jobs: list[list[str]] = []
    for _ in range(30):
        match data.draw(st.sampled_from(("start", "submit", "end"))):
            case "start":
                started = starts(session)
                submit(session, *started)
                unsubmitted += started
            case "submit" if unsubmitted:  # as the launcher does
                first = session.plan.runs[unsubmitted[0]]
                alike = [name for name in unsubmitted if session.plan.runs[name].job_settings == first.job_settings]
                jobs.append(alike[: first.bundle])
                for name in jobs[-1]:
                    unsubmitted.remove(name)
                    session.record(AttemptSubmitted(at=session.now(), run=name, attempt=1, job_id=f"job {len(jobs)}"))
            case "end" if any(jobs):
                job = data.draw(st.sampled_from([job for job in jobs if job]))
                exit_ = Exit(ended=session.now(), exit_code=0)
                session.record(AttemptEnded(at=session.now(), run=job.pop(), attempt=1, exit=exit_))
        assert sum(map(bool, jobs)) <= max_jobs


OUTCOMES: list[Outcome] = ["succeeds", "fails", "crashes", "is_lost", "cannot_start", "is_interrupted"]


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(1, 3))
def test_whatever_happens_no_job_is_submitted_twice_and_the_session_comes_to_rest(
    data: st.DataObject, max_jobs: int
) -> None:
    session = Simulation(PLAN, None, max_jobs=max_jobs)
    for _ in range(60):
        session.settle()
        if data.draw(st.booleans(), "engine dies"):
            session.die_and_recover(before_spawn=data.draw(st.booleans(), "before the start"))
            session.settle()
        if not session.living:
            due = [run.retry.at + run.retry.delay_s for run in session.state.runs.values() if run.retry]
            if not due:
                break
            session.clock = max(session.clock, min(due))
            continue
        run = data.draw(st.sampled_from(sorted(session.living)), "ends")
        session.end(run, data.draw(st.sampled_from(OUTCOMES), "outcome"))
    session.settle()
    assert session.state.finished
    assert all(run.continuations <= PLAN.continuations(name) for name, run in session.state.runs.items())
