"""Attempts whose jobs follow others: what is asked of Slurm, what the job itself checks, how they end. No Slurm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pmssm.supervisor.launchers.attempt_files import AttemptSpec
from pmssm.supervisor.launchers.base import NeverStarted, Outcome
from pmssm.supervisor.launchers.shim_files import identity
from pmssm.supervisor.launchers.slurm import job_shim
from pmssm.supervisor.launchers.slurm.attempt import SlurmAttempt
from pmssm.supervisor.launchers.slurm.attempt_folder import Submission
from pmssm.supervisor.launchers.slurm.dependencies import UNMET, describe, jobs_before
from pmssm.supervisor.launchers.slurm.job_status import JobStatus
from pmssm.supervisor.launchers.slurm.known_job import FRESH_S, SECOND_LOOK_S
from pmssm.supervisor.session.events import Exit

WAITS = JobStatus(job_id=8, state="PENDING", reason="Dependency")
DROPPED = JobStatus(job_id=8, state="CANCELLED", reason="DependencyNeverSatisfied")
CANCELLED = JobStatus(job_id=8, state="CANCELLED")
RUNNING = JobStatus(job_id=8, state="RUNNING", nodes="n1", started=1000.0)
SUCCESS = {"exit_code": 0, "ended": 1.0, "stop": None}
FAILURE = {"exit_code": 3, "ended": 1.0, "stop": None}
STOPPED = {"exit_code": 0, "ended": 1.0, "stop": "stop"}


def prepare(folder: Path, *follows: Path) -> SlurmAttempt:
    spec = AttemptSpec(("true",), ".", {}, "run.log", "", 1.0, run=folder.parent.name, session="0123456789ab")
    return SlurmAttempt.prepare(folder, replace(spec, follows=follows), Path(sys.executable))


def submit(attempt: SlurmAttempt, job_id: int) -> SlurmAttempt:
    assert attempt.request is not None
    attempt.note_submitting(attempt.request)
    attempt.note_submitted(job_id, now=0.0)
    return attempt


@pytest.fixture
def first(tmp_path: Path) -> SlurmAttempt:
    return submit(prepare(tmp_path / "a" / "attempt_1"), 7)


@pytest.fixture
def second(first: SlurmAttempt) -> SlurmAttempt:
    """The attempt behind `first`, in Slurm's queue."""
    return submit(prepare(first.folder.parents[1] / "b" / "attempt_1", first.folder), 8)


def end(attempt: SlurmAttempt, record: dict[str, object]) -> None:
    (attempt.folder / "exit.json").write_text(json.dumps(record))


def run_job_shim(attempt: SlurmAttempt) -> int:
    """Do what the batch script of a job does, and return its exit code."""
    command = [sys.executable, "-I", "-S", job_shim.__file__, str(attempt.folder)]
    return subprocess.run(command, check=False, timeout=30, env={"SLURM_JOB_ID": "8"}).returncode


def outcome(attempt: SlurmAttempt) -> Outcome | None:
    attempt.advance(1.0)
    return attempt.outcome


def test_a_job_follows_the_jobs_that_slurm_surely_has(first: SlurmAttempt, tmp_path: Path) -> None:
    third = prepare(tmp_path / "c" / "attempt_1", first.folder)
    others = {first.folder: first}
    assert jobs_before(third.follows, others, FRESH_S - 1) == (7,)
    assert jobs_before(third.follows, others, FRESH_S) is None  # Slurm may have lost it
    first.observe(RUNNING, FRESH_S)
    assert jobs_before(third.follows, others, FRESH_S) == (8,)  # the number that Slurm names
    first.observe(None, FRESH_S + 1)
    assert jobs_before(third.follows, others, FRESH_S + 1) is None


@pytest.mark.parametrize(("record", "jobs"), [(SUCCESS, ()), (FAILURE, None), (STOPPED, None)])
def test_a_job_is_free_once_those_before_it_have_succeeded(
    first: SlurmAttempt, tmp_path: Path, record: dict[str, object], jobs: tuple[int, ...] | None
) -> None:
    third = prepare(tmp_path / "c" / "attempt_1", first.folder)
    end(first, record)
    first.advance(0.0)
    assert jobs_before(third.follows, {first.folder: first}, 0.0) == jobs_before(third.follows, {}, 0.0) == jobs


