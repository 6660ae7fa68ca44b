"""An allocation of both nodes of the loopback cluster, and attempts on its second node."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pmssm.supervisor.gpus.slots import cuda_environment
from pmssm.supervisor.launchers.slurm.srun_launcher import SrunLauncher
from pmssm.supervisor.launchers.slurm.step_attempt import StepAttempt

from support.slurm_attempts import ClusterSession
from support.slurm_cluster import CALL_DEADLINE_S, SlurmCluster


@contextlib.contextmanager
def allocation(cluster: SlurmCluster) -> Iterator[dict[str, str]]:
    """Yield the variables of a shell on n1, inside an allocation of two nodes with two GPUs and two cores each."""
    options = ["--no-shell", "--nodes=2", "--gres=gpu:2", "--ntasks-per-node=1", "--cpus-per-task=2", "--time=10"]
    done = subprocess.run(
        ["salloc", *options],
        env=cluster.environment, capture_output=True, text=True, check=True, timeout=CALL_DEADLINE_S,
    )  # fmt: skip
    granted = re.search(r"Granted job allocation (\d+)", done.stderr)
    assert granted is not None, done.stderr
    yield {
        **cluster.environment,
        **{"SLURM_JOB_ID": granted[1], "SLURMD_NODENAME": "n1", "SLURM_JOB_NUM_NODES": "2"},
        "CUDA_VISIBLE_DEVICES": "0,1",
    }
    cluster.run("scancel", granted[1])


class StepSession(ClusterSession):
    """A launcher of steps, and the folders of its attempts."""

    def __init__(self, cluster: SlurmCluster, path: Path, environment: Mapping[str, str]) -> None:
        self.environment = {**os.environ, **environment}
        super().__init__(cluster, path)

    @property
    def job_id(self) -> str:
        return self.environment["SLURM_JOB_ID"]

    def _new_launcher(self, *_: object) -> SrunLauncher:
        return SrunLauncher(lambda: None, environment=self.environment)

    def start(self, command: str, *, node: str = "n2", gpu: int | None = 1, **values: object) -> StepAttempt:
        """Start an attempt on another node."""
        spec = self.spec(command, inherited=self.environment, **values)
        given = {**spec.given, **({} if gpu is not None else cuda_environment(None))}
        spec = replace(spec, node=node, granted=None if gpu is None else (gpu, 2), given=given)
        return self.launcher.start(self.folder(spec.run, spec.attempt), spec)

    async def running(self, attempt: StepAttempt) -> None:
        """Wait until the command runs."""
        await self.until(lambda: attempt.started)
