"""The machine itself: reboots, pids that come round again, clocks that jump, disks that fill, folders that vanish."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.cli_sandbox import CliSandbox
from support.fake_clock import FakeClock
from support.process_table import (
    LONG_S,
    POLITE,
    UNTIL_GO,
    children_of,
    cpu_ticks,
    engine_of,
    events,
    exit_of,
    is_alive,
    kill_engine,
    parent_of,
    pid_of,
    shell_run,
    wait_until_gone,
    wait_until_printed,
)
from support.waiting import wait_until

PAIR = shell_run("a", UNTIL_GO) + shell_run("b", "true", after=["a"])
EPOCHS = (
    "i=0; while :; do i=$((i+1)); echo Epoch $i/100000; test -e go && exit 0; sleep 0.05; done",
    r"Epoch (?P<epoch>\d+)/(?P<epochs>\d+)",
)

as_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root")


def end_all(box: CliSandbox, *pids: int) -> None:
    """SIGKILL to engine, shims and commands at once, as when the machine goes down."""
    shims = [parent_of(pid) for pid in pids]
    for pid in (engine_of(box), *shims, *pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in (*shims, *pids):
        wait_until_gone(pid)
    wait_until(lambda: not box.engines() and not box.living(), LONG_S, "the end of everything")


def rewrite_identities(box: CliSandbox, **changes: object) -> None:
    """Makes the records of all attempts tell of other processes."""
    for path in box.logs.glob("session_*/*/attempt_*/process.json"):
        record = json.loads(path.read_text())
        for who in ("shim", "command"):
            record[who] = {**record[who], **changes}
        path.write_text(json.dumps(record))


# Reboots and pids


def test_after_a_reboot_a_running_run_is_lost_with_a_reason_and_restarts_from_its_checkpoint(box: CliSandbox) -> None:
    box.ok("--detach", "--plan", box.plan(PAIR))
    end_all(box, pid_of(box, "a"))
    rewrite_identities(box, boot_id="00000000-0000-4000-8000-000000000000")
    status = box.status()
    assert status["runs"]["a"]["state"] == "lost" and "the machine was restarted" in status["runs"]["a"]["reason"]
    assert status["runs"]["b"] | {"state": "blocked", "blocked_by": ["a"]} == status["runs"]["b"]
    (box.folder / "go").touch()
    box.ok("restart", "a")
    assert exit_of(box, "b")["exit_code"] == 0


def test_a_run_that_had_ended_before_the_reboot_keeps_its_exit_code(box: CliSandbox) -> None:
    box.ok("--detach", "--plan", box.plan(PAIR))
    pid_of(box, "a")
    kill_engine(box)
    (box.folder / "go").touch()
    wait_until(lambda: list(box.logs.glob("session_*/a/attempt_1/exit.json")), LONG_S, "the end of a")
    rewrite_identities(box, boot_id="00000000-0000-4000-8000-000000000000")
    box.ok("status")
    assert exit_of(box, "a")["exit_code"] == 0 and exit_of(box, "b")["exit_code"] == 0


@pytest.mark.parametrize("verb", ["status", "kill", "stop", "down"])
def test_a_process_with_a_reused_pid_is_left_alone(box: CliSandbox, verb: str) -> None:
    box.ok("--detach", "--plan", box.plan(PAIR))
    end_all(box, pid_of(box, "a"))
    bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        rewrite_identities(box, pid=bystander.pid)
        box.run(*((verb,) if verb in ("status", "down") else (verb, "a")))
        assert box.status()["runs"]["a"]["state"] == "lost"
        assert bystander.poll() is None, "a stranger was killed"
    finally:
        bystander.kill()
        bystander.wait()


# Clocks


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_set_by_an_hour_changes_nothing_for_the_runs(box: CliSandbox, hours: int) -> None:
    clock = FakeClock(box.folder)
    box.env |= clock.env
    script, progress = EPOCHS
    stubborn = "trap '' TERM; echo ready; while :; do sleep 0.2; done"
    plan = shell_run("a", script, progress=progress, stall_after_s=60) + shell_run("b", "true", after=["a"])
    plan += shell_run("c", stubborn, stop_grace_s=2)
    plan += shell_run("d", "test -e d.tried && exit 0; touch d.tried; kill -9 $$", retries=1, retry_delay_s=3)
    box.ok("--detach", "--stall-restart", "1", "--plan", box.plan(plan))
    wait_until_printed(box, "c", "ready")
    before = box.wait(lambda status: status["runs"]["a"]["eta_s"] is not None)
    wait_until(lambda: events(box, "retry_scheduled", "d"), LONG_S, "the retry of d to be planned")
    box.ok("stop", "c")
    clock.set(hours * 3600)  # in the middle of a grace, of an epoch, of a retry's delay
    after = box.wait(
        lambda status: status["runs"]["a"]["progress"]["epoch"] > before["runs"]["a"]["progress"]["epoch"] + 5
    )
    assert abs(after["taken_at"] - before["taken_at"]) > 3000, "the clock was not shifted"
    assert not after["runs"]["a"]["stalled"]
    assert after["runs"]["a"]["eta_s"] < 20 * before["runs"]["a"]["eta_s"] + 1000
    assert exit_of(box, "c")["signal"] == signal.SIGKILL
    assert exit_of(box, "d", attempt=2)["exit_code"] == 0
    (box.folder / "go").touch()
    assert exit_of(box, "b")["exit_code"] == 0
    box.wait(lambda status: status["state"] == "finished")
    assert all(len(events(box, "attempt_starting", run)) == 1 for run in "abc")
    assert re.search(r"-\d+(\.\d+)? s|-\d+:\d", box.ok("status")) is None, "a negative duration"


# Disks


@pytest.fixture
def small_disk(box: CliSandbox) -> Iterator[CliSandbox]:
    """A box whose logs folder is a file system of 1 MiB."""
    box.logs.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(box.logs)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a small disk: {done.stderr.strip()}")
    try:
        yield box
    finally:
        box.close()
        subprocess.run(["umount", "-l", str(box.logs)], check=True)


def fill(folder: Path) -> Path:
    """Leaves no byte free."""
    path = folder / "filling"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        while file.write(b"x"):
            pass
    return path


def test_on_a_full_disk_runs_go_on_and_what_happens_meanwhile_is_not_lost(small_disk: CliSandbox) -> None:
    box = small_disk
    chatty = "trap 'exit 143' TERM; while ! test -e go; do echo line; sleep 0.01; done; exit 5"
    plan = shell_run("a", chatty) + shell_run("b", UNTIL_GO) + shell_run("c", "true", after=["b"])
    plan += shell_run("s", POLITE) + shell_run("w", "true", after=["s"])
    box.ok("--detach", "--plan", box.plan(plan))
    wait_until_printed(box, "s", "ready")
    for run in ("a", "b"):
        pid_of(box, run)
    engine = engine_of(box)
    filling = fill(box.logs)
    send_commands(
        box, [{"verb": verb, "run": "w"} for verb in ("stop", "restart")] * 50
    )  # more than a block of the journal
    assert "SIGTERM" in box.ok("stop", "s")
    assert exit_of(box, "s")["exit_code"] == 143
    (box.folder / "go").touch()
    assert exit_of(box, "a")["exit_code"] == 5
    assert exit_of(box, "b")["exit_code"] == 0
    before = cpu_ticks(engine)
    status = box.wait(lambda status: status["runs"]["c"]["state"] == "queued" and status["notes"])
    assert "No space left on device; trying again" in status["notes"][0]
    wait_ticks(box)
    assert cpu_ticks(engine) - before < 3 * os.sysconf("SC_CLK_TCK")
    filling.unlink()
    assert exit_of(box, "c")["exit_code"] == 0
    assert [event["attempt"] for event in events(box, "attempt_starting", "c")] == [1]


def test_a_session_in_the_foreground_reports_a_full_disk_and_still_ends_on_request(small_disk: CliSandbox) -> None:
    box = small_disk
    foreground = box.start("--headless", "--plan", box.plan(shell_run("a", UNTIL_GO) + shell_run("b", POLITE)))
    pid_of(box, "a")
    wait_until_printed(box, "b", "ready")
    fill(box.logs)
    (box.folder / "go").touch()
    box.wait(lambda status: any("No space left on device; trying again" in note for note in status["notes"]))
    assert foreground.stdout is not None
    assert any("No space left on device; trying again" in line for line in foreground.stdout)
    foreground.send_signal(signal.SIGTERM)
    output, _ = foreground.communicate(timeout=LONG_S)
    assert foreground.returncode == 128 + signal.SIGTERM
    assert "summary.json: No space left on device; the session ends without" in output
    assert re.search(r"^a +succeeded +0 ", output, re.MULTILINE) and re.search(
        r"^b +stopped +143 ", output, re.MULTILINE
    )
    assert box.states() == {"a": "succeeded", "b": "stopped"}
    assert box.living() == []


def test_a_session_on_a_full_disk_is_ended_by_down(small_disk: CliSandbox) -> None:
    box = small_disk
    box.ok("--detach", "--plan", box.plan(shell_run("a", POLITE)))
    wait_until_printed(box, "a", "ready")
    fill(box.logs)
    assert "the session has ended" in box.ok("down")
    assert box.states() == {"a": "stopped"}
    assert box.living() == []


def send_commands(box: CliSandbox, commands: list[dict[str, str]]) -> None:
    """Sends commands that the engine has to carry out."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(json.loads((box.logs / ".engine.lock").read_text())["socket"])
        client.settimeout(LONG_S)
        with client.makefile("rw") as stream:
            for command in commands:
                stream.write(json.dumps(command) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
                assert answer["ok"], answer


def wait_ticks(box: CliSandbox) -> None:
    """Gives a busy loop the time to show itself."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: False, 2.0)
    assert box.engines()


def test_an_engine_that_dies_on_a_full_disk_is_brought_back_there(small_disk: CliSandbox) -> None:
    box = small_disk
    box.ok("--detach", "--plan", box.plan(PAIR))
    pid = pid_of(box, "a")
    filling = fill(box.logs)
    kill_engine(box)
    status = box.status()
    assert (status["runs"]["a"]["state"], status["runs"]["a"]["pid"]) == ("running", pid)
    (box.folder / "go").touch()
    wait_until(lambda: not is_alive(pid), LONG_S, "the end of a")
    box.wait(lambda status: status["runs"]["a"]["state"] == "succeeded")
    filling.unlink()
    assert exit_of(box, "b")["exit_code"] == 0


def test_on_a_full_disk_no_session_begins_and_none_is_half_made(small_disk: CliSandbox) -> None:
    box = small_disk
    fill(box.logs)
    done = box.run("--headless", "--plan", box.plan(PAIR))
    assert done.returncode == 2 and "No space left on device" in done.stderr and "Traceback" not in done.stderr
    assert list(box.logs.glob("*session_*")) == []


def test_a_limit_on_the_size_of_files_is_like_a_full_disk(box: CliSandbox) -> None:
    """The run's own log hits the limit; records and journal are small and do not."""
    box.prefix = ("prlimit", "--fsize=65536:65536")
    flood = "trap '' XFSZ; yes too much; echo done > a.ran; exit 4"
    box.ok("--detach", "--plan", box.plan(shell_run("a", flood) + shell_run("b", "true")))
    assert exit_of(box, "a")["exit_code"] == 4
    assert exit_of(box, "b")["exit_code"] == 0
    box.wait(lambda status: status["state"] == "finished")


NO_LINKS = """
#include <errno.h>
int link(const char *from, const char *to)
{
    (void)from, (void)to;
    errno = EPERM;
    return -1;
}
"""


def test_a_file_system_without_hard_links_is_refused(box: CliSandbox, compile_c: Callable[..., Path]) -> None:
    box.env["LD_PRELOAD"] = str(compile_c("no_links.so", NO_LINKS, "-shared", "-fPIC"))
    done = box.run("--headless", "--plan", box.plan(PAIR))
    assert done.returncode == 2 and "its file system has no hard links" in done.stderr, done
    assert list(box.logs.glob("*session_*")) == []


# Folders


def test_a_logs_folder_that_is_deleted_under_an_engine_ends_it_once_nothing_runs(box: CliSandbox) -> None:
    box.ok("--detach", "--plan", box.plan(PAIR))
    pid = pid_of(box, "a")
    engine = engine_of(box)
    before = cpu_ticks(engine)
    shutil.rmtree(box.logs)
    status = box.wait(lambda status: any("was deleted" in note for note in status["notes"]))
    assert (status["engine_pid"], status["runs"]["a"]["pid"]) == (engine, pid)
    wait_ticks(box)
    assert cpu_ticks(engine) - before < 3 * os.sysconf("SC_CLK_TCK")
    assert is_alive(pid)
    (box.folder / "go").touch()
    wait_until_gone(pid)
    wait_until_gone(engine)
    assert not box.logs.exists(), list(box.logs.rglob("*"))
    assert "no session here" in box.run("status").stderr


def test_a_run_whose_logs_folder_was_deleted_can_still_be_stopped(box: CliSandbox) -> None:
    box.ok("--detach", "--plan", box.plan(shell_run("a", POLITE)))
    wait_until_printed(box, "a", "ready")
    pid = pid_of(box, "a")
    shutil.rmtree(box.logs)
    box.ok("stop", "a")
    wait_until_gone(pid)
    wait_until(lambda: not box.engines(), LONG_S, "the end of the engine")


def test_a_session_whose_logs_folder_was_deleted_can_still_be_ended(box: CliSandbox) -> None:
    box.ok("--detach", "--plan", box.plan(shell_run("a", POLITE)))
    wait_until_printed(box, "a", "ready")
    pid = pid_of(box, "a")
    shutil.rmtree(box.logs)
    assert "the session has ended" in box.ok("down")
    wait_until_gone(pid)
    assert not box.engines()
    assert "no session here" in box.run("down").stderr


def test_a_new_session_in_the_place_of_a_deleted_one_is_not_disturbed_by_the_old_engine(box: CliSandbox) -> None:
    box.ok("--detach", "--plan", box.plan(shell_run("old", UNTIL_GO)))
    old, run = engine_of(box), pid_of(box, "old")
    shutil.rmtree(box.logs)
    box.ok("--detach", "--plan", box.plan(shell_run("new", "until test -e go2; do sleep 0.1; done")))
    pid_of(box, "new")
    assert is_alive(old)
    (box.folder / "go").touch()
    wait_until_gone(run)
    wait_until_gone(old)
    assert box.states() == {"new": "running"}
    (box.folder / "go2").touch()
    assert exit_of(box, "new")["exit_code"] == 0


def test_a_session_goes_on_where_its_logs_folder_was_moved_to(box: CliSandbox) -> None:
    plan = shell_run("a", UNTIL_GO + "; exit 7") + shell_run("b", "true", after_end=["a"])
    box.ok("--detach", "--plan", box.plan(plan))
    pid, engine = pid_of(box, "a"), engine_of(box)
    old, new = box.logs, box.folder / "elsewhere"
    old.rename(new)
    box.wait(lambda status: any("moved: nothing more starts" in note for note in status["notes"]))
    refused = box.run("status", "--logs", str(new))
    assert refused.returncode == 2
    assert f"was moved while its engine (pid {engine}) ran" in refused.stderr
    (box.folder / "go").touch()
    wait_until_gone(pid)
    wait_until_gone(engine)
    assert not old.exists(), list(old.rglob("*"))
    box.logs = new
    box.ok("status", "--logs", str(new))
    assert exit_of(box, "a")["exit_code"] == 7
    assert exit_of(box, "b")["exit_code"] == 0
    assert len(events(box, "attempt_starting", "b")) == 1


@as_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv, to be a root that may not read everything")
def test_a_session_of_another_user_that_may_not_be_read_is_refused_in_one_line(box: CliSandbox) -> None:
    box.ok("--headless", "--plan", box.plan(shell_run("a", "true")))
    (session,) = box.logs.glob("session_*")
    os.chown(session, 65534, 65534)
    box.prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    for verb in (["status"], ["logs", "a"], ["restart", "a"], ["down"]):
        done = box.run(*verb)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done
        assert "is private to nobody; only that user sees its sessions" in done.stderr


def test_a_logs_folder_made_read_only_stops_no_run_and_loses_no_end(nobodys_box: CliSandbox) -> None:
    box = nobodys_box
    box.ok("--detach", "--plan", box.plan(PAIR))
    pid_of(box, "a")
    engine = engine_of(box)
    folders = [box.logs, *(path for path in box.logs.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    try:
        before = cpu_ticks(engine)
        (box.folder / "go").touch()
        status = box.wait(lambda status: any("trying again" in note for note in status["notes"]))
        assert any("Permission denied" in note for note in status["notes"])
        wait_ticks(box)
        assert cpu_ticks(engine) - before < 3 * os.sysconf("SC_CLK_TCK")
        kill_engine(box)
        assert "Traceback" not in box.run("status").stderr
    finally:
        for folder in folders:
            folder.chmod(0o700)
    box.ok("status")
    for run in ("a", "b"):
        assert exit_of(box, run)["exit_code"] == 0
        assert len(events(box, "attempt_starting", run)) == 1


# Logs


@pytest.mark.parametrize("fault", ["truncated", "rotated", "replaced by a FIFO", "replaced by a folder", "deleted"])
def test_a_log_that_is_tampered_with_costs_neither_run_nor_engine_anything(box: CliSandbox, fault: str) -> None:
    script, progress = EPOCHS
    box.ok("--detach", "--plan", box.plan(shell_run("a", script, progress=progress)))
    epoch = box.wait(lambda status: status["runs"]["a"]["progress"].get("epoch"))["runs"]["a"]["progress"]["epoch"]
    (log,) = box.logs.glob("a_*.log")
    (training,) = box.logs.glob("training_*.log")
    for path in (log, training):
        if fault == "truncated":
            os.truncate(path, 0)
            continue
        path.rename(path.with_suffix(".old"))
        if fault == "replaced by a FIFO":
            os.mkfifo(path)
        elif fault == "replaced by a folder":
            path.mkdir()
        elif fault == "deleted":
            path.with_suffix(".old").unlink()
    engine = engine_of(box)
    before = cpu_ticks(engine)
    if fault == "truncated":
        box.wait(lambda status: status["runs"]["a"]["progress"].get("epoch", 0) > epoch + 5)
    else:
        wait_ticks(box)
    assert box.states() == {"a": "running"}
    shown = box.run("logs", "a")
    assert "Traceback" not in shown.stderr and shown.returncode in (0, 2)
    assert cpu_ticks(engine) - before < 3 * os.sysconf("SC_CLK_TCK")
    (box.folder / "go").touch()
    assert exit_of(box, "a")["exit_code"] == 0
    box.wait(lambda status: status["state"] == "finished")
    again = box.run("restart", "a")
    assert again.returncode == 0, again.stderr
    ended = exit_of(box, "a", attempt=2)
    if fault in ("replaced by a FIFO", "replaced by a folder"):
        assert ended["exit_code"] == 127 and str(log) in ended["error"]
    else:
        assert ended["exit_code"] == 0


# Descriptors


def test_64_descriptors_are_enough_for_a_session_and_its_dashboardless_clients(box: CliSandbox) -> None:
    box.prefix = ("prlimit", "--nofile=64:64")
    plan = "".join(shell_run(f"r{number}", "sleep 0.2") for number in range(12))
    done = box.run("--headless", "--plan", box.plan(plan))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("mode", ["--headless", "--detach"])
def test_without_any_process_left_one_line_says_so(nobodys_box: CliSandbox, mode: str) -> None:
    nobodys_box.prefix = (*nobodys_box.prefix, "prlimit", "--nproc=1")
    done = nobodys_box.run(mode, "--plan", nobodys_box.plan(shell_run("a", "true")))
    assert done.returncode == 2 and "ulimit -u" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_command_for_which_there_is_no_process_starts_once_there_is_one(nobodys_box: CliSandbox) -> None:
    """The limit is that of the shim which waits for its attempt; the next one has none."""
    box = nobodys_box
    plan = shell_run("a", UNTIL_GO) + shell_run("b", "exit 5", after=["a"])
    box.ok("--detach", "--plan", box.plan(plan))
    running, engine = parent_of(pid_of(box, "a")), engine_of(box)

    def spares() -> list[int]:
        found = [pid for pid, words in children_of(engine).items() if b"shim.py" in words and pid != running]
        return found if len(found) > 1 else []  # the interpreter that shims are cloned from, and one of them

    def limit(processes: str) -> None:
        for pid in limited:
            subprocess.run([*box.prefix, "prlimit", f"--pid={pid}", f"--nproc={processes}"], check=True)

    limited = wait_until(spares, what="a spare shim")
    limit("1:")
    (box.folder / "go").touch()
    wait_until(lambda: "b: cannot start the command yet" in session_log(box), 30, "a message")
    limit("10000:")
    assert exit_of(box, "b")["exit_code"] == 5
    assert len(events(box, "attempt_starting", "b")) == 1
    assert (box.states()["b"], len(box.log("b").splitlines())) == ("failed", 1)


def session_log(box: CliSandbox) -> str:
    return "".join(path.read_text() for path in box.logs.glob("training_*.log"))
