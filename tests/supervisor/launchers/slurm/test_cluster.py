"""Jobs on a real cluster: submitted, watched, signalled, interrupted, refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from pmssm.supervisor.launchers.slurm import batch_script, job_shim
from pmssm.supervisor.launchers.slurm.batch_script import ENVIRONMENT, NODE_DECIDES, JobRequest, environment_file
from pmssm.supervisor.launchers.slurm.call_budget import CallBudget
from pmssm.supervisor.launchers.slurm.commands import SlurmCommands
from pmssm.supervisor.launchers.slurm.errors import JobUnknown, RefusalKind, SlurmUnavailable, SubmissionRefused
from pmssm.supervisor.launchers.slurm.settings import SlurmSettings
from pmssm.supervisor.launchers.slurm.states import Outcome, Phase, explain
from pmssm.supervisor.launchers.slurm.tokens import JobToken
from support.slurm_cluster import SlurmCluster, read_json
from support.waiting import wait_until

SHIM = next(Path(batch_script.__file__).parents[2].rglob("shim.py"))
SLEEP = "exec sleep 300"
OUTPUT_NOWHERE = ("--output=/dev/null",)


@pytest.fixture
def slurm(cluster: SlurmCluster) -> SlurmCommands:
    return SlurmCommands({**os.environ, **cluster.environment}, budget=CallBudget(calls=10_000, poll_s=0))


class Attempt:
    """An attempt in a folder of its own, as the launcher will submit it."""

    def __init__(self, folder: Path, slurm: SlurmCommands) -> None:
        self.folder = folder
        self.slurm = slurm
        self.log = folder / "run.log"

    def request(self, settings: SlurmSettings | None = None, **values: Any) -> JobRequest:  # noqa: ANN401
        return JobRequest(
            token=JobToken("0123456789ab", "mlp", 1),
            folder=self.folder,
            python=Path(sys.executable),
            job_shim=Path(job_shim.__file__),
            settings=settings or SlurmSettings(),
            **values,
        )

    async def submit(self, command: str, request: JobRequest | None = None, **environment: str) -> int:
        request = request or self.request()
        self.folder.mkdir(parents=True, exist_ok=True)
        spec = {
            **{"command": ["/bin/sh", "-c", command], "cwd": str(self.folder), "env": {"FROM_PLAN": "plan"}},
            **{"log": str(self.log), "header": "", "stop_grace_s": 20.0, "shim": str(SHIM), "kept": NODE_DECIDES},
        }
        (self.folder / "spec.json").write_text(json.dumps(spec))
        session = {"PATH": os.environ["PATH"], **environment}
        (self.folder / ENVIRONMENT).write_bytes(environment_file(session))
        return await self.slurm.submit(batch_script.sbatch_options(request), batch_script.batch_script(request))

    def exit(self) -> dict[str, Any] | None:
        return read_json(self.folder / "exit.json")  # type: ignore[no-any-return]

    def started(self) -> bool:
        return "command" in (read_json(self.folder / "process.json") or {})


@pytest.fixture
def attempt(tmp_path: Path, slurm: SlurmCommands) -> Attempt:
    return Attempt(tmp_path / "attempt", slurm)


async def plain_job(slurm: SlurmCommands, command: str = SLEEP, *options: str) -> int:
    return await slurm.submit((*OUTPUT_NOWHERE, *options), f"#!/bin/sh\n{command}\n")


async def test_an_attempt_goes_from_pending_to_its_exit_record(cluster: SlurmCluster, attempt: Attempt) -> None:
    job_id = await attempt.submit("echo hello; while [ ! -e go ]; do sleep 0.05; done; exit 7")
    (pending,) = (job for job in await attempt.slurm.queue() if job.job_id == job_id)
    assert pending.token == JobToken("0123456789ab", "mlp", 1)
    wait_until(attempt.started)
    running = await attempt.slurm.job(job_id)
    assert explain(running).sentence == f"runs on {running.nodes}"
    (attempt.folder / "go").touch()
    wait_until(attempt.exit)
    assert attempt.log.read_text() == "hello\n"
    assert attempt.exit()["exit_code"] == 7  # type: ignore[index]
    assert cluster.wait_for(job_id, "FAILED")
    ended = await attempt.slurm.job(job_id)
    assert (ended.exit_code, explain(ended).outcome) == (7, Outcome.FAILED)


async def test_the_command_has_the_sessions_the_setups_the_plans_and_the_nodes_variables(attempt: Attempt) -> None:
    request = attempt.request(SlurmSettings(gres="gpu:2", setup=("export FROM_SETUP=setup SESSION_TOO=changed",)))
    session = {"SESSION": "1,2\n3", "SESSION_TOO": "session", "FROM_PLAN": "session", "CUDA_VISIBLE_DEVICES": "7"}
    job_id = await attempt.submit("env -0", request, **session)
    wait_until(attempt.exit)
    seen = dict(entry.split("=", 1) for entry in attempt.log.read_text().split("\0") if entry.strip())
    assert {name: seen[name] for name in (*session, "FROM_SETUP", "SLURM_JOB_ID")} == {
        "SESSION": "1,2\n3",
        "SESSION_TOO": "changed",
        "FROM_SETUP": "setup",
        "FROM_PLAN": "plan",
        "CUDA_VISIBLE_DEVICES": "0,1",
        "SLURM_JOB_ID": str(job_id),
    }
    note = read_json(attempt.folder / job_shim.NOTE)
    assert (note["job_id"], note["gpus"]) == (job_id, "0,1")


async def test_a_run_without_gpu_sees_none_even_if_the_session_does(attempt: Attempt) -> None:
    request = attempt.request(takes_gpu=False)
    await attempt.submit('echo "[${CUDA_VISIBLE_DEVICES-unset}]"', request, CUDA_VISIBLE_DEVICES="1")
    wait_until(attempt.exit)
    assert attempt.log.read_text() == "[unset]\n"


async def test_jobs_on_one_node_get_different_gpus(tmp_path: Path, slurm: SlurmCommands) -> None:
    settings = SlurmSettings(extra=("--nodelist=n1",))
    attempts = [Attempt(tmp_path / str(number), slurm) for number in range(4)]
    for each in attempts:
        await each.submit("echo $CUDA_VISIBLE_DEVICES; exec sleep 300", each.request(settings))
    wait_until(lambda: all(each.log.exists() and each.log.read_text() for each in attempts))
    assert sorted(each.log.read_text().strip() for each in attempts) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("name", ["a b%j", "back\\sl%xash", "qu'o\"te $HOME é,;"])
async def test_any_folder_works(tmp_path: Path, slurm: SlurmCommands, name: str) -> None:
    attempt = Attempt(tmp_path / name, slurm)
    await attempt.submit("exit 0", attempt.request(SlurmSettings(setup=("echo from setup",))))
    wait_until(attempt.exit)
    assert (attempt.folder / "job.log").read_text() == "from setup\n"


async def test_a_stop_reaches_the_shim_and_through_it_the_command(attempt: Attempt) -> None:
    job_id = await attempt.submit("trap 'echo stopping; exit 143' TERM; sleep 300 & echo ready; wait")
    wait_until(lambda: attempt.log.exists() and "ready" in attempt.log.read_text())
    await attempt.slurm.signal([job_id], "TERM")
    record = wait_until(attempt.exit)
    assert (record["exit_code"], record["stop"]) == (143, "stop")
    assert "stopping" in attempt.log.read_text()


async def test_a_kill_ends_a_command_that_ignores_a_stop(attempt: Attempt) -> None:
    job_id = await attempt.submit("trap '' TERM; echo ready; while :; do sleep 1; done")
    wait_until(lambda: attempt.log.exists() and "ready" in attempt.log.read_text())
    await attempt.slurm.signal([job_id], "QUIT")
    record = wait_until(attempt.exit)
    assert (record["signal"], record["stop"]) == (signal.SIGKILL, "kill")


@pytest.mark.long(20)
@pytest.mark.timeout(200)
async def test_the_warning_before_the_time_limit_reaches_the_command(attempt: Attempt) -> None:
    request = attempt.request(SlurmSettings(time="1"), warning_s=30)
    assert "--signal=B:TERM@15" in batch_script.sbatch_options(request)
    job_id = await attempt.submit("trap 'exit 143' TERM; sleep 300 & wait", request)
    record = wait_until(attempt.exit, deadline_s=120.0)
    assert (record["exit_code"], record["stop"]) == (143, "stop")
    assert wait_until(lambda: attempt_state(attempt, job_id) == "FAILED", deadline_s=20.0)


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is no zombie, which has no command line."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def attempt_state(attempt: Attempt, job_id: int) -> str:
    environment = attempt.slurm._environment
    command = ["squeue", "-h", "-t", "all", "-j", str(job_id), "-o", "%T"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


async def test_an_attempt_that_is_submitted_twice_runs_once(cluster: SlurmCluster, attempt: Attempt) -> None:
    first = await attempt.submit("echo once; exec sleep 300")
    wait_until(attempt.started)
    second = await attempt.submit("echo once; exec sleep 300")
    cluster.wait_for(second, "FAILED")
    assert (await attempt.slurm.job(second)).exit_code == job_shim.NOT_OURS
    assert cluster.state(first) == "RUNNING"
    assert attempt.log.read_text() == "once\n"


async def test_a_setup_line_that_fails_is_named_in_the_jobs_output(cluster: SlurmCluster, attempt: Attempt) -> None:
    job_id = await attempt.submit("echo never", attempt.request(SlurmSettings(setup=("module load nothing",))))
    cluster.wait_for(job_id, "FAILED")
    assert (await attempt.slurm.job(job_id)).exit_code == batch_script.SETUP_FAILED
    assert "setup line 1 failed: module load nothing" in (attempt.folder / "job.log").read_text()
    assert not attempt.log.exists()


@pytest.mark.long(27)
async def test_a_job_past_its_time_is_interrupted(cluster: SlurmCluster, slurm: SlurmCommands) -> None:
    job_id = await plain_job(slurm)
    cluster.wait_for(job_id, "RUNNING")
    cluster.reach_time_limit(job_id)
    cluster.wait_for(job_id, "TIMEOUT", deadline_s=60)
    assert explain(await slurm.job(job_id)).outcome is Outcome.INTERRUPTED


async def test_a_job_on_a_node_that_fails_is_interrupted(cluster: SlurmCluster, slurm: SlurmCommands) -> None:
    job_id = await plain_job(slurm, SLEEP, "--nodelist=n2", "--no-requeue")
    cluster.wait_for(job_id, "RUNNING")
    cluster.set_node("n2", "down")
    cluster.wait_for(job_id, "NODE_FAIL")
    meaning = explain(await slurm.job(job_id))
    assert (meaning.outcome, meaning.sentence) == (Outcome.INTERRUPTED, "n2 failed or was taken out of service")


async def test_a_job_that_gives_way_is_interrupted(cluster: SlurmCluster, slurm: SlurmCommands) -> None:
    whole = ("--nodelist=n2", "--exclusive", "--no-requeue")
    victim = await plain_job(slurm, SLEEP, *whole)
    cluster.wait_for(victim, "RUNNING")
    await plain_job(slurm, SLEEP, *whole, "--partition=high")
    cluster.wait_for(victim, "PREEMPTED")
    assert explain(await slurm.job(victim)).outcome is Outcome.INTERRUPTED


async def test_a_missing_output_folder_is_a_job_that_never_started(
    cluster: SlurmCluster, slurm: SlurmCommands, tmp_path: Path
) -> None:
    job_id = await slurm.submit((f"--output={tmp_path}/gone/job.log",), "#!/bin/sh\ntrue\n")
    cluster.wait_for(job_id, "FAILED")
    assert explain(await slurm.job(job_id)).outcome is Outcome.NOT_STARTED


async def test_a_held_job_is_stuck_and_can_be_cancelled(cluster: SlurmCluster, slurm: SlurmCommands) -> None:
    job_id = await plain_job(slurm, "true", "--hold")
    meaning = explain(await slurm.job(job_id))
    assert (meaning.phase, meaning.is_stuck) == (Phase.PENDING, True)
    await slurm.cancel([job_id])
    cluster.wait_for(job_id, "CANCELLED")
    assert explain(await slurm.job(job_id)).sentence == "was cancelled before it started"


async def test_cancelling_a_running_job_says_where_it_ran(cluster: SlurmCluster, slurm: SlurmCommands) -> None:
    job_id = await plain_job(slurm)
    cluster.wait_for(job_id, "RUNNING")
    await slurm.cancel([job_id])
    cluster.wait_for(job_id, "CANCELLED")
    job = await slurm.job(job_id)
    assert explain(job).sentence == f"was cancelled on {job.nodes}"


async def test_a_dependency_that_failed_cancels_the_job(cluster: SlurmCluster, attempt: Attempt) -> None:
    failed = await plain_job(attempt.slurm, "exit 3")
    cluster.wait_for(failed, "FAILED")
    job_id = await attempt.submit("true", attempt.request(after=(failed,)))
    cluster.wait_for(job_id, "CANCELLED")
    assert "did not succeed" in explain(await attempt.slurm.job(job_id)).sentence


async def test_jobs_that_slurm_does_not_know_are_no_error_to_signal_or_cancel(slurm: SlurmCommands) -> None:
    await slurm.cancel([999_999])
    await slurm.signal([999_999], "TERM")
    with pytest.raises(JobUnknown):
        await slurm.job(999_999)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (("--partition=nope",), RefusalKind.PARTITION),
        (("--gres=gpu:9",), RefusalKind.RESOURCES),
        (("--gres=fpga:1",), RefusalKind.GRES),
        (("--mem=900G",), RefusalKind.MEMORY),
        (("--time=soon",), RefusalKind.TIME),
        (("--constraint=unheard",), RefusalKind.CONSTRAINT),
        (("--unheard-of",), RefusalKind.OPTION),
    ],
)
async def test_a_refused_submission_names_its_part(
    slurm: SlurmCommands, options: tuple[str, ...], kind: RefusalKind
) -> None:
    with pytest.raises(SubmissionRefused) as error:
        await plain_job(slurm, "true", *options)
    assert (error.value.kind, error.value.passes) == (kind, False)


async def test_partitions_of_the_cluster_are_read(slurm: SlurmCommands) -> None:
    main, high = await slurm.partitions()
    assert (main.name, main.is_default, main.is_up, main.nodes) == ("main", True, True, 2)
    assert (high.name, high.is_default, high.gres, high.cpus, high.memory_mib) == ("high", False, "gpu:4", 8, 8192)


async def test_a_site_without_accounting_has_no_accounts(slurm: SlurmCommands) -> None:
    assert await slurm.accounting([1]) == ()


@pytest.mark.timeout(200)
async def test_a_controller_that_is_away_is_told_and_jobs_outlive_it(
    cluster: SlurmCluster, slurm: SlurmCommands
) -> None:
    job_id = await plain_job(slurm)
    cluster.wait_for(job_id, "RUNNING")
    os.kill(cluster.daemon_pid("slurmctld"), signal.SIGTERM)
    with pytest.raises(SlurmUnavailable, match="Slurm does not answer"):
        await slurm.queue()
    cluster.repair()
    assert (await slurm.job(job_id)).state == "RUNNING"


def test_a_cluster_ends_with_the_process_that_started_it(cluster: SlurmCluster) -> None:
    script = """
        import sys, time
        from support.slurm_cluster import SlurmCluster
        cluster = SlurmCluster.start("--nodes", "1")
        pids = [cluster.daemon_pid(name) for name in ("munged", "slurmctld", "slurmd.n1")]
        print(cluster.folder, *pids, flush=True)
        time.sleep(100)
    """
    tests = str(Path(__file__).parents[4] / "tests")
    environment = {**os.environ, "PYTHONPATH": tests}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        folder, *pids = process.stdout.readline().split()
        process.kill()
    assert len(pids) == 3
    wait_until(lambda: not Path(folder).exists(), deadline_s=60.0)
    assert not [pid for pid in pids if is_alive(int(pid))]
    assert cluster.run("sinfo", "-h") != ""
