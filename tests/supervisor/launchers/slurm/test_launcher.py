"""Attempts on a real cluster: their ends, stops, interruptions, and the death of engine, controller and nodes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from pmssm.supervisor.launchers.base import NeverStarted
from pmssm.supervisor.launchers.slurm import call_budget, conclusion, known_job
from pmssm.supervisor.launchers.slurm.attempt import SlurmAttempt
from pmssm.supervisor.launchers.slurm.attempt_folder import Submission
from pmssm.supervisor.launchers.slurm.facts import Stage
from pmssm.supervisor.session.events import Exit
from support.fake_nvml import FakeNvml
from support.slurm_attempts import ClusterSession
from support.slurm_cluster import SlurmCluster, read_json

# Slurm signals each process of a job by itself: the shell goes on waiting if its child is the first to get it.
TRAINER = "trap 'echo stopping; exit 143' TERM; echo $$ > $here/ready; while :; do sleep 300 & wait; done"

SBATCH_WITH_LIMIT = """#!/bin/sh
test -e {limit} || exec /usr/bin/sbatch "$@"
echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2
echo 'sbatch: error: Batch job submission failed: Job violates accounting/QOS policy' >&2
exit 1
"""  # a limit of an account needs slurmdbd, and with it a database


@pytest.fixture
async def session(
    cluster: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ClusterSession]:
    monkeypatch.setattr(conclusion, "RECORD_WAIT_S", 1.0)
    session = ClusterSession(cluster, tmp_path)
    yield session
    session.launcher.close()


async def test_an_attempt_succeeds(session: ClusterSession) -> None:
    attempt = session.start("echo hello; exit 0")
    exit_ = await session.exit(attempt)
    assert (exit_.exit_code, exit_.interrupted, exit_.error) == (0, False, None)
    assert (session.path / "mlp.log").read_text() == "header\nhello\n"
    assert attempt.started is not None
    assert attempt.started.node in ("n1", "n2")
    assert (attempt.placement.node, attempt.placement.waiting) == (attempt.started.node, None)


async def test_an_attempt_fails_with_its_exit_code(session: ClusterSession) -> None:
    exit_ = await session.exit(session.start("exit 7"))
    assert (exit_.exit_code, exit_.interrupted, exit_.error) == (7, False, None)


async def test_a_pending_attempt_says_why_and_is_cancelled_by_a_stop(session: ClusterSession) -> None:
    attempt = session.start("echo never", extra=["--hold"])
    await session.until(lambda: attempt.placement.waiting and "held" in attempt.placement.waiting.reason)
    assert attempt.placement.job_id == str(attempt.job_id)
    attempt.request_stop("stop", 10.0)
    exit_ = await session.exit(attempt)
    assert (exit_.stop, exit_.error) == ("stop", "stopped before it started")
    assert session.jobs() == ["CANCELLED"]


async def test_a_stop_lets_the_command_end_in_its_own_way(session: ClusterSession) -> None:
    attempt = session.start(TRAINER)
    await session.text("ready")
    attempt.request_stop("stop", 10.0)
    exit_ = await session.exit(attempt)
    assert (exit_.exit_code, exit_.stop, exit_.interrupted) == (143, "stop", False)
    assert "stopping" in (session.path / "mlp.log").read_text()


async def test_a_kill_ends_what_ignores_a_stop(session: ClusterSession) -> None:
    attempt = session.start("trap '' TERM; echo > $here/ready; while :; do sleep 1; done", grace_s=100.0)
    await session.text("ready")
    attempt.request_stop("stop", 100.0)
    await session.until((attempt.folder / "stop.json").exists)
    attempt.request_stop("kill", 100.0)
    exit_ = await session.exit(attempt)
    assert (exit_.signal, exit_.stop) == (signal.SIGKILL, "kill")


async def test_slurm_ends_a_job_whose_shim_does_not_react(session: ClusterSession) -> None:
    attempt = session.start(TRAINER)
    await session.text("ready")
    await session.running(attempt)
    os.kill(int(read_json(attempt.folder / "process.json")["shim"]["pid"]), signal.SIGSTOP)
    attempt.request_stop("kill", 0.0)
    exit_ = await session.exit(attempt)
    assert exit_.stop == "kill"
    await session.until(lambda: session.cluster.run("squeue", "-h") == "")


async def test_the_gpus_and_the_memory_of_a_job_are_measured_in_it(
    session: ClusterSession, fake_nvml: Callable[..., FakeNvml]
) -> None:
    fake = fake_nvml(gpus=4)
    environment = {name: fake.env[name] for name in ("LD_LIBRARY_PATH", "FAKE_NVML_CONFIG")}
    attempt = session.start(
        "x=$(head -c 30000000 /dev/zero | tr '\\\\0' x); sleep 300", gres="gpu:2", inherited=environment
    )
    attempts = {"mlp": attempt}
    reading = (await session.until(lambda: session.launcher.read_gpus(attempts)))["mlp"]
    assert [gpu.name for gpu in reading.gpus] == ["NVIDIA Fake H100"] * 2
    assert abs(time.time() - reading.taken_at) < 30.0
    usage = await session.until(lambda: session.launcher.measure_usage(attempts).get("mlp"))
    assert usage.pids == frozenset()
    attempt.request_stop("kill", 0.0)
    assert (await session.exit(attempt)).leftovers == 0


async def test_the_time_limit_interrupts_an_attempt(session: ClusterSession) -> None:
    attempt = session.start(TRAINER)
    await session.text("ready")
    session.cluster.reach_time_limit(await session.running(attempt))
    exit_ = await session.exit(attempt, deadline_s=60.0)
    assert (exit_.exit_code, exit_.interrupted) == (143, True)
    assert exit_.error is not None
    assert "time limit" in exit_.error


async def test_a_signal_that_nobody_of_us_sent_interrupts_an_attempt(session: ClusterSession) -> None:
    attempt = session.start(TRAINER, time="24:00:00")
    await session.text("ready")
    job_id = await session.running(attempt)
    session.cluster.run("scancel", "--signal=USR1", "--batch", str(job_id))
    exit_ = await session.exit(attempt)
    assert (exit_.exit_code, exit_.interrupted) == (143, True)
    assert exit_.error == f"was told to stop on {attempt.placement.node} by a signal from outside"


async def test_an_attempt_that_somebody_else_cancels_is_no_interruption(session: ClusterSession) -> None:
    attempt = session.start(TRAINER)
    await session.text("ready")
    session.cluster.run("scancel", str(await session.running(attempt)))
    exit_ = await session.exit(attempt)
    assert not exit_.interrupted
    assert exit_.error is not None
    assert "cancelled by somebody else" in exit_.error


async def test_a_node_that_fails_interrupts_an_attempt(session: ClusterSession) -> None:
    attempt = session.start(TRAINER, extra=["--nodelist=n2"])
    await session.text("ready")
    await session.running(attempt)
    session.cluster.set_node("n2", "down")
    exit_ = await session.exit(attempt)
    assert exit_.interrupted
    assert exit_.error == "n2 failed or was taken out of service"


async def test_a_failed_setup_line_is_the_error(session: ClusterSession) -> None:
    exit_ = await session.exit(session.start("echo never", setup=["module load nothing"]))
    assert exit_.error is not None
    assert "setup line 1 failed: module load nothing" in exit_.error
    assert not exit_.interrupted


async def test_a_node_without_our_python_is_the_error(session: ClusterSession) -> None:
    session.restart(python=Path("/opt/gone/python"))
    exit_ = await session.exit(session.start("echo never"))
    assert exit_.error is not None
    assert exit_.error.startswith("could not be started on n")
    assert "/opt/gone/python" in exit_.error


async def test_a_folder_that_the_node_does_not_see_is_the_error(session: ClusterSession) -> None:
    attempt = session.start("echo never", extra=["--hold"])
    await session.until(lambda: attempt.job_id)
    attempt.folder.rename(attempt.folder.with_name("elsewhere"))
    session.cluster.run("scontrol", "release", str(attempt.job_id))
    exit_ = await session.exit(attempt)
    assert exit_.error is not None
    assert "use one that all nodes see" in exit_.error


async def test_a_refused_submission_is_the_error(session: ClusterSession) -> None:
    exit_ = await session.exit(session.start("echo never", partition="nope"))
    assert exit_.error is not None
    assert "`partition`" in exit_.error


async def test_a_refusal_for_a_limit_waits_until_a_job_has_ended(session: ClusterSession, tmp_path: Path) -> None:
    limit, sbatch = tmp_path / "limit", tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(SBATCH_WITH_LIMIT.format(limit=limit))
    sbatch.chmod(0o755)
    session.restart(programs=sbatch.parent)
    first = session.start(TRAINER)
    await session.text("ready")
    limit.touch()
    second = session.start("exit 0", run="second")
    await session.until(lambda: "AssocMaxSubmitJobLimit" in second.hold_reason)
    assert (second.outcome, session.jobs("second")) == (None, [])
    limit.unlink()
    first.request_stop("kill", 0.0)
    assert (await session.exit(first)).stop == "kill"
    assert (await session.exit(second)).exit_code == 0


async def test_a_stop_before_the_submission_submits_nothing(session: ClusterSession) -> None:
    attempt = session.start("echo never")
    second = session.start("echo never", run="other")
    second.request_stop("stop", 10.0)
    exit_ = await session.exit(second)
    assert exit_.error == "stopped before it was submitted"
    await session.exit(attempt)
    assert session.jobs("other") == []


async def test_a_new_engine_follows_the_attempts_of_the_old_one(session: ClusterSession) -> None:
    first = session.start(TRAINER)
    held = session.start("true", run="held", extra=["--hold"])
    await session.text("ready")
    await session.running(first)
    await session.until(lambda: held.job_id)
    session.restart()
    adopted, adopted_held = session.launcher.adopt(first.folder), session.launcher.adopt(held.folder)
    assert (adopted.started, adopted.job_id) == (first.started, first.job_id)
    adopted.request_stop("stop", 10.0)
    adopted_held.request_stop("stop", 10.0)
    assert (await session.exit(adopted)).exit_code == 143
    assert (await session.exit(adopted_held)).stop == "stop"


async def test_an_engine_that_died_after_sbatch_leaves_no_second_job(session: ClusterSession) -> None:
    attempt = session.start("echo > $here/ready; sleep 300")
    job_id = await session.running(attempt)
    note = Submission.read(attempt.folder)
    assert note is not None
    note.model_copy(update={"job_id": None}).write(attempt.folder)  # as if sbatch had not returned yet
    session.restart()
    adopted = session.launcher.adopt(attempt.folder)
    assert adopted.stage is Stage.SEARCHED
    await session.until(lambda: adopted.job_id == job_id)
    note = Submission.read(attempt.folder)
    assert note is not None
    assert note.job_id == job_id
    adopted.request_stop("kill", 0.0)
    await session.exit(adopted)


async def test_an_engine_that_died_before_sbatch_leaves_an_attempt_that_never_starts(
    session: ClusterSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_job, "SECOND_LOOK_S", 1.0)
    spec = session.spec("echo > $here/ready")
    folder = session.folder()
    SlurmAttempt.prepare(folder, spec, Path("/usr/bin/python3"))
    adopted = session.launcher.adopt(folder)
    assert adopted.outcome == NeverStarted()  # no note: sbatch was not called

    other = SlurmAttempt.prepare(session.folder("x"), session.spec("true", run="x"), Path("/bin/false"))
    other.note_submitting(other.request)
    adopted = session.launcher.adopt(other.folder)
    assert adopted.outcome is None
    assert await session.outcome(adopted) == NeverStarted()
    assert not (session.path / "ready").exists()
    assert session.jobs() == []


@pytest.mark.timeout(200)
async def test_a_controller_that_is_away_delays_but_loses_nothing(
    session: ClusterSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_budget, "MAX_PAUSE_S", 0.5)
    running = session.start(TRAINER)
    await session.text("ready")
    await session.running(running)
    os.kill(session.cluster.daemon_pid("slurmctld"), signal.SIGTERM)
    late = session.start("echo late", run="late")
    running.request_stop("stop", 10.0)
    longest = await longest_step(session, 4.0)
    assert longest < 1.0, "the loop was blocked"
    await asyncio.to_thread(session.cluster.repair)
    assert (await session.exit(running, deadline_s=60.0)).exit_code == 143
    outcome = await session.outcome(late, deadline_s=60.0)
    assert outcome == NeverStarted() or (isinstance(outcome, Exit) and outcome.exit_code == 0)


async def longest_step(session: ClusterSession, duration_s: float) -> float:
    """Return the longest time that one `advance` takes."""
    longest, end = 0.0, time.monotonic() + duration_s
    while time.monotonic() < end:
        began = time.monotonic()
        session.launcher.advance()
        longest = max(longest, time.monotonic() - began)
        await asyncio.sleep(0.02)
    return longest
