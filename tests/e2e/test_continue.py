"""`--headless --continue`: one batch job goes on where the one before was ended."""

import os
import signal
from pathlib import Path

from support.cli_sandbox import CliSandbox
from support.process_table import wait_until_gone

# `long` ends at once where `go` is there; otherwise like a trainer: exit code 143 after SIGTERM.
PLAN = """
[runs.long]
command = ["sh", "-c", "trap 'exit 143' TERM; echo job $JOB; echo ready; until test -e go; do sleep 0.1; done"]
slot = "none"
[runs.after]
command = ["true"]
after = ["long"]
slot = "none"
"""


def first_job(box: CliSandbox) -> tuple[int, int]:
    """Start a session in the foreground; return the pids of its engine and of `long`."""
    box.env["JOB"] = "1"
    process = box.start("--headless", "--continue", "--plan", box.plan(PLAN))
    status = box.wait(lambda status: status["runs"]["long"]["pid"] and "ready" in box.log("long").splitlines())
    assert status["engine_pid"] == process.pid
    return process.pid, status["runs"]["long"]["pid"]


def next_job(box: CliSandbox) -> str:
    """Run the next job to its end, which is success; return its output."""
    box.env["JOB"] = "2"
    (box.folder / "go").touch()
    printed = box.ok("--headless", "--continue", "--plan", "plan.toml")
    assert len(list(box.logs.glob("session_*"))) == 1
    assert box.states() == {"long": "succeeded", "after": "succeeded"}
    return printed


def starts(box: CliSandbox) -> list[str]:
    return [event["run"] for event in box.journal() if event["kind"] == "attempt_starting"]


def test_a_job_that_was_ended_by_sigterm_goes_on_with_the_environment_of_the_next(box: CliSandbox) -> None:
    engine, _ = first_job(box)
    os.kill(engine, signal.SIGTERM)
    box.wait(lambda status: status["state"] == "finished")
    printed = next_job(box)
    assert "continuing session " in printed and "session finished: 2 succeeded" in printed
    assert starts(box) == ["long", "long", "after"]
    assert [line for line in box.log("long").splitlines() if line.startswith("job")] == ["job 1", "job 2"]


def test_a_job_of_which_everything_was_killed_goes_on(box: CliSandbox) -> None:
    engine, run = first_job(box)
    shim = int(Path(f"/proc/{run}/stat").read_text().rpartition(")")[2].split()[1])
    for pid in (engine, shim, run):
        os.kill(pid, signal.SIGKILL)
    wait_until_gone(engine)
    next_job(box)
    assert starts(box) == ["long", "long", "after"]


def test_a_run_that_outlived_its_job_is_not_started_again(box: CliSandbox) -> None:
    engine, _ = first_job(box)
    os.kill(engine, signal.SIGKILL)
    wait_until_gone(engine)
    next_job(box)
    assert starts(box) == ["long", "after"]


def test_a_session_that_has_succeeded_is_left_alone(box: CliSandbox) -> None:
    first_job(box)
    (box.folder / "go").touch()
    box.wait(lambda status: status["state"] == "finished")
    next_job(box)
    assert starts(box) == ["long", "after"]


def test_a_run_that_fails_again_is_not_tried_for_ever(box: CliSandbox) -> None:
    box.plan('[runs.a]\ncommand = ["false"]\nslot = "none"\n')
    for attempt in (1, 2):
        assert box.run("--headless", "--continue", "--plan", "plan.toml").returncode == 1
        assert starts(box) == ["a"] * attempt


def test_a_running_session_and_a_job_in_the_background_are_refused(box: CliSandbox) -> None:
    _, run = first_job(box)
    done = box.run("--headless", "--continue")
    assert done.returncode == 2
    assert "is running; see it with `pmssm-supervise attach`" in done.stderr
    assert "--continue needs --headless" in box.run("--continue", "--detach").stderr
    os.kill(run, 0)
    box.ok("kill", "long")
