"""A whole engine with a batch system that tests control: from the journal to the snapshot."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from pmssm.supervisor.cli.launcher_choice import choose_launchers
from pmssm.supervisor.cli.session_options import SessionOptions
from pmssm.supervisor.engine.engine import Engine
from pmssm.supervisor.ipc.messages import Stop
from pmssm.supervisor.launchers import registry
from pmssm.supervisor.plan.loader import parse_plan
from pmssm.supervisor.session.create import next_session, resolve_plan, write_session
from pmssm.supervisor.session.folder import SessionFolder, SessionSettings
from pmssm.supervisor.session.offline import read_snapshot
from pmssm.supervisor.session.state import RunState
from support.batch_launcher import BatchLauncher, Job

PLAN = """
[slurm]
time = "10"
[runs.prepare]
command = ["true"]
launcher = "local"
slot = "none"
[runs.train]
command = ["true"]
after = ["prepare"]
env = { WITH = "plan" }
slurm = { cpus = 4 }
"""
DEADLINE_S = 20.0
SHELL = {"PATH": "/bin:/usr/bin", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> BatchLauncher:
    launcher = BatchLauncher()

    def create(on_change: Callable[[], None]) -> BatchLauncher:
        launcher.on_change = on_change
        return launcher

    monkeypatch.setitem(registry.LAUNCHERS, "slurm", create)  # type: ignore[arg-type]
    return launcher


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SessionFolder:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    plan = choose_launchers(parse_plan(PLAN, "plan.toml"), SessionOptions(launcher="slurm"), "plan.toml")
    folder = next_session(tmp_path)
    settings = SessionSettings(parallel=True, gpus=None, threads=None, environment=SHELL)
    write_session(folder, resolve_plan(folder, plan, {}, source="plan.toml"), settings)
    return folder


async def jobs(launcher: BatchLauncher, number: int) -> Job:
    """Wait until that many jobs were submitted, and return the newest."""
    async with asyncio.timeout(DEADLINE_S):
        while len(launcher.jobs) < number:
            await asyncio.sleep(0.01)
    return list(launcher.jobs.values())[-1]


async def until(engine: Engine, condition: Callable[[Engine], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition(engine):
            await asyncio.sleep(0.01)


def state_is(state: RunState) -> Callable[[Engine], bool]:
    return lambda engine: engine.snapshot().runs["train"].state is state


async def test_a_job_waits_runs_is_interrupted_and_continues(folder: SessionFolder, launcher: BatchLauncher) -> None:
    engine = Engine(folder)
    running = asyncio.create_task(engine.run(linger=False))
    first = await jobs(launcher, 1)
    first.wait("314", "waits for a free GPU", 1e9)
    await until(engine, lambda engine: engine.snapshot().runs["train"].pending_reason)
    view = engine.snapshot().runs["train"]
    assert (view.state, view.launcher, view.job_id, view.started) == (RunState.PENDING, "slurm", "314", None)
    assert view.reason.startswith("waits for a free GPU; start expected ") and view.expected_start == 1e9
    first.run(pid=17, node="n7")
    launcher.on_change()
    await until(engine, state_is(RunState.RUNNING))
    view = engine.snapshot().runs["train"]
    assert (view.node, view.pid, view.pending_reason, view.cuda_visible_devices) == ("n7", 17, "", None)
    await until(engine, lambda engine: engine.snapshot().gpus)
    (gpu,) = engine.snapshot().gpus
    assert (gpu.label, gpu.run, gpu.read_at) == ("n7 GPU 0", "train", 1.0)
    first.end(exit_code=143, stop="stop", interrupted=True, error="reached its time limit on n7")
    launcher.on_change()
    second = await jobs(launcher, 2)
    await until(engine, state_is(RunState.PENDING))
    assert engine.snapshot().runs["train"].reason == "2nd job of this run"
    second.run()
    second.end(exit_code=0)
    launcher.on_change()
    await asyncio.wait_for(running, DEADLINE_S)
    snapshot = read_snapshot(folder)
    view = snapshot.runs["train"]
    assert (view.state, view.continuations, snapshot.has_jobs) == (RunState.SUCCEEDED, 1, True)
    assert [attempt.interrupted for attempt in view.attempts] == [True, False]
    log = folder.log.read_text()
    assert "interrupted after" in log and "(reached its time limit on n7)" in log and "failed" not in log
    assert "train: continues; 2nd job of this run" in log
    assert snapshot.mode is None, "no run needs a slot of this machine"


async def test_a_job_gets_what_plan_and_settings_say_and_nothing_of_this_machine(
    folder: SessionFolder, launcher: BatchLauncher
) -> None:
    engine = Engine(folder)
    running = asyncio.create_task(engine.run(linger=False))
    job = await jobs(launcher, 1)
    spec = job.spec
    assert spec is not None
    fence = folder.run_folder("train") / "newest_attempt"
    assert spec.given == {"OMP_NUM_THREADS": "4", "WITH": "plan", "PMSSM_ATTEMPT_FENCE": f"{fence}:1"}
    assert (spec.inherited, spec.env["OMP_NUM_THREADS"]) == (SHELL, "4")
    assert (spec.run, spec.session, spec.attempt, spec.cpus, spec.gpus) == ("train", folder.token, 1, 4, 1)
    assert spec.slurm == {"time": "10", "cpus": 4}
    assert "attempt 1 on Slurm: true" in spec.header and fence.read_text() == "1\n"
    job.end(exit_code=0)
    launcher.on_change()
    await asyncio.wait_for(running, DEADLINE_S)


async def test_another_engine_watches_a_pending_job_again_and_a_stop_cancels_it(
    folder: SessionFolder, launcher: BatchLauncher
) -> None:
    engine = Engine(folder)
    running = asyncio.create_task(engine.run(linger=False))
    (await jobs(launcher, 1)).wait("314")
    await until(engine, lambda engine: engine.snapshot().runs["train"].job_id)
    engine.request_shutdown()
    await asyncio.wait_for(running, DEADLINE_S)
    assert read_snapshot(folder).runs["train"].state is RunState.PENDING
    engine = Engine(folder, resume=True)
    running = asyncio.create_task(engine.run(linger=False))
    await until(engine, lambda _: "attempt 1 is still waiting in a queue" in folder.log.read_text())
    job = await jobs(launcher, 1)
    assert job.stops == [] and engine.snapshot().runs["train"].state is RunState.PENDING
    reply = await engine.handle(Stop(run="train"))
    assert reply.message == "train: its job is cancelled"
    await until(engine, lambda _: job.stops)
    job.end(stop="stop", error="stopped before it started")
    launcher.on_change()
    await asyncio.wait_for(running, DEADLINE_S)
    assert read_snapshot(folder).runs["train"].state is RunState.STOPPED
