"""The installed command on the cluster that the tests of a worker share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.slurm_cluster import SlurmCluster
from support.slurm_command import Command


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
