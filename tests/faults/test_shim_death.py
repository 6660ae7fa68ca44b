"""The parent of a run is killed: the run is found, watched, ended when asked, never taken for a success."""

import contextlib
import os
import random
import signal

from support.cli_sandbox import CliSandbox
from support.process_table import (
    UNTIL_GO,
    children_of,
    engine_of,
    events,
    exit_of,
    is_alive,
    kill_engine,
    parent_of,
    pid_of,
    shell_run,
    wait_until_finished,
    wait_until_gone,
    wait_until_printed,
)
from support.waiting import wait_until


def kill_shim(pid: int) -> None:
    """SIGKILL to the shim of a command."""
    shim = parent_of(pid)
    os.kill(shim, signal.SIGKILL)
    wait_until_gone(shim)


def test_a_run_whose_shim_was_killed_is_lost_even_when_it_ends_well_and_can_be_restarted(box: CliSandbox) -> None:
    plan = shell_run("a", UNTIL_GO + "; exit 0") + shell_run("b", "true", after=["a"])
    box.ok("--detach", "--plan", box.plan(plan))
    pid = pid_of(box, "a")
    kill_shim(pid)
    run = box.status()["runs"]["a"]
    assert (run["state"], run["pid"]) == ("running", pid)
    (box.folder / "go").touch()
    ended = exit_of(box, "a")
    assert ended.get("exit_code") is None and ended.get("signal") is None
    status = box.status()
    assert (
        status["runs"]["a"]["state"] == "lost"
        and "exit status unknown: its shim was killed" in status["runs"]["a"]["reason"]
    )
    assert status["runs"]["b"] | {"state": "blocked", "blocked_by": ["a"]} == status["runs"]["b"]
    box.ok("restart", "a")
    assert exit_of(box, "b")["exit_code"] == 0
    assert len(events(box, "attempt_starting", "b")) == 1


def test_an_exit_that_a_shim_wrote_down_and_did_not_live_to_put_in_its_place_is_known(box: CliSandbox) -> None:
    """Its last step fails here, as it does where it is killed just before, or the file system has become read-only."""
    box.ok("--detach", "--plan", box.plan(shell_run("a", UNTIL_GO + "; exit 7")))
    shim = parent_of(pid_of(box, "a"))
    (attempt,) = box.logs.glob("session_*/a/attempt_1")
    (attempt / "exit.json").mkdir()
    (box.folder / "go").touch()
    assert exit_of(box, "a")["exit_code"] == 7
    wait_until_gone(shim)
    assert box.states() == {"a": "failed"}


def test_with_engine_and_shim_both_dead_the_run_is_found_and_its_slot_is_not_given_away(box: CliSandbox) -> None:
    """One CPU slot: `b` has to wait for it."""
    plan = shell_run("a", f"{UNTIL_GO}; echo last > a.ran", slot=0) + shell_run("b", "cat a.ran", slot=0)
    box.ok("--detach", "--plan", box.plan(plan))
    pid = pid_of(box, "a")
    kill_engine(box)
    kill_shim(pid)
    status = box.status()
    assert (status["runs"]["a"]["state"], status["runs"]["b"]["state"]) == ("running", "queued")
    (box.folder / "go").touch()
    assert exit_of(box, "b")["exit_code"] == 0, "b started while a was still writing"
    assert box.status()["runs"]["a"]["state"] == "lost"


def test_what_a_run_without_shim_left_behind_with_a_clean_environment_is_part_of_it(box: CliSandbox) -> None:
    orphan = "env -i sh -c 'echo $$ > orphan; exec sleep 600' & until test -s orphan; do sleep 0.01; done; "
    box.ok("--detach", "--plan", box.plan(shell_run("a", orphan + UNTIL_GO)))
    pid = pid_of(box, "a")
    wait_until(lambda: (box.folder / "orphan").exists() and (box.folder / "orphan").read_text().endswith("\n"))
    orphan_pid = int((box.folder / "orphan").read_text())
    try:
        kill_shim(pid)
        (box.folder / "go").touch()
        wait_until_gone(pid)
        engine = engine_of(box)
        assert box.status()["runs"]["a"]["state"] == "running"
        box.ok("kill", "a")
        exit_of(box, "a")
        assert not is_alive(orphan_pid)
        assert box.states() == {"a": "lost"} and engine
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(orphan_pid, signal.SIGKILL)


def test_a_daemon_with_neither_environment_nor_session_of_its_run_ends_with_down(box: CliSandbox) -> None:
    orphan = f"(env -i setsid sh -c 'echo $$ > {box.folder}/orphan; exec sleep 600' &); "
    box.ok("--detach", "--plan", box.plan(shell_run("a", orphan + UNTIL_GO)))
    pid = pid_of(box, "a")
    orphan_pid = int(wait_until(lambda: (box.folder / "orphan").exists() and (box.folder / "orphan").read_text()))
    try:
        (attempt,) = box.logs.glob("session_*/a/attempt_1")
        record = attempt / "processes.json"
        wait_until(lambda: record.exists() and f'"pid": {orphan_pid},' in record.read_text(), what="the record")
        kill_engine(box)
        kill_shim(pid)
        (box.folder / "go").touch()
        wait_until_gone(pid)
        assert box.status()["runs"]["a"]["state"] == "running"
        box.ok("down")
        assert not is_alive(orphan_pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(orphan_pid, signal.SIGKILL)


def test_without_its_shim_a_run_that_ignores_sigterm_is_killed_after_its_grace(box: CliSandbox) -> None:
    stubborn = "trap '' TERM; echo ready; while :; do sleep 0.2; done"
    box.ok("--detach", "--plan", box.plan(shell_run("a", stubborn, stop_grace_s=0.5)))
    pid = pid_of(box, "a")
    wait_until_printed(box, "a", "ready")
    kill_shim(pid)
    assert is_alive(pid)
    box.ok("stop", "a")
    exit_of(box, "a")
    assert not is_alive(pid) and box.living() == []


def test_shims_killed_at_random_moments_of_their_birth_lose_no_run_and_start_none_twice(box: CliSandbox) -> None:
    rng = random.Random(20_260_123)
    names = [f"r{number}" for number in range(12)]
    script = "echo $PMSSM_SUPERVISE_ATTEMPT >> {name}.ran; sleep 0.2"
    before: list[str] = []
    plan = ""
    for name in names:  # one after the other, whatever became of the one before: each waits for a file
        wait = f"until test -e {before[-1]}.over; do sleep 0.01; done; " if before else ""
        plan += shell_run(name, wait + script.format(name=name) + f"; touch {name}.over", slot=0)
        before.append(name)
    box.ok("--detach", "--plan", box.plan(plan))
    kills = 0
    for name in names:
        wait_until(lambda name=name: events(box, "attempt_starting", name), 60, f"{name} to start")  # type: ignore[misc]
        moment = rng.uniform(0, 0.1)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: False, moment)
        for pid, words in children_of(engine_of(box)).items():  # the spare one, too
            if b"shim.py" in words:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
        (box.folder / f"{name}.over").touch()
        exit_of(box, name)
    wait_until_finished(box)
    assert kills >= len(names) // 2
    for name, state in box.states().items():
        ran = (box.folder / f"{name}.ran").read_text().split() if (box.folder / f"{name}.ran").exists() else []
        assert len(ran) == len(set(ran)) <= 1, (name, ran)
        assert state in ("lost", "failed", "succeeded")
        assert state != "succeeded" or ran
    assert box.living() == []
