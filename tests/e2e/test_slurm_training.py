"""A real training whose node freezes and whose next job is warned, against one without a break: the same bits."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from pmssm.supervisor.launchers.attempt_files import ATTEMPT_VARIABLE
from pmssm.supervisor.launchers.process_identity import find_by_environment
from support.cli_sandbox import CliSandbox
from support.slurm_cluster import SlurmCluster, read_json
from support.waiting import wait_until

WAIT_S = 150.0  # imports of PyTorch take long on a busy machine
TRAIN = """
command = ["{python}", "-P", "-m", "pmssm.trainers", "mlp_plr_small", "--data", "{session}/data",
           "--output", "{output}", "--testing", "--epochs", "60", "--threads", "1", "--precision", "fp32",
           "--checkpoint-seconds", "0.2"]
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


def weights(box: CliSandbox, run: str) -> dict[str, torch.Tensor]:
    (path,) = box.logs.glob(f"session_*/{run}/model.pt")
    (state,) = torch.load(path, weights_only=False)["weights"]
    return state  # type: ignore[no-any-return]


def events(box: CliSandbox, kind: str) -> list[dict[str, Any]]:
    """Return the events of one kind of the run on the cluster."""
    return [event for event in box.journal() if event["kind"] == kind and event["run"] == "broken"]


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


@pytest.mark.long(75)
@pytest.mark.timeout(500)
def test_a_frozen_node_and_a_warning_change_no_bit_and_the_old_copy_writes_nothing(
    cluster: SlurmCluster, slurm_box: CliSandbox
) -> None:
    box = slurm_box
    box.ok("--detach", "--plan", box.plan(PLAN), "--no-probe")
    wait_until(lambda: list(box.logs.glob("session_*/broken/checkpoint.pt")), WAIT_S, "the first checkpoint")

    (record,) = box.logs.glob("session_*/broken/attempt_1/process.json")
    node = events(box, "attempt_started")[0]["node"]
    old_copy = [process.pid for process in find_by_environment(ATTEMPT_VARIABLE, str(record.parent))]
    with frozen([*old_copy, int(read_json(record)["shim"]["pid"]), cluster.daemon_pid(f"slurmd.{node}")]):
        cluster.set_node(node, "down")
        wait_until(lambda: "Resumed at epoch" in box.log("broken"), WAIT_S, "the start of the second job")
        second = events(box, "attempt_submitted")[1]["job_id"]
        cluster.run("scancel", "--signal=USR1", "--batch", second)  # as a site warns before the time limit
        wait_until(lambda: len(events(box, "attempt_ended")) == 2, WAIT_S, "the end of the second job")
    wait_until(lambda: "attempt 1 was replaced by attempt" in box.log("broken"), WAIT_S, "the end of the old copy")
    box.wait(lambda status: {status["runs"][run]["state"] for run in ("whole", "broken")} == {"succeeded"}, WAIT_S)
    lost, stopped, _ = (event["exit"] for event in events(box, "attempt_ended"))
    assert (lost["interrupted"], lost["error"]) == (True, f"{node} failed or was taken out of service")
    assert (stopped["interrupted"], stopped["exit_code"]) == (
        True,
        128 + signal.SIGTERM,
    )  # the shim passes warnings on as SIGTERM
    assert [event["node"] == node for event in events(box, "attempt_started")[:2]] == [True, False]
    whole, broken = weights(box, "whole"), weights(box, "broken")
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
