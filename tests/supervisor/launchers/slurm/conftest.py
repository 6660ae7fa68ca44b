"""A Slurm cluster for the tests of one worker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.slurm_cluster import SlurmCluster, missing_reason
from support.slurm_command import Command


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[SlurmCluster]:
    """A cluster that all tests of this worker share."""
    reason = missing_reason()
    if reason is not None:
        pytest.skip(reason)
    cluster = SlurmCluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
def cluster(slurm_cluster: SlurmCluster) -> Iterator[SlurmCluster]:
    """The shared cluster, whole and without jobs of earlier tests."""
    yield slurm_cluster
    slurm_cluster.repair()
    slurm_cluster.cancel_all()


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
