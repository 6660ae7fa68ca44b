"""What is concluded from Slurm's answers and the files, when Slurm forgets a job; a fake clock, no Slurm."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from pmssm.supervisor.launchers.attempt_files import AttemptSpec
from pmssm.supervisor.launchers.base import NeverStarted
from pmssm.supervisor.launchers.shim_files import identity
from pmssm.supervisor.launchers.slurm.attempt import SlurmAttempt
from pmssm.supervisor.launchers.slurm.attempt_folder import Submission, output_tail
from pmssm.supervisor.launchers.slurm.conclusion import SILENT_S
from pmssm.supervisor.launchers.slurm.facts import Stage
from pmssm.supervisor.launchers.slurm.job_status import JobStatus
from pmssm.supervisor.launchers.slurm.known_job import FRESH_S, SECOND_LOOK_S, KnownJob
from pmssm.supervisor.session.events import Exit

PENDING = JobStatus(job_id=7, state="PENDING", reason="Priority", expected_start=5000.0)
RUNNING = JobStatus(job_id=7, state="RUNNING", nodes="n1", started=1000.0)


def spec(path: Path, **slurm: object) -> AttemptSpec:
    return AttemptSpec(
        command=("true",),
        cwd=".",
        given={},
        log="mlp.log",
        header="",
        stop_grace_s=1.0,
        inherited={"HOME": str(path)},
        run="mlp",
        session="0123456789ab",
        cpus=4,
        gpus=1,
        slurm=slurm,
    )


@pytest.fixture
def attempt(tmp_path: Path) -> SlurmAttempt:
    attempt = SlurmAttempt.prepare(tmp_path / "attempt_1", spec(tmp_path), Path("/usr/bin/python3"))
    attempt.note_submitting(attempt.request)
    attempt.note_submitted(7, now=0.0)
    return attempt


def claim(attempt: SlurmAttempt) -> None:
    """Do what a shim does first."""
    (attempt.folder / "process.json").write_text(json.dumps({"shim": identity(os.getpid())}))


def test_the_folder_of_an_attempt_is_complete_and_private(attempt: SlurmAttempt, tmp_path: Path) -> None:
    record = json.loads((attempt.folder / "spec.json").read_text())
    assert record["cwd"] == str(Path.cwd())  # not the job's own folder
    assert record["log"] == str(Path.cwd() / "mlp.log")
    assert (attempt.folder / "environment").read_bytes() == f"HOME={tmp_path}\0".encode()
    assert (attempt.folder / "environment").stat().st_mode & 0o077 == 0
    assert attempt.request is not None
    assert (attempt.request.settings.cpus, attempt.request.takes_gpu) == (4, True)


def test_a_pending_job_says_why_it_waits_and_when_it_should_start(attempt: SlurmAttempt) -> None:
    attempt.observe(PENDING, 1.0)
    attempt.advance(1.0)
    waiting = attempt.placement.waiting
    assert waiting is not None
    assert (attempt.placement.job_id, waiting.reason, waiting.expected_start) == ("7", "other jobs come first", 5000.0)


def test_a_job_that_slurm_forgot_before_it_started_never_starts(attempt: SlurmAttempt) -> None:
    attempt.observe(None, 1.0)
    attempt.advance(1.0)
    assert attempt.outcome is None  # one answer proves nothing
    attempt.observe(None, 1.0 + SECOND_LOOK_S)
    attempt.advance(1.0 + SECOND_LOOK_S)
    assert attempt.outcome == NeverStarted()
    assert json.loads((attempt.folder / "process.json").read_text()) == {"void": True}


def test_a_job_that_slurm_forgot_lives_as_long_as_its_sampler_writes(attempt: SlurmAttempt) -> None:
    claim(attempt)
    now = 1.0
    for heartbeat in range(3):
        (attempt.folder / "gpus.json").write_text("{}")
        os.utime(attempt.folder / "gpus.json", (heartbeat, heartbeat))
        attempt.observe(None, now)
        attempt.advance(now)
        assert attempt.outcome is None
        now += SILENT_S - 1.0
    assert attempt.needs_accounting
    assert "no record of job 7" in attempt.warnings()[0]
    attempt.observe_accounting(None)
    attempt.advance(now + 2.0)
    assert isinstance(attempt.outcome, Exit)
    assert "no record of its job 7" in (attempt.outcome.unseen or "")


def test_a_job_that_comes_back_is_followed_again(attempt: SlurmAttempt) -> None:
    claim(attempt)
    for asked_at in (1.0, 10.0):
        attempt.observe(None, asked_at)
    attempt.advance(10.0)
    attempt.observe(RUNNING, 20.0)
    attempt.advance(20.0)
    assert (attempt.warnings(), attempt.needs_accounting, attempt.is_confirmed(20.0)) == ((), False, True)


def test_another_number_of_the_same_job_is_noted(attempt: SlurmAttempt) -> None:
    attempt.observe(JobStatus(job_id=9, state="PENDING"), 1.0)
    note = Submission.read(attempt.folder)
    assert note is not None
    assert (attempt.job_id, note.job_id) == (9, 9)


def test_an_attempt_that_was_refused_for_a_while_can_be_submitted_again(tmp_path: Path) -> None:
    attempt = SlurmAttempt.prepare(tmp_path / "attempt_1", spec(tmp_path), Path("/usr/bin/python3"))
    attempt.note_submitting(attempt.request)
    attempt.note_postponed("Slurm refused the job: too many; it waits until one of your jobs has ended")
    attempt.advance(1.0)
    assert attempt.stage is Stage.UNSUBMITTED
    assert attempt.placement.waiting is not None
    assert "too many" in attempt.placement.waiting.reason


def test_a_folder_that_slurm_cannot_be_given_is_the_attempts_error(tmp_path: Path) -> None:
    attempt = SlurmAttempt.prepare(tmp_path / "a\nb" / "attempt_1", spec(tmp_path), Path("/usr/bin/python3"))
    assert isinstance(attempt.outcome, Exit)
    assert "without line breaks" in (attempt.outcome.error or "")


def test_a_damaged_folder_is_adopted_without_an_exception(tmp_path: Path) -> None:
    folder = tmp_path / "attempt_1"
    folder.mkdir()
    for name in ("spec.json", "submission.json", "job.json", "exit.json", "gpus.json"):
        (folder / name).write_text("[" * 100_000)
    attempt = SlurmAttempt.adopt(folder)
    assert attempt.outcome == NeverStarted()
    assert attempt.sample() is None


def test_the_output_of_a_job_cannot_steer_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "job.log").write_bytes(b"first\n\x1b]0;title\x07setup line 1 failed\xff\n\n")
    assert output_tail(tmp_path) == "setup line 1 failed\ufffd"


def test_an_old_answer_says_nothing_about_a_new_job() -> None:
    job = KnownJob()
    job.confirm(100.0)
    job.observe_missing(99.0)
    assert not job.is_missing
    assert job.is_confirmed(100.0 + FRESH_S - 1)
    assert not job.is_confirmed(100.0 + FRESH_S)
