"""The installed command on a real cluster: check, a whole session, the death of its engine, and what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.slurm_cluster import SlurmCluster
from support.waiting import wait_until

PLAN = """
[session]
launcher = "slurm"

[slurm]
time = "10"
gres = "none"

[runs.first]
command = ["sh", "-c", "echo node $SLURMD_NODENAME; pwd"]

[runs.waits]
command = ["sh", "-c", "trap 'exit 143' TERM; echo ready; sleep 300 & wait"]
after = ["first"]

[runs.held]
command = ["true"]
slurm = { extra = ["--hold"] }

[runs.here]
command = ["sh", "-c", "echo local"]
launcher = "local"
"""


class Command:
    """pmssm-supervise in a folder of its own, with the cluster's environment."""

    def __init__(self, cluster: SlurmCluster, path: Path) -> None:
        self.path = path
        self.environment = {**os.environ, **cluster.environment, "XDG_CACHE_HOME": str(path / "cache")}
        self.environment["XDG_RUNTIME_DIR"] = str(path / "run")
        (path / "run").mkdir(mode=0o700)
        (path / "plan.toml").write_text(PLAN)

    def __call__(self, *arguments: str, code: int = 0) -> str:
        result = subprocess.run(
            [sys.executable, "-m", "pmssm.supervisor", *arguments],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout + result.stderr

    def run(self, name: str) -> dict[str, Any]:
        view: dict[str, Any] = json.loads(self("status", "--json"))["runs"][name]
        return view

    def wait_for(self, name: str, state: str) -> None:
        wait_until(lambda: self.run(name)["state"] == state, deadline_s=60.0, what=f"{name} is {state}")


@pytest.fixture
def command(cluster: SlurmCluster, tmp_path: Path) -> Iterator[Command]:
    command = Command(cluster, tmp_path)
    yield command
    if (tmp_path / "logs").exists():
        subprocess.run(
            [sys.executable, "-m", "pmssm.supervisor", "down"],
            cwd=tmp_path,
            env=command.environment,
            capture_output=True,
            timeout=90,
            check=False,
        )


def test_check_shows_the_cluster_and_submits_nothing(cluster: SlurmCluster, command: Command) -> None:
    text = command("check", "--plan", "plan.toml")
    assert "main (default): 2 nodes of 8 CPUs, 8192 MiB, gpu:4" in text
    assert "first, waits: sbatch --time=10" in text
    assert not (command.path / "logs").exists()
    assert cluster.run("squeue", "-h") == ""


def test_a_plan_that_the_cluster_refuses_writes_nothing(command: Command) -> None:
    text = command("--headless", "--plan", "plan.toml", "--slurm", "partition=nope", code=2)
    assert "first: Slurm refused the job" in text
    assert len(text.splitlines()) == 1
    assert not (command.path / "logs").exists()
    assert "`partition`" in command("check", "--plan", "plan.toml", "--slurm", "partition=nope", code=2)


@pytest.mark.timeout(200)
def test_a_session_outlives_its_engine_and_down_leaves_no_job(cluster: SlurmCluster, command: Command) -> None:
    command("--detach", "--plan", "plan.toml")
    command.wait_for("waits", "running")
    assert command.run("first")["state"] == command.run("here")["state"] == "succeeded"
    command.wait_for("held", "pending")
    job = command.run("waits")["job_id"]
    os.kill(json.loads(command("status", "--json"))["engine_pid"], signal.SIGKILL)
    assert cluster.state(int(job)) == "RUNNING"
    assert f"waits  {job}" in command("sessions", "--slurm")
    command("down")
    assert cluster.run("squeue", "-h") == ""
    assert command.run("waits")["state"] == "stopped"
    assert command.run("waits")["job_id"] == job
    assert "no session of yours has a job" in command("sessions", "--slurm")
    assert str(command.path) in command("logs", "first").splitlines()
