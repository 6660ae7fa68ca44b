"""Somebody sets the clock while a session runs: NTP at boot, a resumed virtual machine."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support.cli_sandbox import CliSandbox
from support.fake_clock import FakeClock
from support.process_table import kill_engine, pid_of
from support.waiting import wait_until

PLAN = '[runs.a]\ncommand = ["sh", "-c", "while [ ! -e go ]; do sleep 0.1; done"]\nslot = "none"\n'
DAY_S = 86_400
LONGEST_S = 120  # of such a session, even on a busy machine


@pytest.fixture
def clock(tmp_path: Path) -> FakeClock:
    """A clock that is right so far."""
    return FakeClock(tmp_path)


@pytest.fixture
def clocked(
    make_box: Callable[[Mapping[str, str]], CliSandbox], env_without_nvml: Mapping[str, str], clock: FakeClock
) -> CliSandbox:
    """A box whose programs use that clock."""
    return make_box({**os.environ, **env_without_nvml, **clock.env})


def elapsed(box: CliSandbox) -> tuple[float, float]:
    """Seconds that the session and its run have lasted, as `status` tells."""
    status = box.status()
    run = status["runs"]["a"]
    return (status["ended"] or status["taken_at"]) - status["started"], (run["ended"] or status["taken_at"]) - run[
        "started"
    ]


@pytest.mark.parametrize("days", [-100, 100])
@pytest.mark.parametrize("engine_lives", [True, False])
def test_a_step_of_the_clock_is_no_run_time(
    clocked: CliSandbox, clock: FakeClock, days: int, engine_lives: bool
) -> None:
    clocked.ok("--detach", "--plan", clocked.plan(PLAN))
    pid_of(clocked, "a")
    if not engine_lives:
        kill_engine(clocked)
    clock.set(days * DAY_S)
    if engine_lives:
        wait_until(lambda: "clock_stepped" in {event["kind"] for event in clocked.journal()}, what="the step")
    assert all(0 <= seconds < LONGEST_S for seconds in elapsed(clocked))
    (clocked.folder / "go").touch()
    clocked.wait(lambda status: status["state"] == "finished")
    assert all(0 <= seconds < LONGEST_S for seconds in elapsed(clocked))
    (log,) = clocked.logs.glob("training_*.log")
    (line,) = (line for line in log.read_text().splitlines() if "a: succeeded after " in line)
    assert 0 <= float(line.split()[-2]) < LONGEST_S
