"""Runs that end badly, do not end, or leave something behind."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli_sandbox import CliSandbox
from support.process_table import (
    POLITE,
    events,
    exit_of,
    is_alive,
    parent_of,
    pid_of,
    shell_run,
    state_of,
    wait_until_printed,
)
from support.waiting import wait_until


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_signal_from_outside_is_a_failure_that_names_it(box: CliSandbox, number: signal.Signals) -> None:
    plan = shell_run("a", POLITE) + shell_run("b", "true", after=["a"])
    box.ok("--detach", "--plan", box.plan(plan))
    os.kill(pid_of(box, "a"), number)
    assert exit_of(box, "a")["signal"] == number
    status = box.status()
    assert status["runs"]["a"] | {"state": "failed", "exit_code": None} == status["runs"]["a"]
    assert signal.Signals(number).name in status["runs"]["a"]["reason"]
    assert status["runs"]["b"]["state"] == "blocked" and signal.Signals(number).name in status["runs"]["b"]["reason"]
    assert box.living() == []


def test_a_run_that_was_frozen_still_writes_its_checkpoint_when_stopped(box: CliSandbox) -> None:
    box.ok("--detach", "--plan", box.plan(shell_run("a", POLITE)))
    pid = pid_of(box, "a")
    wait_until_printed(box, "a", "ready")
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state_of(pid) == "T")
    assert box.states() == {"a": "running"}
    box.ok("stop", "a")
    assert exit_of(box, "a")["exit_code"] == 143
    wait_until_printed(box, "a", "checkpoint")


def test_a_run_that_exits_with_0_after_a_stop_is_stopped_and_its_dependents_do_not_start(box: CliSandbox) -> None:
    box.ok(
        "--detach", "--plan", box.plan(shell_run("a", POLITE.replace("143", "0")) + shell_run("b", "true", after=["a"]))
    )
    wait_until_printed(box, "a", "ready")
    box.ok("stop", "a")
    assert exit_of(box, "a")["exit_code"] == 0
    assert box.states() == {"a": "stopped", "b": "blocked"}
    assert "blocked by a (stopped, exit code 0)" in box.status()["runs"]["b"]["reason"]


def test_a_frozen_shim_obeys_a_stop_all_the_same(box: CliSandbox) -> None:
    box.ok("--detach", "--plan", box.plan(shell_run("a", POLITE)))
    pid = pid_of(box, "a")
    wait_until_printed(box, "a", "ready")
    shim = parent_of(pid)
    os.kill(shim, signal.SIGSTOP)
    wait_until(lambda: state_of(shim) == "T")
    box.ok("stop", "a")
    assert exit_of(box, "a")["exit_code"] == 143


# `$1` beats until it is ended; nothing of its run may start before.
LEFTOVER = "({trap}while :; do date +%s.%N > {name}.beat; sleep 0.02; done) & echo $! > {name}.pid; "
DAEMON = (
    "setsid sh -c '(while :; do date +%s.%N > {name}.beat; sleep 0.02; done) > /dev/null 2>&1 & echo $! > {name}.pid' "
    "< /dev/null; "
)


@pytest.mark.parametrize(
    "left",
    [
        LEFTOVER.format(name="a", trap=""),
        LEFTOVER.format(name="a", trap="trap '' TERM HUP INT; "),
        DAEMON.format(name="a"),
    ],
    ids=["with the log open", "that ignores SIGTERM", "that daemonised"],
)
def test_what_a_run_leaves_behind_is_ended_before_its_slot_goes_to_the_next(box: CliSandbox, left: str) -> None:
    script = left + "until test -s a.beat; do sleep 0.01; done; exit 0"
    plan = shell_run("a", script, slot=0) + shell_run("b", "date +%s.%N > b.began", slot=0)
    box.ok("--detach", "--plan", box.plan(plan))
    assert exit_of(box, "b")["exit_code"] == 0
    assert exit_of(box, "a")["exit_code"] == 0
    assert exit_of(box, "a")["leftovers"] >= 1
    assert not is_alive(int((box.folder / "a.pid").read_text()))
    beat = (box.folder / "a.beat").read_text() or "0"  # it may have been killed between opening and writing
    assert float(beat) <= float((box.folder / "b.began").read_text())
    assert "leftover process" in box.log("training")
    assert box.living() == []


def test_a_run_that_ignores_sigterm_is_killed_after_its_grace_with_all_its_children(box: CliSandbox) -> None:
    stubborn = "trap '' TERM; (trap '' TERM; while :; do sleep 0.2; done) & echo ready; while :; do sleep 0.05; done"
    box.ok("--detach", "--plan", box.plan(shell_run("a", stubborn, stop_grace_s=0.5)))
    wait_until_printed(box, "a", "ready")
    box.ok("stop", "a")
    assert exit_of(box, "a")["signal"] == signal.SIGKILL
    assert box.states() == {"a": "stopped"}
    assert box.living() == []


def test_runs_inherit_nothing_of_the_engine_but_their_log(box: CliSandbox) -> None:
    box.ok("--detach", "--plan", box.plan(shell_run("a", POLITE)))
    pid = pid_of(box, "a")
    wait_until_printed(box, "a", "ready")
    opened = {entry.name: str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    opened = {number: path for number, path in opened.items() if int(number) < 10}  # dash keeps its own at 10
    (log,) = box.logs.glob("a_*.log")
    assert opened == {"0": "/dev/null", "1": str(log), "2": str(log)}


# A set-user-ID program of root's: the user who started it may not send it any signal. To that user it is what a
# process in uninterruptible sleep is to everybody.
UNKILLABLE = """
#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    struct stat status;
    if (argc < 2 || setgid(0) || setuid(0))
        return 9;
    puts("ready");
    fflush(stdout);
    while (stat(argv[1], &status))
        usleep(20000);
    return 0;
}
"""


def test_a_run_that_cannot_be_killed_keeps_its_slot_and_the_status_reports_it(
    nobodys_box: CliSandbox, compile_c: Callable[..., Path]
) -> None:
    box = nobodys_box
    program = compile_c("unkillable", UNKILLABLE)
    stubborn = box.folder.parent / "unkillable"
    stubborn.write_bytes(program.read_bytes())
    stubborn.chmod(0o4755)
    release = box.folder.parent / "release"
    try:
        plan = f'[runs.a]\ncommand = ["{stubborn}", "{release}"]\nslot = 0\nstop_grace_s = 0.2\n'
        box.ok("--detach", "--plan", box.plan(plan + shell_run("b", "true", slot=0)))
        pid = pid_of(box, "a")
        wait_until_printed(box, "a", "ready")
        assert "SIGTERM sent" in box.ok("stop", "a")
        status = box.wait(
            lambda status: any("survives SIGKILL; its slot stays occupied" in note for note in status["notes"])
        )
        assert any(f"a: pid {pid} survives SIGKILL" in note for note in status["notes"]), status["notes"]
        assert (status["runs"]["a"]["state"], status["runs"]["b"]["state"]) == ("stopping", "queued")
        assert is_alive(pid)
    finally:
        release.touch()
    assert exit_of(box, "b")["exit_code"] == 0
    assert exit_of(box, "a")["exit_code"] == 0 and len(events(box, "attempt_starting", "b")) == 1
