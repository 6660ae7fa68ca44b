"""A Slurm cluster for the tests of one worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.slurm_cluster import SlurmCluster, missing_reason


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
