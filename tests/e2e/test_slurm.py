"""The installed command on a real Slurm cluster: check, whole sessions, the death of an engine, and what is left."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

import pytest
from support.cli_sandbox import COMMAND, CliSandbox
from support.slurm_cluster import SlurmCluster
from support.slurm_steps import allocation
from support.waiting import wait_until

CONTINUED = """
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


def test_a_job_that_a_site_warns_writes_its_checkpoint_and_continues_in_a_second_one(
    slurm_box: CliSandbox, cluster: SlurmCluster
) -> None:
    session = slurm_box.start("--headless", "--plan", slurm_box.plan(CONTINUED))
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


INSIDE = """
[session]
launcher = "slurm"
[slurm]
signal_s = 30
[runs.train]
command = ["sh", "-c", '''
test -e {output}/checkpoint && exit 0
trap 'touch {output}/checkpoint; exit 143' TERM
echo "job $SLURM_JOB_ID"
sleep 100 & wait
''']
"""


CHAIN = """
[session]
launcher = "slurm"
native_dependencies = true
[slurm]
gres = "none"
[runs.a]
command = ["sh", "-c", "while [ ! -e {session}/go ]; do sleep 0.2; done; exit $(cat {session}/go)"]
[runs.b]
command = ["echo", "second"]
after = ["a"]
[runs.c]
command = ["echo", "third"]
after = ["a", "b"]
"""


def submit_chain(box: CliSandbox) -> dict[str, Any]:
    """Start a session of three runs, one after the other, and return its status when Slurm has all of them."""
    box.ok("--detach", "--plan", box.plan(CHAIN))
    return box.wait(
        lambda status: (
            [run["state"] for run in status["runs"].values()] == ["running", "pending", "pending"]
            and status["runs"]["c"]["job_id"]
        )
    )


def let_go(box: CliSandbox, status: dict[str, Any], exit_code: int) -> None:
    (box.logs / f"session_{status['session']}" / "go").write_text(str(exit_code))


def test_a_chain_of_native_dependencies_goes_on_while_no_engine_lives(
    slurm_box: CliSandbox, cluster: SlurmCluster
) -> None:
    status = submit_chain(slurm_box)
    jobs = {name: int(run["job_id"]) for name, run in status["runs"].items()}
    assert status["runs"]["b"]["reason"] == f"waits for job {jobs['a']} (run a)"
    assert f"afterok:{jobs['a']}" in cluster.run("squeue", "-h", "-o", "%E", "-j", str(jobs["b"]))
    os.kill(status["engine_pid"], signal.SIGKILL)
    wait_until(lambda: not slurm_box.engines())
    let_go(slurm_box, status, 0)
    for job in jobs.values():
        cluster.wait_for(job, "COMPLETED")
    assert not slurm_box.engines()
    runs = slurm_box.status()["runs"]
    assert [(run["state"], int(run["job_id"]), len(run["attempts"])) for run in runs.values()] == [
        ("succeeded", job, 1) for job in jobs.values()
    ]
    assert all(run["node"] in ("n1", "n2") for run in runs.values())


def test_jobs_behind_a_failed_run_never_start(slurm_box: CliSandbox, cluster: SlurmCluster) -> None:
    let_go(slurm_box, submit_chain(slurm_box), 3)
    runs = slurm_box.wait(lambda status: status["state"] == "finished")["runs"]
    assert [(run["state"], len(run["attempts"])) for run in runs.values()] == [
        ("failed", 1), ("blocked", 1), ("blocked", 1)
    ]  # fmt: skip
    assert not list(slurm_box.logs.glob("[bc]_*.log")) and cluster.run("squeue", "-h") == ""


def test_jobs_behind_a_restarted_run_follow_its_new_job(slurm_box: CliSandbox, cluster: SlurmCluster) -> None:
    first = {name: run["job_id"] for name, run in submit_chain(slurm_box)["runs"].items()}
    slurm_box.ok("restart", "a")
    runs = slurm_box.wait(
        lambda status: all(
            (len(run["attempts"]), run["job_id"] in (None, first[name])) == (2, False)
            for name, run in status["runs"].items()
        )
    )["runs"]
    assert [cluster.state(int(first[name])) for name in "bc"] == ["CANCELLED"] * 2
    assert f"afterok:{runs['a']['job_id']}" in cluster.run("squeue", "-h", "-o", "%E", "-j", runs["b"]["job_id"])
    slurm_box.ok("down")
    assert cluster.run("squeue", "-h") == ""


