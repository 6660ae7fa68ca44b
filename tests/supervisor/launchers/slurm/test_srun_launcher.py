"""Attempts on another node of an allocation of the real cluster: their ends, stops, and what kills them."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from pmssm.supervisor.launchers.base import NeverStarted
from pmssm.supervisor.launchers.slurm import step_attempt
from support.slurm_cluster import SlurmCluster, read_json
from support.slurm_steps import StepSession, allocation

TRAINER = "trap 'echo stopping; exit 143' TERM; echo $$ > $here/ready; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def allocated(slurm_cluster: SlurmCluster) -> Iterator[Mapping[str, str]]:
    """The variables of an allocation that all tests of this module share."""
    with allocation(slurm_cluster) as variables:
        yield variables


@pytest.fixture
async def session(
    slurm_cluster: SlurmCluster, allocated: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StepSession]:
    monkeypatch.setattr(step_attempt, "RECORD_WAIT_S", 0.5)
    monkeypatch.setattr(step_attempt, "SILENT_S", 2.0)
    session = StepSession(slurm_cluster, tmp_path, allocated)
    yield session
    session.launcher.close()


async def test_a_step_sees_its_gpu_alone_and_ends_as_its_command_does(session: StepSession) -> None:
    attempt = session.start('echo "$SLURMD_NODENAME $CUDA_VISIBLE_DEVICES <$SLURM_JOB_NUM_NODES> $LC_ALL"; exit 7')
    exit_ = await session.exit(attempt)
    assert (exit_.exit_code, exit_.interrupted, exit_.error) == (7, False, None)
    assert attempt.started is not None and attempt.started.node == "n2"
    assert attempt.placement.job_id.startswith(f"{session.job_id}.") and attempt.placement.node == "n2"
    name, gpu, *_ = (session.path / "mlp.log").read_text().splitlines()[1].split(" ")
    assert (name, gpu) == ("n2", "1")


async def test_a_run_on_the_cpu_of_a_node_sees_no_gpu(session: StepSession) -> None:
    attempt = session.start('echo "<$CUDA_VISIBLE_DEVICES>"', gpu=None)
    assert (await session.exit(attempt)).exit_code == 0
    assert (session.path / "mlp.log").read_text().splitlines()[-1] == "<>"


async def test_a_stop_reaches_the_command_once_and_a_kill_ends_it(session: StepSession) -> None:
    gentle, deaf = session.start(TRAINER), session.start("trap '' TERM; sleep 300", run="deaf")
    await session.text("ready")
    await session.running(deaf)
    gentle.request_stop("stop", 10)
    deaf.request_stop("stop", 60)
    ended = await session.exit(gentle)
    assert (ended.exit_code, ended.stop, ended.interrupted) == (143, "stop", False)
    assert (session.path / "mlp.log").read_text().count("stopping") == 1
    deaf.request_stop("kill", 0)
    ended = await session.exit(deaf)
    assert (ended.signal, ended.stop) == (9, "kill")


async def test_a_stop_before_the_start_starts_nothing(session: StepSession) -> None:
    attempt = session.start("echo never")
    attempt.request_stop("stop", 10)
    ended = await session.exit(attempt)
    assert ended.stop == "stop" and not (session.path / "mlp.log").exists()


async def test_another_engine_follows_a_step_to_its_end(session: StepSession) -> None:
    await session.running(session.start(TRAINER))
    session.restart()
    attempt = session.launcher.adopt(session.folder())
    assert attempt.outcome is None and attempt.started is not None
    attempt.request_stop("stop", 10)
    assert (await session.exit(attempt)).exit_code == 143


async def test_a_step_of_another_allocation_is_over_and_one_that_never_began_never_will(session: StepSession) -> None:
    await session.running(session.start(TRAINER))
    job_id = session.job_id
    session.environment["SLURM_JOB_ID"] = "99999"
    session.restart()
    ended = session.launcher.adopt(session.folder()).outcome
    assert ended is not None and ended.interrupted and ended.error == f"its allocation {job_id} has ended"
    assert isinstance(session.launcher.adopt(session.folder("other")).outcome, NeverStarted)


async def test_a_step_whose_srun_is_killed_is_interrupted_and_its_node_is_avoided(session: StepSession) -> None:
    attempt = session.start(TRAINER)
    await session.running(attempt)
    os.kill(read_json(session.folder() / "step.json")["srun"]["pid"], signal.SIGKILL)
    ended = await session.exit(attempt)
    assert ended.interrupted and (ended.error or "").startswith("its step on n2 was ended from outside")
    assert session.launcher.avoided_nodes() == {"n2"} and "n2: a step has failed" in session.launcher.warnings()[0]


async def test_a_frozen_step_is_ended_by_force_after_the_grace_period(
    session: StepSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_attempt, "AFTER_GRACE_S", 0.5)
    attempt = session.start(TRAINER)
    await session.running(attempt)
    shim = psutil.Process(read_json(session.folder() / "process.json")["shim"]["pid"])
    for process in (shim.parent(), shim):
        process.suspend()
    attempt.request_stop("stop", 0.5)
    ended = await session.exit(attempt)
    assert (ended.stop, ended.error) == ("stop", "stopped before its exit was recorded")


async def test_a_step_that_slurm_refuses_is_interrupted_with_its_words(session: StepSession) -> None:
    ended = await session.exit(session.start("echo never", node="n9"))
    assert ended.interrupted and (ended.error or "").startswith("could not be started on n9: srun: error:")


async def test_no_more_steps_start_in_a_minute_than_allowed(session: StepSession) -> None:
    session.launcher._started_at.extend([1e12] * 30)
    attempt = session.start("echo later")
    session.launcher.advance()
    assert attempt.outcome is None and attempt.is_waiting and not session.launcher.was_started(session.folder())
    assert attempt.placement.waiting is not None
    session.launcher._started_at.clear()
    assert (await session.exit(attempt)).exit_code == 0