def test_a_job_that_waits_names_the_jobs_before_it(first: SlurmAttempt, second: SlurmAttempt) -> None:
    second.advance(0.0)
    assert second.placement.waiting is not None and second.placement.waiting.reason == "waits for job 7 (run a)"
    second.observe(WAITS, 1.0)
    second.advance(1.0)
    assert second.placement.waiting.reason == "waits for job 7 (run a)"
    adopted = SlurmAttempt.adopt(second.folder)
    assert adopted.placement.waiting is not None and "job 7 (run a)" in adopted.placement.waiting.reason
    end(first, SUCCESS)
    assert describe([first.folder]) == ""


def test_many_jobs_are_not_all_named(tmp_path: Path) -> None:
    folders = [tmp_path / f"run{number}" / "attempt_1" for number in range(5)]
    for number, folder in enumerate(folders):
        folder.mkdir(parents=True)
        Submission(token="t", job_id=number, at=1.0).write(folder)
    assert describe(folders) == "waits for job 0 (run run0), job 1 (run run1), job 2 (run run2) and 2 more"


def test_a_withdrawn_attempt_never_starts_submitted_or_not(first: SlurmAttempt, second: SlurmAttempt) -> None:
    third = prepare(first.folder.parents[1] / "c" / "attempt_1", first.folder)
    for attempt in (second, third):
        attempt.withdraw()
        assert outcome(attempt) == NeverStarted(UNMET)
    end(first, SUCCESS)  # even if Slurm starts it now
    assert run_job_shim(second) == job_shim.NOT_OURS


def test_a_withdrawal_does_nothing_to_a_command_that_runs(second: SlurmAttempt) -> None:
    (second.folder / "process.json").write_text(json.dumps({"shim": identity(os.getpid())}))
    second.withdraw()
    assert outcome(second) is None


def test_a_job_that_slurm_drops_waits_for_the_word_of_the_engine(second: SlurmAttempt) -> None:
    second.observe(DROPPED, 1.0)
    assert outcome(second) is None
    second.withdraw()
    assert outcome(second) == NeverStarted(UNMET)


def test_a_job_that_slurm_drops_without_a_failure_never_starts(first: SlurmAttempt, second: SlurmAttempt) -> None:
    end(first, SUCCESS)
    second.observe(DROPPED, 1.0)
    assert outcome(second) == NeverStarted(UNMET)
    assert json.loads((second.folder / "process.json").read_text())["void"]


def test_a_job_that_slurm_has_dropped_and_forgotten_never_starts(second: SlurmAttempt) -> None:
    for asked_at in (1.0, 1.0 + SECOND_LOOK_S):
        second.observe(None, asked_at)
    assert outcome(second) == NeverStarted(UNMET)


def test_a_job_that_somebody_cancels_has_failed_and_a_stopped_one_is_stopped(
    second: SlurmAttempt, first: SlurmAttempt
) -> None:
    third = submit(prepare(first.folder.parents[1] / "c" / "attempt_1", first.folder), 8)
    third.request_stop("stop", 1.0)
    for attempt, job in ((second, CANCELLED), (third, DROPPED)):
        attempt.observe(job, 1.0)
    ended = outcome(second)
    assert isinstance(ended, Exit) and "cancelled by somebody else" in (ended.error or "")
    stopped = outcome(third)
    assert isinstance(stopped, Exit) and stopped.stop == "stop"


@pytest.mark.parametrize("record", [FAILURE, STOPPED])
def test_a_job_started_too_early_by_slurm_runs_no_command(
    first: SlurmAttempt, second: SlurmAttempt, record: dict[str, object]
) -> None:
    end(first, record)
    assert run_job_shim(second) == job_shim.NOT_OURS
    assert outcome(second) == NeverStarted(UNMET)
    assert not (second.folder / "job.json").exists()


def test_the_record_of_another_node_is_waited_for(first: SlurmAttempt) -> None:
    assert not job_shim.has_succeeded(first.folder, deadline_s=0.0)
    end(first, SUCCESS)
    assert job_shim.has_succeeded(first.folder)
    (first.folder / "exit.json").write_text("[]")
    assert not job_shim.has_succeeded(first.folder, deadline_s=0.0)


def test_a_command_that_exits_with_0_after_a_stop_has_not_succeeded_for_slurm() -> None:
    assert (job_shim.exit_status(SUCCESS), job_shim.exit_status(STOPPED)) == (0, 143)
