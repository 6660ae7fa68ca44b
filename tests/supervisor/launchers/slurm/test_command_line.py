"""The installed command on a real cluster: check, a whole session, the death of its engine, and what is left."""

from __future__ import annotations

import json
import os
import signal

import pytest
from support.slurm_cluster import SlurmCluster
from support.slurm_command import Command

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


def test_check_shows_the_cluster_and_submits_nothing(cluster: SlurmCluster, command: Command) -> None:
    command.plan(PLAN)
    text = command("check", "--plan", "plan.toml")
    assert "main (default): 2 nodes of 8 CPUs, 8192 MiB, gpu:4" in text
    assert "first, waits: sbatch --time=10" in text
    assert not (command.path / "logs").exists()
    assert cluster.run("squeue", "-h") == ""


def test_a_plan_that_the_cluster_refuses_writes_nothing(command: Command) -> None:
    command.plan(PLAN)
    text = command("--headless", "--plan", "plan.toml", "--slurm", "partition=nope", code=2)
    assert "first: Slurm refused the job" in text
    assert len(text.splitlines()) == 1
    assert not (command.path / "logs").exists()
    assert "`partition`" in command("check", "--plan", "plan.toml", "--slurm", "partition=nope", code=2)


@pytest.mark.timeout(200)
def test_a_session_outlives_its_engine_and_down_leaves_no_job(cluster: SlurmCluster, command: Command) -> None:
    command.plan(PLAN)
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
