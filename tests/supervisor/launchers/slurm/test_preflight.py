"""The report on a cluster, and clear errors before anything is written."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from pmssm.supervisor.launchers.slurm import conclusion
from pmssm.supervisor.launchers.slurm.cluster_info import parse_partitions, parse_planned_start
from pmssm.supervisor.launchers.slurm.errors import SlurmOutputError
from pmssm.supervisor.launchers.slurm.preflight import (
    ClusterReport,
    JobNeeds,
    PreflightError,
    check_cluster,
    time_error,
)
from pmssm.supervisor.launchers.slurm.settings import SlurmSettings
from support.slurm_cluster import SlurmCluster

SEPARATOR = "\x1f"


@pytest.fixture(autouse=True)
def private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def check(cluster: SlurmCluster, logs: Path, probe: bool = False, **settings: object) -> ClusterReport:
    needs = {name: JobNeeds(SlurmSettings.model_validate(settings)) for name in ("mlp", "tabm")}
    return check_cluster(needs, logs, probe=probe, environment={**os.environ, **cluster.environment})


def test_a_usable_cluster_is_described(cluster: SlurmCluster, tmp_path: Path) -> None:
    report = check(cluster, tmp_path / "logs", time="1:00:00", mem="1G")
    report.require_usable()
    lines = "\n".join(report.lines())
    assert "main (default): 2 nodes of 8 CPUs, 8192 MiB, gpu:4, time limit" in lines
    assert "mlp, tabm: sbatch --time=1:00:00 --gres=gpu:1 --mem=1G" in lines
    assert "✓ Slurm accepts it; it would start at" in lines
    assert not (tmp_path / "logs").exists()
    assert cluster.run("squeue", "-h") == ""


def test_a_bundle_is_asked_for_as_one_job(cluster: SlurmCluster, tmp_path: Path) -> None:
    report = check(cluster, tmp_path, bundle=4, mem="1G", cpus=2)
    report.require_usable()
    lines = "\n".join(report.lines())
    assert "mlp, tabm: sbatch --gres=gpu:2 --ntasks=2 --cpus-per-task=2 --mem=2G" in lines
    assert "up to 2 runs that start at the same time share one job" in lines
    refused = check(cluster, tmp_path, bundle=2, gres="gpu:3").jobs[0].error
    assert refused.endswith(", or a smaller `bundle`")
    refused = check(cluster, tmp_path, bundle=2, extra=("--gpus=1",)).jobs[0].error
    assert refused == "extra --gpus=1: a bundle cannot multiply it; use `gres`, `cpus` or `mem` instead"


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"partition": "nope"}, "`partition`"), ({"gres": "gpu:9"}, "`gres`"), ({"gres": "fpga:1"}, "`gres`")],
)
def test_what_the_cluster_refuses_is_one_line_with_the_run_and_the_remedy(
    cluster: SlurmCluster, tmp_path: Path, settings: dict[str, object], word: str
) -> None:
    with pytest.raises(PreflightError) as error:
        check(cluster, tmp_path, **settings).require_usable()
    assert str(error.value).startswith("mlp: Slurm refused the job: ")
    assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_a_probe_job_runs_once_and_leaves_nothing(cluster: SlurmCluster, tmp_path: Path) -> None:
    logs = tmp_path / "new" / "logs"
    first = check(cluster, logs, probe=True)
    first.require_usable()
    assert first.probe == "a probe job saw the logs folder and could start Python"
    assert check(cluster, logs, probe=True).probe == ""
    assert not (tmp_path / "new").exists()


def test_a_setup_line_that_fails_is_found_by_the_probe(
    cluster: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conclusion, "RECORD_WAIT_S", 0.5)
    with pytest.raises(PreflightError, match="setup line 1 failed: module load nothing"):
        check(cluster, tmp_path, probe=True, setup=("module load nothing",)).require_usable()


def test_a_controller_that_is_down_is_one_line(cluster: SlurmCluster, tmp_path: Path) -> None:
    os.kill(cluster.daemon_pid("slurmctld"), signal.SIGTERM)
    with pytest.raises(PreflightError, match="Slurm does not answer"):
        check(cluster, tmp_path)


def test_a_machine_without_slurm_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="no such program here; run on a login node"):
        check_cluster({}, tmp_path, environment={"PATH": str(tmp_path)})


def test_a_time_beyond_the_limit_of_the_partition_is_an_error() -> None:
    line = SEPARATOR.join(("gpu*", "up", "1-00:00:00", "4", "128", "512000", "gpu:h100:4"))
    partitions = parse_partitions(line)
    assert "ask for less `time`" in time_error(SlurmSettings(time="25:00:00"), partitions)
    assert time_error(SlurmSettings(time="24:00:00"), partitions) == ""
    assert time_error(SlurmSettings(time="25:00:00", partition="other"), partitions) == ""
    assert time_error(SlurmSettings(), partitions) == ""


def test_sinfo_that_cannot_be_read_says_so() -> None:
    with pytest.raises(SlurmOutputError, match="expected 7 fields"):
        parse_partitions("gpu up")


def test_a_planned_start_without_details_is_still_an_acceptance() -> None:
    assert parse_planned_start("sbatch: Job 5 accepted").at is None
    planned = parse_planned_start("sbatch: Job 1 to start at 2026-11-27T07:11:02 using 1 processors on nodes n1 in x")
    assert (planned.at, planned.nodes) == (1795763462.0, "n1")
