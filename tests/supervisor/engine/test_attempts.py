"""The engine's attempts with a launcher that is not local: attempts wait in a queue, and their ends come late."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pmssm.supervisor.engine.attempts import RunningAttempts
from pmssm.supervisor.engine.session_store import SessionStore
from pmssm.supervisor.launchers.attempt_files import FENCE_VARIABLE, AttemptSpec, fence_path
from pmssm.supervisor.launchers.base import CommandStart, Launcher, NeverStarted, QueueWait
from pmssm.supervisor.plan.loader import parse_plan
from pmssm.supervisor.session.create import next_session, resolve_plan, write_session
from pmssm.supervisor.session.events import (
    AttemptEnded,
    AttemptStarted,
    AttemptStarting,
    AttemptSubmitted,
    AttemptVoided,
    Event,
    Exit,
    StopRequested,
)
from pmssm.supervisor.session.folder import SessionSettings
from pmssm.supervisor.session.journal import read_journal
from pmssm.supervisor.session.run_states import run_states
from pmssm.supervisor.session.state import RunState
from support.batch_launcher import BatchLauncher

SETTINGS = SessionSettings(parallel=True, gpus=None, threads=None, environment={})
PLAN = parse_plan('[runs.a]\ncommand = ["true"]\n[runs.b]\ncommand = ["true"]\n', "plan.toml")
STARTING = AttemptStarting(at=1, run="a", attempt=1, fresh=False, log_offset=0, launcher="slurm")


@pytest.fixture
def session(tmp_path: Path) -> Iterator[SessionStore]:
    folder = next_session(tmp_path)
    write_session(folder, resolve_plan(folder, PLAN, {}, source="plan.toml"), SETTINGS)
    store = SessionStore(folder)
    store.open()
    yield store
    store.close()


@pytest.fixture
def launcher() -> BatchLauncher:
    return BatchLauncher()


def start(
    session: SessionStore, attempts: RunningAttempts, run: str = "a", given: dict[str, str] | None = None
) -> Path:
    """Record the decision and start the attempt, as the engine does."""
    folder = session.folder.attempt_folder(run, 1)
    session.record(STARTING.model_copy(update={"run": run}))
    log = session.folder.run_log(run)
    assert attempts.start(run, folder, AttemptSpec(("true",), ".", given or {}, str(log), "header\n", 30), "slurm")
    return folder


def recorded(session: SessionStore, kind: type[Event]) -> list[Event]:
    return [event for event in read_journal(session.folder.journal) if isinstance(event, kind)]


def state_of(session: SessionStore, run: str = "a") -> RunState:
    return run_states(PLAN, session.state)[run]


def test_the_protocol_fits_a_launcher_without_processes(launcher: BatchLauncher, tmp_path: Path) -> None:
    fits: Launcher = launcher
    assert not fits.was_started(tmp_path)


def test_an_attempt_may_wait_in_a_queue_before_it_starts_and_its_end_comes_at_a_poll(
    session: SessionStore, launcher: BatchLauncher
) -> None:
    attempts = RunningAttempts({"slurm": launcher})
    job = launcher.jobs[start(session, attempts)]
    job.notes = ["waits in the queue of partition gpu"]
    assert list(attempts.collect_exits(session)) == []
    assert list(attempts.warnings()) == ["a: waits in the queue of partition gpu"]
    assert attempts.measure_usage() == {} and recorded(session, AttemptStarted) == []
    launcher.due = [job.notes.clear, lambda: setattr(job, "started", CommandStart(17, 100.0))]
    assert list(attempts.collect_exits(session)) == []
    (event,) = recorded(session, AttemptStarted)
    assert isinstance(event, AttemptStarted) and (event.pid, event.started) == (17, 100.0)
    assert list(attempts.warnings()) == [] and attempts.measure_usage().keys() == {"a"}
    launcher.due = [lambda: setattr(job, "outcome", Exit(ended=200, exit_code=0))]
    assert list(attempts.collect_exits(session)) == ["a"]
    assert "a" not in attempts and state_of(session) is RunState.SUCCEEDED
    assert list(attempts.collect_exits(session)) == []
    assert len(recorded(session, AttemptEnded)) == 1


def test_a_submission_that_is_refused_later_is_a_failed_start(session: SessionStore, launcher: BatchLauncher) -> None:
    attempts = RunningAttempts({"slurm": launcher})
    job = launcher.jobs[start(session, attempts)]
    launcher.due = [lambda: setattr(job, "outcome", Exit(ended=2, exit_code=127, error="no such partition"))]
    assert list(attempts.collect_exits(session)) == ["a"]
    assert state_of(session) is RunState.FAILED and recorded(session, AttemptStarted) == []


def test_a_stop_is_a_request_that_is_remembered_until_the_next_attempt(
    session: SessionStore, launcher: BatchLauncher
) -> None:
    attempts = RunningAttempts({"slurm": launcher})
    job = launcher.jobs[start(session, attempts)]
    session.record(StopRequested(at=2, run="a", how="stop"))
    attempts.request_stop("a", "stop", 30.0)
    assert attempts.is_stop_requested("a", "stop") and not attempts.is_stop_requested("a", "kill")
    attempts.request_stop("a", "kill", 30.0)
    assert attempts.is_stop_requested("a", "stop") and attempts.is_stop_requested("a", "kill")
    assert job.stops == [("stop", 30.0), ("kill", 30.0)]
    assert list(attempts.collect_exits(session)) == [] and state_of(session) is RunState.STOPPING
    job.outcome = Exit(ended=3, signal=9)
    assert list(attempts.collect_exits(session)) == ["a"] and state_of(session) is RunState.STOPPED


def test_another_engine_adopts_a_job_that_still_waits_and_starts_none_twice(
    session: SessionStore, launcher: BatchLauncher
) -> None:
    folder = start(session, RunningAttempts({"slurm": launcher}))
    attempts = RunningAttempts({"slurm": launcher})  # of the next engine
    assert list(attempts.collect_exits(session)) == [] and "a" in attempts
    assert not attempts.start("a", folder, AttemptSpec(("true",), ".", {}, "", "", 30), "slurm")
    launcher.jobs[folder].outcome = Exit(ended=3, exit_code=0)
    assert list(attempts.collect_exits(session)) == ["a"]


def test_of_a_job_that_ran_while_no_engine_lived_node_and_start_are_recorded_too(
    session: SessionStore, launcher: BatchLauncher
) -> None:
    job = launcher.jobs[start(session, RunningAttempts({"slurm": launcher}))]
    job.run(node="n7", at=100.0)
    job.end(exit_code=0)
    assert list(RunningAttempts({"slurm": launcher}).collect_exits(session)) == ["a"]
    last = session.state.runs["a"].last
    assert last is not None and (last.node, last.started, last.job_id) == ("n7", 100.0, "1")


def test_an_adopted_attempt_may_turn_out_later_to_have_never_started(
    session: SessionStore, launcher: BatchLauncher
) -> None:
    session.record(STARTING)
    attempts = RunningAttempts({"slurm": launcher})
    assert list(attempts.collect_exits(session)) == [] and state_of(session) is RunState.PENDING
    (job,) = launcher.jobs.values()
    launcher.due = [lambda: setattr(job, "outcome", NeverStarted())]
    assert list(attempts.collect_exits(session)) == []
    assert "a" not in attempts and state_of(session) is RunState.QUEUED
    assert len(recorded(session, AttemptVoided)) == 1


def test_one_poll_serves_all_attempts(session: SessionStore, launcher: BatchLauncher) -> None:
    attempts = RunningAttempts({"slurm": launcher})
    jobs = [launcher.jobs[start(session, attempts, run)] for run in ("a", "b")]
    for job in jobs:
        launcher.due.append(lambda job=job: setattr(job, "outcome", Exit(ended=2, exit_code=0)))  # type: ignore[misc]
    assert list(attempts.collect_exits(session)) == ["a", "b"] and len(attempts) == 0


def test_messages_are_logged_once_and_problems_of_the_launcher_are_shown(
    session: SessionStore, launcher: BatchLauncher
) -> None:
    attempts = RunningAttempts({"slurm": launcher})
    job = launcher.jobs[start(session, attempts)]
    job.messages = ["its node does not answer"]
    launcher.notes = ["Slurm has not answered for 40 s"]
    for _ in range(2):
        list(attempts.collect_exits(session))
    assert session.folder.log.read_text().count("a: its node does not answer") == 1
    assert list(attempts.warnings()) == ["Slurm has not answered for 40 s"]


def test_an_end_that_could_not_be_recorded_is_recorded_at_the_next_attempt(
    session: SessionStore, launcher: BatchLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = RunningAttempts({"slurm": launcher})
    job = launcher.jobs[start(session, attempts)]
    job.outcome = Exit(ended=2, exit_code=0)

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(session, "record", full)
        with pytest.raises(OSError, match="No space left"):
            list(attempts.collect_exits(session))
    assert "a" in attempts
    assert list(attempts.collect_exits(session)) == ["a"]


def test_a_job_and_its_node_are_recorded_once(session: SessionStore, launcher: BatchLauncher) -> None:
    attempts = RunningAttempts({"slurm": launcher})
    job = launcher.jobs[start(session, attempts)]
    job.wait("314", "waits for a free GPU", 500.0)
    for _ in range(2):
        list(attempts.collect_exits(session))
    (submitted,) = recorded(session, AttemptSubmitted)
    assert isinstance(submitted, AttemptSubmitted) and submitted.job_id == "314"
    assert state_of(session) is RunState.PENDING
    assert attempts.placements()["a"].waiting == QueueWait("waits for a free GPU", 500.0)
    job.run(node="n7")
    list(attempts.collect_exits(session))
    last = session.state.runs["a"].last
    assert last is not None and (last.job_id, last.node, last.pid) == ("314", "n7", 17)
    assert state_of(session) is RunState.RUNNING
    log = session.folder.log.read_text()
    assert "a: submitted as job 314" in log and "a: running on n7 as pid 17" in log


def test_pids_of_other_machines_do_not_count_as_processes_of_this_one(
    session: SessionStore, launcher: BatchLauncher
) -> None:
    attempts = RunningAttempts({"slurm": launcher})
    launcher.jobs[start(session, attempts)].run()
    assert attempts.measure_usage()["a"].pids == frozenset()


def test_older_attempts_are_fenced_off_before_a_job_is_submitted(
    session: SessionStore, launcher: BatchLauncher
) -> None:
    folder = session.folder.attempt_folder("a", 1)
    start(session, RunningAttempts({"slurm": launcher}), given={FENCE_VARIABLE: f"{fence_path(folder)}:1"})
    assert (session.folder.run_folder("a") / "newest_attempt").read_text() == "1\n"
    start(session, RunningAttempts({"slurm": launcher}), run="b")
    assert not (session.folder.run_folder("b") / "newest_attempt").exists()
