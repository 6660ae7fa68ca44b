"""A real training whose node freezes and whose time ends, against one without a break: the same bits."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import pytest
import torch
from pmssm.supervisor.launchers.attempt_files import ATTEMPT_VARIABLE
from pmssm.supervisor.launchers.process_identity import find_by_environment
from support.slurm_cluster import SlurmCluster, read_json
from support.slurm_command import Command
from support.waiting import wait_until

TRAIN = """
command = ["{python}", "-P", "-m", "pmssm.trainers", "mlp", "--data", "{session}/data", "--output", "{output}",
           "--testing", "--epochs", "120", "--threads", "1", "--precision", "fp32", "--checkpoint-seconds", "0.2"]
after = ["prepare"]
progress = 'Training for (?P<epochs>\\d+) epochs|Epoch (?P<epoch>\\d+) '
slot = "none"
"""
PLAN = f"""
[runs.prepare]
command = ["{{python}}", "-P", "-m", "pmssm.trainers", "prepare", "--testing", "--output", "{{session}}/data"]
slot = "none"

[runs.whole]
{TRAIN}

[runs.broken]
{TRAIN}
launcher = "slurm"
slurm = {{ time = "10", gres = "none" }}
"""


def weights(command: Command, run: str) -> dict[str, torch.Tensor]:
    loaded = torch.load(command.session / run / "model.pt", weights_only=False)
    (state,) = loaded["weights"]
    return state  # type: ignore[no-any-return]


@contextlib.contextmanager
def frozen(pids: list[int]) -> Iterator[None]:
    """Stop processes for a while, as a node does that is cut off."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.timeout(400)
def test_a_frozen_node_and_a_time_limit_change_no_bit_and_the_old_copy_writes_nothing(
    cluster: SlurmCluster, command: Command
) -> None:
    command.plan(PLAN)
    command("--detach", "--plan", "plan.toml", "--no-probe")
    node = command.wait_for_event("attempt_started", "broken")["node"]
    (log,) = (command.path / "logs").glob("broken_*.log")
    wait_until(lambda: "Epoch 0005" in log.read_text(), deadline_s=120.0)

    (record,) = command.session.rglob("broken/**/process.json")
    old_copy = [process.pid for process in find_by_environment(ATTEMPT_VARIABLE, str(record.parent))]
    everything = [*old_copy, int(read_json(record)["shim"]["pid"]), cluster.daemon_pid(f"slurmd.{node}")]
    with frozen(everything):
        cluster.set_node(node, "down")
        second = command.wait_for_event("attempt_started", "broken", 2)
        assert second["node"] != node
        wait_until(lambda: "Resumed at epoch" in log.read_text(), 60.0, "a resume in " + log.read_text())
    wait_until(lambda: "replaced by attempt 2" in log.read_text(), deadline_s=60.0)

    cluster.reach_time_limit(int(command.events("attempt_submitted", "broken")[1]["job_id"]))
    end = command.wait_for_event("attempt_ended", "broken", 3)["exit"]
    assert end["exit_code"] == 0
    assert command.wait_for_event("attempt_ended", "whole")["exit"]["exit_code"] == 0
    lost, stopped = [event["exit"] for event in command.events("attempt_ended", "broken")[:2]]
    assert lost["interrupted"] and stopped["interrupted"]
    assert lost["error"] == f"{node} failed or was taken out of service"
    assert "time limit" in stopped["error"]
    whole, broken = weights(command, "whole"), weights(command, "broken")
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
