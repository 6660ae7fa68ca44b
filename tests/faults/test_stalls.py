"""Trainings that fall silent: they are flagged, and restarted from their checkpoint as often as was asked for."""

import pytest
from support.cli_sandbox import CliSandbox
from support.process_table import events, exit_of, pid_of, shell_run

# Trains two epochs, then hangs as a lost file system makes one hang; where there is a checkpoint it trains the rest.
HANGS_ONCE = """
trap 'exit 143' TERM
epoch() {{ sleep 0.6; echo "epoch $1/4"; }}
if test -e checkpoint; then epoch 3; epoch 4; exit 0; fi
epoch 1; epoch 2; touch checkpoint
while :; do sleep 0.2; done
"""
HANGS_ALWAYS = HANGS_ONCE.replace("test -e checkpoint", "false")
PROGRESS = r"epoch (?P<epoch>\d+)/(?P<epochs>\d+)"


def _plan(box: CliSandbox, script: str) -> str:
    train = shell_run("train", script, progress=PROGRESS, stall_after_s=1.5)
    return box.plan(train + shell_run("next", "true", after=["train"]))


def _is_flagged(box: CliSandbox) -> object:
    return box.wait(lambda status: status["runs"]["train"]["stalled"])


def test_a_run_that_hangs_is_restarted_from_its_checkpoint_and_what_waits_for_it_starts(box: CliSandbox) -> None:
    output = box.ok("--headless", "--stall-restart", "2", "--plan", _plan(box, HANGS_ONCE))
    assert [event["cause"] for event in events(box, "restart_requested", "train")] == ["stall"]
    assert exit_of(box, "train", 1)["exit_code"] == 143
    assert exit_of(box, "train", 2)["exit_code"] == 0
    assert exit_of(box, "next")["exit_code"] == 0
    assert "stalled" in output


def test_a_run_that_hangs_again_and_again_is_left_alone_after_the_last_restart(box: CliSandbox) -> None:
    box.ok("--detach", "--stall-restart", "1", "--plan", _plan(box, HANGS_ALWAYS))
    pid_of(box, "train", attempt=2)
    assert _is_flagged(box)
    assert len(events(box, "restart_requested", "train")) == 1
    assert box.states()["train"] == "running"


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["lines", "json"])
def test_a_session_in_the_foreground_reports_a_run_that_hangs(box: CliSandbox, options: list[str]) -> None:
    foreground = box.start("--headless", *options, "--plan", _plan(box, HANGS_ALWAYS))
    assert foreground.stdout is not None
    assert any("train: attempt 1 has stalled" in line for line in foreground.stdout)
    run = box.status()["runs"]["train"]
    assert (run["stalled"], run["eta_s"]) == (True, None)


def test_a_run_that_hangs_is_flagged_and_nothing_else_unless_restarts_were_asked_for(box: CliSandbox) -> None:
    box.ok("--detach", "--plan", _plan(box, HANGS_ALWAYS))
    assert _is_flagged(box)
    assert events(box, "restart_requested", "train") == []
    box.ok("restart", "train")
    pid_of(box, "train", attempt=2)
