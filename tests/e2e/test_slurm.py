"""A session whose runs are jobs of a real Slurm cluster, from the command line to the last exit."""

import os
from collections.abc import Callable, Mapping

import pytest
from support.cli_sandbox import CliSandbox
from support.slurm_cluster import SlurmCluster

PLAN = """
[session]
launcher = "slurm"
[runs.prepare]
command = ["sh", "-c", "echo here"]
launcher = "local"
slot = "none"
[runs.train]
command = ["sh", "-c", '''
echo "job $SLURM_JOB_ID with GPU $CUDA_VISIBLE_DEVICES and $OMP_NUM_THREADS thread"
test -e {output}/checkpoint && exit 0
trap 'touch {output}/checkpoint; exit 143' TERM
touch {output}/ready
sleep 100 & wait
''']
after = ["prepare"]
slurm = { cpus = 1, time = "5" }
"""


@pytest.fixture
def slurm_box(
    make_box: Callable[[Mapping[str, str]], CliSandbox], env_without_nvml: Mapping[str, str], cluster: SlurmCluster
) -> CliSandbox:
    box = make_box({**os.environ, **env_without_nvml, **cluster.environment})
    box.env["XDG_CACHE_HOME"] = str(box.folder / "cache")
    return box


def test_a_job_that_a_site_warns_writes_its_checkpoint_and_continues_in_a_second_one(
    slurm_box: CliSandbox, cluster: SlurmCluster
) -> None:
    session = slurm_box.start("--headless", "--plan", slurm_box.plan(PLAN))
    status = slurm_box.wait(lambda status: status["runs"]["train"]["state"] == "running")
    train = status["runs"]["train"]
    assert (train["launcher"], train["node"] in ("n1", "n2"), train["gpu"]) == ("slurm", True, None)
    slurm_box.wait(lambda _: any(slurm_box.logs.glob("session_*/train/ready")))
    cluster.run("scancel", "--batch", "--signal=USR1", train["job_id"])
    output, _ = session.communicate(timeout=60)
    assert session.returncode == 0, output
    final = slurm_box.status()["runs"]["train"]
    assert (final["state"], final["continuations"], len(final["attempts"])) == ("succeeded", 1, 2)
    assert final["attempts"][0]["interrupted"] and final["attempts"][0]["exit_code"] == 143
    assert "train: continues; 2nd job of this run" in output and "failed" not in output
    log = slurm_box.log("train")
    assert f"job {train['job_id']} with GPU 0 and 1 thread" in log and "attempt 2 on Slurm" in log
    assert "here" in slurm_box.log("prepare")
    assert cluster.run("squeue", "-h") == ""
