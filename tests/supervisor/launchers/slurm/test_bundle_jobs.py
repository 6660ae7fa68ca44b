"""Several attempts in one job, on a real cluster."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from pmssm.supervisor.launchers.base import NeverStarted
from pmssm.supervisor.launchers.slurm import conclusion, known_job
from pmssm.supervisor.launchers.slurm.attempt import SlurmAttempt
from pmssm.supervisor.launchers.slurm.attempt_folder import Submission
from pmssm.supervisor.session.events import Exit
from support.fake_nvml import FakeNvml
from support.slurm_attempts import ClusterSession
from support.slurm_cluster import SlurmCluster, read_json

TRAINER = "trap 'echo saved; exit 143' TERM; echo $CUDA_VISIBLE_DEVICES; while :; do sleep 300 & wait; done"


@pytest.fixture
async def session(
    cluster: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ClusterSession]:
    monkeypatch.setattr(conclusion, "RECORD_WAIT_S", 1.0)
    session = ClusterSession(cluster, tmp_path)
    yield session
    session.launcher.close()


def start(session: ClusterSession, *commands: str, **slurm: object) -> list[SlurmAttempt]:
    settings = {"bundle": 4, "gres": "gpu:1", "time": "10", **slurm}
    return [session.start(command, run=f"r{number}", **settings) for number, command in enumerate(commands)]


async def outputs(session: ClusterSession, count: int) -> list[str]:
    """Return what the commands have written, once each has written a line after the header."""
    logs = [session.path / f"r{number}.log" for number in range(count)]
    await session.until(lambda: all(log.exists() and log.read_text().count("\n") > 1 for log in logs))
    return [log.read_text().removeprefix("header\n") for log in logs]


async def test_four_attempts_in_one_job_have_a_gpu_each_and_end_one_by_one(
    session: ClusterSession, cluster: SlurmCluster
) -> None:
    attempts = start(session, *[TRAINER] * 4, cpus=2)
    for attempt in attempts:
        await session.running(attempt)
    assert sorted(await outputs(session, 4)) == ["0\n", "1\n", "2\n", "3\n"]
    (job_id,) = {attempt.job_id for attempt in attempts}
    assert cluster.run("squeue", "-h", "-o", "%i %C %b").split() == [str(job_id), "8", "gres:gpu:4"]
    calls = session.launcher._commands.calls

    attempts[0].request_stop("stop", 10.0)
    assert (await session.exit(attempts[0])).exit_code == 143
    os.kill(int(read_json(attempts[1].folder / "process.json")["shim"]["pid"]), signal.SIGKILL)
    lost = await session.exit(attempts[1])
    assert (lost.unseen, lost.exit_code) == ("its shim was killed by signal 9", None)
    assert session.launcher._commands.calls - calls < 40  # polls of this impatient session; no scancel
    assert cluster.state(job_id) == "RUNNING"

    session.restart()
    left = [session.launcher.adopt(attempt.folder) for attempt in attempts[2:]]
    assert [attempt.job_id for attempt in left] == [job_id] * 2
    left[0].request_stop("stop", 10.0)
    assert (await session.exit(left[0])).stop == "stop"
    assert (left[1].outcome, cluster.state(job_id)) == (None, "RUNNING")
    left[1].request_stop("kill", 10.0)
    assert (await session.exit(left[1])).signal == signal.SIGKILL
    cluster.wait_for(job_id, "FAILED")


async def test_attempts_of_a_pending_job_are_stopped_alone_and_the_last_cancels_it(
    session: ClusterSession, cluster: SlurmCluster
) -> None:
    attempts = start(session, *["echo never"] * 3, extra=["--hold"])
    await session.until(lambda: all(attempt.job_id for attempt in attempts))
    while session.launcher._task is not None:  # then the next start makes a call at once
        await asyncio.sleep(0.01)
    attempts[1].request_stop("stop", 10.0)
    late = session.start("echo never", run="late", extra=["--hold"])
    exit_ = await session.exit(attempts[1])
    assert (exit_.stop, exit_.error) == ("stop", "stopped before it started")
    await session.until(lambda: late.job_id)  # calls are made one after the other
    assert session.jobs("r0") == ["PENDING"]
    for attempt in (attempts[0], attempts[2], late):
        attempt.request_stop("stop", 10.0)
    for attempt in (attempts[0], attempts[2], late):
        assert (await session.exit(attempt)).stop == "stop"
    assert cluster.run("squeue", "-h") == ""


async def test_a_stopped_attempt_does_not_start_with_the_others_of_its_job(session: ClusterSession) -> None:
    attempts = start(session, "echo never", "echo once", extra=["--hold"])
    await session.until(lambda: all(attempt.job_id for attempt in attempts))
    attempts[0].request_stop("kill", 10.0)
    await session.exit(attempts[0])
    session.cluster.run("scontrol", "release", str(attempts[1].job_id))
    assert (await session.exit(attempts[1])).exit_code == 0
    assert (session.path / "r1.log").read_text() == "header\nonce\n"
    assert not (session.path / "r0.log").exists()


async def test_an_engine_that_died_after_sbatch_finds_all_attempts_by_the_token_of_the_first(
    session: ClusterSession,
) -> None:
    attempts = start(session, TRAINER, TRAINER)
    job_id = await session.running(attempts[0])
    for attempt in attempts:
        record = read_json(attempt.folder / "submission.json")
        assert record["token"] == str(attempts[0].token)
        Submission.model_validate({**record, "job_id": None}).write(attempt.folder)
    session.restart()
    adopted = [session.launcher.adopt(attempt.folder) for attempt in attempts]
    await session.until(lambda: all(attempt.job_id == job_id for attempt in adopted))
    for attempt in adopted:
        attempt.request_stop("kill", 0.0)
        await session.exit(attempt)
    assert (len(session.jobs("r0")), session.jobs("r1")) == (1, [])


async def test_an_engine_that_died_between_two_notes_leaves_attempts_that_never_start(
    session: ClusterSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_job, "SECOND_LOOK_S", 1.0)
    attempts = [
        SlurmAttempt.prepare(session.folder(run), session.spec("echo never", run=run, bundle=2), Path("/bin/false"))
        for run in ("r0", "r1")
    ]
    assert attempts[0].request is not None
    attempts[0].note_submitting(attempts[0].request)
    adopted = [session.launcher.adopt(attempt.folder) for attempt in attempts]
    assert adopted[1].outcome == NeverStarted()
    assert await session.outcome(adopted[0]) == NeverStarted()


async def test_the_time_limit_interrupts_all_attempts_of_a_job_and_one_that_fails_does_not_wait_for_it(
    session: ClusterSession,
) -> None:
    attempts = start(session, TRAINER, TRAINER, "echo bad; exit 7")
    await outputs(session, 3)
    failed = await session.exit(attempts[2], deadline_s=10.0)
    assert (failed.exit_code, failed.interrupted) == (7, False)
    session.cluster.reach_time_limit(await session.running(attempts[0]))
    for attempt in attempts[:2]:
        exit_ = await session.exit(attempt, deadline_s=60.0)
        assert (exit_.exit_code, exit_.interrupted) == (143, True)
        assert "time limit" in str(exit_.error)


async def test_a_failed_setup_line_fails_all_attempts_of_the_job(session: ClusterSession) -> None:
    for attempt in start(session, "echo never", "echo never", setup=["module load nothing"]):
        outcome = await session.outcome(attempt)
        assert isinstance(outcome, Exit)
        assert "setup line 1 failed: module load nothing" in str(outcome.error)


async def test_each_attempt_is_measured_alone_with_the_gpu_that_it_has(
    session: ClusterSession, fake_nvml: Callable[..., FakeNvml]
) -> None:
    fake = fake_nvml(gpus=4)
    environment = {name: fake.env[name] for name in ("LD_LIBRARY_PATH", "FAKE_NVML_CONFIG")}
    big = "x=$(yes | head -c 30000000); echo ready; sleep 300"
    attempts = start(session, big, "echo ready; sleep 300", inherited=environment)
    keys = {"r0": attempts[0], "r1": attempts[1]}
    readings = await session.until(lambda: len(found := session.launcher.read_gpus(keys)) == 2 and found)
    assert [[gpu.index for gpu in readings[run].gpus] for run in keys] == [[0], [1]]
    usage = await session.until(
        lambda: len(found := session.launcher.measure_usage(keys)) == 2 and found["r0"].memory_mib > 25 and found
    )
    assert usage["r1"].memory_mib < 20
    for attempt in attempts:
        attempt.request_stop("kill", 0.0)
    for attempt in attempts:
        assert (await session.exit(attempt)).leftovers == 0