def submit_session(box: CliSandbox, before: str = "true") -> int:
    """Submit a batch script that runs a session in its own allocation; return its job."""
    script = box.folder / "job.sh"
    script.write_text(f"#!/bin/sh\n{before}\nexec {COMMAND} --headless --continue --plan {box.plan(INSIDE)}\n")
    done = subprocess.run(
        ["sbatch", "--parsable", "--time=10", "--gres=gpu:1", "--output=job.%j", script],
        cwd=box.folder, env=box.env, capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.timeout(200)
def test_inside_an_allocation_nothing_is_submitted_and_the_next_job_resumes(
    slurm_box: CliSandbox, cluster: SlurmCluster
) -> None:
    # 3 s before the end, a quarter of the whole time; Slurm itself looks every 30 s.
    first = submit_session(slurm_box, "scontrol update jobid=$SLURM_JOB_ID EndTime=now+12")
    status = slurm_box.wait(
        lambda status: status["runs"]["train"]["state"] == "running" and status["allocation"]["ends"]
    )
    assert status["allocation"]["job_id"] == str(first) and status["allocation"]["ends"] - status["taken_at"] < 13
    assert status["runs"]["train"]["launcher"] == "local"
    assert f", allocation {first} ends in " in slurm_box.ok("status")
    assert cluster.run("squeue", "-h", "-o", "%i").split() == [str(first)]
    assert cluster.wait_for(first, "FAILED", "TIMEOUT") == "FAILED"
    train = slurm_box.status()["runs"]["train"]
    assert (train["state"], train["exit_code"], len(train["attempts"])) == ("stopped", 143, 1)
    output = (slurm_box.folder / f"job.{first}").read_text()
    assert f"inside allocation {first} nothing is submitted" in output and "stopping all runs" in output
    refused = slurm_box.run("start")
    assert refused.returncode == 2 and f"runs inside allocation {first} on n" in refused.stderr
    second = submit_session(slurm_box)
    cluster.wait_for(second, "COMPLETED")
    train = slurm_box.status()["runs"]["train"]
    assert (train["state"], len(train["attempts"])) == ("succeeded", 2)
    assert f"job {first}" in slurm_box.log("train").splitlines()


def test_all_gpus_of_an_allocation_are_used_and_steps_outlive_the_engine(
    cluster: SlurmCluster, slurm_box: CliSandbox
) -> None:
    script = 'echo "$SLURMD_NODENAME $CUDA_VISIBLE_DEVICES"; until test -e go; do sleep 0.1; done'
    runs = [f"[runs.{name}]\ncommand = ['sh', '-c', '{script}']\n" for name in "abcdef"]
    plan = slurm_box.plan("\n".join(runs))
    with allocation(cluster) as variables:
        slurm_box.env.update(variables)
        assert "any of GPU 0, GPU 1, n2 GPU 0, n2 GPU 1" in slurm_box.ok("check", "--plan", plan)
        slurm_box.ok("--detach", "--plan", plan)
        status = slurm_box.wait(lambda status: [run["pid"] is None for run in status["runs"].values()].count(True) == 2)
        places = [(run["node"], run["gpu"]) for run in status["runs"].values() if run["pid"]]
        assert places == [(None, 0), (None, 1), ("n2", 0), ("n2", 1)]
        slurm_box.ok("stop", "d")
        status = slurm_box.wait(lambda status: status["runs"]["e"]["pid"])
        stopped, follower = status["runs"]["d"], status["runs"]["e"]
        assert stopped["state"] == "stopped" and (follower["node"], follower["gpu"]) == ("n2", 1)
        os.kill(status["engine_pid"], signal.SIGKILL)
        wait_until(lambda: not slurm_box.engines())
        steps = cluster.run("squeue", "-h", "-s", "-o", "%i %j %N").splitlines()
        assert f"{follower['job_id']} e n2" in [" ".join(step.split()) for step in steps]
        slurm_box.ok("status")  # starts an engine
        (slurm_box.folder / "go").touch()
        states = dict.fromkeys("abcef", "succeeded") | {"d": "stopped"}
        status = slurm_box.wait(lambda status: {name: run["state"] for name, run in status["runs"].items()} == states)
        assert [len(run["attempts"]) for run in status["runs"].values()] == [1] * 6
        logs = {name: slurm_box.log(name).splitlines() for name in states}
        assert [logs[name][-1] for name in "abcde"] == ["n1 0", "n1 1", "n2 0", "n2 1", "n2 1"]
        assert "attempt 1 on n2 GPU 0" in logs["c"][0]


def test_check_shows_the_cluster_and_submits_nothing(cluster: SlurmCluster, slurm_box: CliSandbox) -> None:
    text = slurm_box.ok("check", "--plan", slurm_box.plan(PLAN))
    assert "main (default): 2 nodes of 8 CPUs, 8192 MiB, gpu:4" in text
    assert "first, waits: sbatch --time=10" in text
    assert not slurm_box.logs.exists()
    assert cluster.run("squeue", "-h") == ""


def test_a_plan_that_the_cluster_refuses_is_one_line_and_writes_nothing(slurm_box: CliSandbox) -> None:
    options = ("--plan", slurm_box.plan(PLAN), "--slurm", "partition=nope")
    done = slurm_box.run("--headless", *options)
    assert done.returncode == 2
    assert "first: Slurm refused the job" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not slurm_box.logs.exists()
    checked = slurm_box.run("check", *options)
    assert checked.returncode == 2 and "`partition`" in checked.stdout


def test_an_interrupted_start_leaves_no_probe_job(slurm_box: CliSandbox, cluster: SlurmCluster) -> None:
    slurm_box.env["XDG_CACHE_HOME"] = str(slurm_box.folder / "cache")  # no probe has passed yet
    start = slurm_box.start("--headless", "--plan", slurm_box.plan(PLAN), "--slurm", "extra=--hold")
    wait_until(lambda: cluster.run("squeue", "-h", "-o", "%j").startswith("probe."))
    start.send_signal(signal.SIGINT)
    assert start.wait(timeout=40) == 130
    assert cluster.run("squeue", "-h") == "" and not slurm_box.logs.exists()


@pytest.mark.timeout(200)
def test_a_session_outlives_its_engine_and_down_leaves_no_job(cluster: SlurmCluster, slurm_box: CliSandbox) -> None:
    slurm_box.ok("--detach", "--plan", slurm_box.plan(PLAN))
    states = {"first": "succeeded", "here": "succeeded", "waits": "running", "held": "pending"}
    status = slurm_box.wait(lambda status: {name: run["state"] for name, run in status["runs"].items()} == states)
    job = status["runs"]["waits"]["job_id"]
    os.kill(status["engine_pid"], signal.SIGKILL)
    wait_until(lambda: not slurm_box.engines())
    assert cluster.state(int(job)) == "RUNNING"
    listed = [line.split() for line in slurm_box.ok("sessions", "--slurm").splitlines()]
    assert [status["session"], "waits", job] in [line[:3] for line in listed]
    slurm_box.ok("down")
    assert cluster.run("squeue", "-h") == ""
    waits = slurm_box.status()["runs"]["waits"]
    assert (waits["state"], waits["job_id"], len(waits["attempts"])) == ("stopped", job, 1)
    assert "no session of yours has a job" in slurm_box.ok("sessions", "--slurm")
    assert str(slurm_box.folder) in slurm_box.log("first").splitlines()


BUNDLE = """
[session]
launcher = "slurm"
[slurm]
bundle = 4
cpus = 1
time = "10"
[runs.train]
matrix.seed = [1, 2, 3, 4]
command = ["sh", "-c", '''
trap 'exit 143' TERM
echo "job $SLURM_JOB_ID with GPU $CUDA_VISIBLE_DEVICES"; : {seed}
until test -e {output}/../../go; do sleep 0.2; done
''']
"""


@pytest.mark.timeout(200)
def test_four_runs_share_a_job_and_each_stays_a_run_of_its_own(slurm_box: CliSandbox, cluster: SlurmCluster) -> None:
    plan = slurm_box.plan(BUNDLE)
    assert "up to 4 runs that start at the same time share one job" in slurm_box.ok("check", "--plan", plan)
    slurm_box.ok("--detach", "--plan", plan)
    names = [f"train-seed{seed}" for seed in (1, 2, 3, 4)]
    status = slurm_box.wait(lambda status: {run["state"] for run in status["runs"].values()} == {"running"})
    (job,) = {run["job_id"] for run in status["runs"].values()}
    used = {wait_until(lambda name=name: line_of(slurm_box, name, job)) for name in names}
    assert used == {f"job {job} with GPU {number}" for number in range(4)}

    slurm_box.ok("stop", names[0])
    slurm_box.wait(lambda status: status["runs"][names[0]]["state"] == "stopped")
    os.kill(slurm_box.status()["engine_pid"], signal.SIGKILL)
    wait_until(lambda: not slurm_box.engines())
    slurm_box.ok("restart", names[0])
    slurm_box.ok("restart", names[1])
    status = slurm_box.wait(
        lambda status: (
            all(status["runs"][name]["state"] == "running" for name in names)
            and all(len(status["runs"][name]["attempts"]) == 2 for name in names[:2])
        )
    )
    jobs = [status["runs"][name]["job_id"] for name in names]
    assert job not in jobs[:2] and jobs[2:] == [job, job]
    assert len(status["runs"][names[2]]["attempts"]) == 1
    (slurm_box.logs / "go").touch()
    final = slurm_box.wait(lambda status: {run["state"] for run in status["runs"].values()} == {"succeeded"})
    assert [run["attempts"][-1]["exit_code"] for run in final["runs"].values()] == [0] * 4
    wait_until(lambda: cluster.run("squeue", "-h") == "")


def line_of(box: CliSandbox, run: str, job: str) -> str | None:
    """Return the line in a run's log that names the job, once it is there."""
    return next((line for line in box.log(run).splitlines() if line.startswith(f"job {job} ")), None)
