"""The shim as a real process: what it starts, what it ends, what it writes down."""

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pmssm.supervisor.launchers.attempt_files import ATTEMPT_VARIABLE
from pmssm.supervisor.launchers.base import NeverStarted
from pmssm.supervisor.launchers.local_attempt import LocalAttempt
from pmssm.supervisor.launchers.process_identity import ProcessIdentity
from pmssm.supervisor.launchers.shim import NOT_STARTED
from pmssm.supervisor.launchers.shim_channel import ENDED, JOURNALED, is_journaled
from pmssm.supervisor.launchers.shim_pool import IdleShim
from pmssm.supervisor.session.events import Exit
from support.shim_attempts import HEADER, Workplace, is_alive, is_stopped, poll
from support.waiting import wait_until

SLEEP = 'echo $$ > "$here/pid"; exec sleep 600'
LOOP = 'echo $$ > "$here/pid"; while :; do sleep 0.05; done'
STUBBORN = f"trap '' TERM; {LOOP}"


# How a command ends


@pytest.mark.parametrize("code", [0, 1, 2, 126, 143, 255])
def test_the_exit_code_is_recorded(place: Workplace, code: int) -> None:
    record = place.shim(place.spec(f"exit {code}")).exit()
    assert (record["exit_code"], record["signal"], record["stop"], record["leftovers"]) == (code, None, None, 0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM, signal.SIGHUP])
def test_the_signal_that_ended_the_command_is_recorded(place: Workplace, number: signal.Signals) -> None:
    record = place.shim(place.spec(f"ulimit -c 0; kill -{number.value} $$; sleep 600")).exit()
    assert (record["exit_code"], record["signal"], record["stop"]) == (None, number, None)


def test_times_and_resources_are_recorded(place: Workplace) -> None:
    before = time.time()
    record = place.shim(place.spec("exit 0")).exit()
    assert before <= record["ended"] <= time.time()
    assert record["max_rss_mib"] > 0.1
    assert record["user_s"] >= 0
    assert record["system_s"] >= 0


def test_nothing_but_the_records_is_left_in_the_folder(place: Workplace) -> None:
    place.shim(place.spec("exit 0")).exit()
    assert {entry.name for entry in place.folder.iterdir()} == {"spec.json", "process.json", "exit.json"}
    assert {entry.stat().st_mode & 0o077 for entry in place.folder.iterdir() if entry.name != "spec.json"} == {0}


def test_an_error_of_the_shim_itself_is_in_its_log(place: Workplace) -> None:
    place.folder.mkdir()
    (place.folder / "spec.json").write_text("{}")
    idle = IdleShim.spawn()
    idle.assign(place.folder)
    os.waitpid(idle.pid, 0)
    idle.terminate()
    assert "KeyError: 'log'" in (place.folder / "shim.log").read_text()


# What a command gets


def test_output_and_errors_go_into_the_log_after_the_header(place: Workplace) -> None:
    place.log.write_text("an earlier attempt\n")
    place.shim(place.spec("echo out; echo err >&2")).exit()
    assert place.log.read_text() == f"an earlier attempt\n{HEADER}out\nerr\n"


def test_the_environment_is_exactly_the_requested_one(place: Workplace) -> None:
    spec = place.spec(["/usr/bin/env", "-0"], {"CUDA_VISIBLE_DEVICES": "", "ODD": "a=b\nc", "BYTES": "\udcff"})
    place.shim(spec).exit()
    found = set(place.log.read_bytes().removeprefix(HEADER.encode()).rstrip(b"\0\n").split(b"\0"))
    assert found == {
        os.fsencode(f"{name}={value}") for name, value in {**spec.env, ATTEMPT_VARIABLE: str(place.folder)}.items()
    }


def test_standard_input_is_empty_and_no_other_file_is_open(place: Workplace) -> None:
    extra = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(extra, True)
    place.shim(place.spec("cat; readlink /proc/$$/fd/0; ls /proc/$$/fd")).exit()
    os.close(extra)
    assert place.log_lines()[1:] == ["/dev/null", "0", "1", "2"]


def test_no_signal_is_blocked_or_ignored_in_the_command(place: Workplace) -> None:
    place.shim(place.spec(["grep", "-E", "SigBlk|SigIgn", "/proc/self/status"])).exit()
    masks = [int(line.split()[1], 16) for line in place.log_lines()[1:]]
    assert [mask & ~(3 << 31) for mask in masks] == [0, 0]  # 32 and 33 are glibc's own


def test_the_command_leads_a_session_of_its_own(place: Workplace) -> None:
    shim = place.shim(place.spec(SLEEP))
    pid = place.pid("pid")
    assert os.getsid(pid) == os.getpgid(pid) == pid
    shim.send(signal.SIGTERM)
    shim.exit()


def test_the_command_runs_in_its_folder_and_a_relative_one_is_found_there(place: Workplace) -> None:
    (place.path / "sub").mkdir()
    script = place.path / "sub" / "train.sh"
    script.write_text("#!/bin/sh\npwd\n")
    script.chmod(0o755)
    place.shim(place.spec(["./train.sh"], cwd=str(place.path / "sub"))).exit()
    assert place.log_lines()[1:] == [str(place.path / "sub")]


def test_a_bare_command_is_looked_up_on_the_path_that_it_is_given(place: Workplace) -> None:
    (place.path / "bin").mkdir()
    script = place.path / "bin" / "my-trainer"
    script.write_text("#!/bin/sh\necho found\n")
    script.chmod(0o755)
    record = place.shim(place.spec(["my-trainer"], {"PATH": f"{place.path}/bin:/usr/bin:/bin"})).exit()
    assert record["exit_code"] == 0
    assert place.log_lines()[1:] == ["found"]


def test_arguments_are_not_given_to_a_shell(place: Workplace) -> None:
    place.shim(place.spec(["printf", "%s|", "$HOME", "a b", "*", "", "é\n"])).exit()
    assert place.log.read_text() == HEADER + "$HOME|a b|*||é\n|\n"


# Who is who


def test_process_json_identifies_shim_and_command(place: Workplace) -> None:
    before = time.time()
    shim = place.shim(place.spec(SLEEP))
    shim.is_ready()
    record = shim.process()
    assert record["shim"] == ProcessIdentity.of(shim.number).model_dump()  # type: ignore[union-attr]
    assert record["command"] == ProcessIdentity.of(place.pid("pid")).model_dump()  # type: ignore[union-attr]
    assert before <= record["started"] <= time.time()
    shim.send(signal.SIGTERM)
    shim.exit()


# What cannot be started


def failed_start(place: Workplace, record: dict[str, object]) -> str:
    """The reason, which is also the last line of the log where there can be one."""
    assert (record["exit_code"], record["leftovers"]) == (NOT_STARTED, 0)
    reason = str(record["error"])
    if place.log.is_file():
        assert place.log_lines()[-1] == reason
    return reason


def test_a_command_that_does_not_exist_is_named(place: Workplace) -> None:
    record = place.shim(place.spec(["no-such-trainer", "--epochs", "3"])).exit()
    assert failed_start(place, record) == "cannot start no-such-trainer: No such file or directory"


def test_a_file_that_is_no_program_is_named(place: Workplace) -> None:
    (place.path / "data.csv").write_text("1,2\n")
    record = place.shim(place.spec([str(place.path / "data.csv")])).exit()
    assert failed_start(place, record) == f"cannot start {place.path}/data.csv: Permission denied"


def test_a_folder_to_run_in_that_does_not_exist_is_named(place: Workplace) -> None:
    record = place.shim(place.spec(["true"], cwd="/no/such/folder")).exit()
    assert failed_start(place, record) == "cannot start true: /no/such/folder: No such file or directory"


@pytest.mark.parametrize("reader", [False, True])
def test_a_fifo_in_place_of_the_log_neither_blocks_nor_is_written(place: Workplace, reader: bool) -> None:
    os.mkfifo(place.log)
    descriptor = os.open(place.log, os.O_RDONLY | os.O_NONBLOCK) if reader else -1
    record = place.shim(place.spec("echo started")).exit()
    assert failed_start(place, record).startswith(f"cannot start /bin/sh: {place.log}: ")
    if reader:
        assert os.read(descriptor, 100) == b""
        os.close(descriptor)


def test_a_folder_in_place_of_the_log_is_an_error(place: Workplace) -> None:
    place.log.mkdir()
    record = place.shim(place.spec("echo started")).exit()
    assert failed_start(place, record) == f"cannot start /bin/sh: {place.log}: Is a directory"


@pytest.mark.parametrize("env", [{"A=B": "c"}, {"A": "b\0c"}, {"": "x"}])
def test_an_environment_that_no_process_can_have_is_an_error_not_a_crash(place: Workplace, env: dict[str, str]) -> None:
    record = place.shim(place.spec(["true"], env)).exit()
    assert failed_start(place, record).startswith("cannot start true: ")


def test_an_argument_list_that_is_too_long_is_an_error(place: Workplace) -> None:
    record = place.shim(place.spec(["echo", "x" * (1 << 20)])).exit()
    assert failed_start(place, record) == "cannot start echo: Argument list too long"


# Stopping and killing


def test_sigterm_lets_the_command_write_its_checkpoint_and_exit_143(place: Workplace) -> None:
    shim = place.shim(place.spec(f"trap 'echo saved; exit 143' TERM; {LOOP}"))
    place.pid("pid")
    shim.send(signal.SIGTERM)
    record = shim.exit()
    assert (record["exit_code"], record["signal"], record["stop"]) == (143, None, "stop")
    assert place.log_lines()[-1] == "saved"


def test_what_ignores_sigterm_is_killed_after_the_grace(place: Workplace) -> None:
    shim = place.shim(place.spec(STUBBORN, grace_s=0.3))
    pid = place.pid("pid")
    shim.send(signal.SIGTERM)
    record = shim.exit()
    assert (record["signal"], record["stop"]) == (signal.SIGKILL, "stop")
    assert not is_alive(pid)


def test_sigquit_kills_at_once_whatever_the_grace(place: Workplace) -> None:
    shim = place.shim(place.spec(STUBBORN, grace_s=3600))
    place.pid("pid")
    shim.send(signal.SIGQUIT)
    record = shim.exit()
    assert (record["signal"], record["stop"]) == (signal.SIGKILL, "kill")


def test_sigquit_cuts_the_grace_of_a_stop_short(place: Workplace) -> None:
    shim = place.shim(place.spec(f"trap 'echo told > $here/told' TERM; {LOOP}", grace_s=3600))
    place.pid("pid")
    shim.send(signal.SIGTERM)
    place.note("told")
    shim.send(signal.SIGQUIT)
    record = shim.exit()
    assert (record["signal"], record["stop"]) == (signal.SIGKILL, "kill")


def test_many_sigterms_are_one_stop(place: Workplace) -> None:
    shim = place.shim(place.spec(f"trap 'echo told' TERM; {LOOP}", grace_s=1.0))
    place.pid("pid")
    for _ in range(20):
        shim.send(signal.SIGTERM)
        time.sleep(0.01)  # signals that are pending together would be one anyway
    assert shim.exit()["signal"] == signal.SIGKILL
    assert place.log_lines().count("told") == 1


def test_a_stopped_command_still_gets_its_sigterm(place: Workplace) -> None:
    shim = place.shim(place.spec(f"trap 'exit 143' TERM; {LOOP}"))
    pid = place.pid("pid")
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: is_stopped(pid))
    shim.send(signal.SIGTERM)
    assert shim.exit()["exit_code"] == 143


def test_the_whole_process_group_is_stopped(place: Workplace) -> None:
    shim = place.shim(place.spec('sleep 600 & echo $! > "$here/child"; exec sleep 600'))
    child = place.pid("child")
    shim.send(signal.SIGTERM)
    record = shim.exit()
    assert record["signal"] == signal.SIGTERM
    assert not is_alive(child)


def test_the_shim_ignores_the_end_of_its_terminal(place: Workplace) -> None:
    shim = place.shim(place.spec(SLEEP))
    pid = place.pid("pid")
    shim.send(signal.SIGHUP)
    shim.send(signal.SIGINT)
    shim.send(signal.SIGTERM)
    record = shim.exit()
    assert (record["signal"], record["stop"]) == (signal.SIGTERM, "stop")
    assert not is_alive(pid)


# What a command leaves behind


def test_a_grandchild_is_ended_and_counted(place: Workplace) -> None:
    record = place.shim(place.spec('sleep 600 & echo $! > "$here/child"; exit 0')).exit()
    assert (record["exit_code"], record["leftovers"], record["stop"]) == (0, 1, None)
    assert not is_alive(place.pid("child"))


def test_daemons_that_left_the_group_are_ended_and_counted(place: Workplace) -> None:
    daemon = "setsid sh -c 'sh -c \"echo \\$\\$ > $here/daemon{n}; exec sleep 600\" &'"
    both = "[ -s $here/daemon1 ] && [ -s $here/daemon2 ]"
    script = "; ".join(daemon.format(n=n) for n in (1, 2)) + f"; until {both}; do :; done; exit 7"
    record = place.shim(place.spec(script)).exit()
    assert record["exit_code"] == 7
    assert record["leftovers"] >= 2
    assert not is_alive(place.pid("daemon1"))
    assert not is_alive(place.pid("daemon2"))


def test_a_leftover_may_clean_up_first(place: Workplace) -> None:
    script = f"trap 'echo yes > $here/cleaned; exit' TERM; {LOOP}"
    record = place.shim(place.spec(f"sh -c {shlex.quote(script)} & until [ -s $here/pid ]; do :; done")).exit()
    assert record["leftovers"] >= 1
    assert place.note("cleaned") == "yes"


def test_a_leftover_that_ignores_sigterm_is_killed(place: Workplace) -> None:
    script = f"setsid sh -c {shlex.quote(STUBBORN)} & until [ -s $here/pid ]; do :; done"
    record = place.shim(place.spec(script)).exit()
    assert record["exit_code"] == 0
    assert record["leftovers"] >= 1
    assert not is_alive(place.pid("pid"))


def test_a_daemon_of_a_stopped_command_that_ignores_sigterm_is_killed_after_the_grace(place: Workplace) -> None:
    daemon = (
        f"setsid sh -c {shlex.quote(STUBBORN)} & until [ -s $here/pid ]; do :; done; echo > $here/up; exec sleep 600"
    )
    shim = place.shim(place.spec(daemon, grace_s=1.0))
    wait_until((place.path / "up").exists)
    shim.send(signal.SIGTERM)
    record = shim.exit()
    assert (record["signal"], record["stop"]) == (signal.SIGTERM, "stop")
    assert record["leftovers"] >= 1
    assert not is_alive(place.pid("pid"))


# Waits 6 s with its checkpoint, longer than what is left behind may; a second SIGTERM would make it give up.
TRAINER = """
import os, signal, time
told = []
signal.signal(signal.SIGTERM, lambda *_: os._exit(1) if told else told.append(print("SIGTERM", flush=True)))
open(os.environ["here"] + "/pid", "w").write(f"{os.getpid()}\\n")
while not told: time.sleep(0.02)
time.sleep(6)
print("checkpoint written", flush=True)
"""


@pytest.mark.parametrize(
    "wrapper",
    [
        "{python}; echo not reached",
        "{python} & wait",
        "({python}; :); :",
        "setsid --wait {python}; :",
        "trap : TERM; {python}; exit 3",
        "sh -c {python_quoted}; :",
    ],
)
def test_a_program_below_a_wrapper_gets_one_sigterm_and_the_whole_grace(place: Workplace, wrapper: str) -> None:
    (place.path / "trainer.py").write_text(TRAINER)
    python = f"{sys.executable} $here/trainer.py"
    shim = place.shim(place.spec(wrapper.format(python=python, python_quoted=shlex.quote(f"{python}; :"))))
    place.pid("pid")
    shim.send(signal.SIGTERM)
    record = shim.exit()
    assert record["stop"] == "stop"
    assert place.log_lines()[1:] in (["SIGTERM", "checkpoint written"], ["SIGTERM", "checkpoint written", "Terminated"])
    assert not is_alive(place.pid("pid"))


def test_a_program_that_ended_well_after_a_stop_is_no_leftover(place: Workplace) -> None:
    script = f"trap 'sleep 0.3; exit' TERM; {LOOP}"
    shim = place.shim(place.spec(f"sh -c {shlex.quote(script)}; :"))
    place.pid("pid")
    shim.send(signal.SIGTERM)
    record = shim.exit()
    assert (record["signal"], record["leftovers"]) == (signal.SIGTERM, 0)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU])
def test_a_warning_of_a_batch_system_is_a_gentle_stop(place: Workplace, number: signal.Signals) -> None:
    shim = place.shim(place.spec(f"trap 'echo checkpoint; exit 143' TERM; {LOOP}"))
    place.pid("pid")
    shim.send(number)
    record = shim.exit()
    assert (record["exit_code"], record["stop"]) == (143, "stop")
    assert place.log_lines()[-1] == "checkpoint"


def test_a_kill_reaches_daemons_too(place: Workplace) -> None:
    shim = place.shim(place.spec("setsid sleep 600 & echo $! > $here/child; " + SLEEP, grace_s=3600))
    place.pid("pid")
    shim.send(signal.SIGQUIT)
    shim.exit()
    assert not is_alive(place.pid("child"))


def test_a_grandchild_that_holds_the_log_open_does_not_delay_the_end(place: Workplace) -> None:
    record = place.shim(place.spec("(sleep 600; echo late) & echo done")).exit()
    assert record["exit_code"] == 0
    assert place.log_lines()[-1] == "done"


# One attempt, one start


def test_of_many_shims_on_one_folder_one_starts_the_command(place: Workplace) -> None:
    spec = place.spec('echo started >> "$here/starts"; exit 5')
    shims = [place.shim(spec) for _ in range(6)]
    assert [shim.wait() for shim in shims] == [0] * 6
    assert place.note("starts") == "started"
    assert json.loads((place.folder / "exit.json").read_text())["exit_code"] == 5
    assert {entry.name for entry in place.folder.iterdir()} == {"spec.json", "process.json", "exit.json"}


def test_a_shim_that_comes_after_an_engine_gave_it_up_starts_nothing(place: Workplace) -> None:
    assert LocalAttempt.adopt(place.folder).outcome == NeverStarted()
    shim = place.shim(place.spec('echo started > "$here/starts"'))
    assert shim.wait() == 0
    assert not (place.path / "starts").exists()
    assert not place.log.exists()
    assert not (place.folder / "exit.json").exists()
    assert LocalAttempt.adopt(place.folder).outcome == NeverStarted()


# A full disk


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 pages."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("cannot mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(disk: Path, leave_pages: int) -> None:
    with contextlib.suppress(OSError), (disk / "filler").open("ab", buffering=0) as file:
        while os.statvfs(disk).f_bfree > leave_pages:
            file.write(b"x" * 4096)


def test_an_exit_code_is_recorded_although_the_disk_is_full(tiny_disk: Path) -> None:
    place = Workplace(tiny_disk)
    try:
        shim = place.shim(place.spec("cat /dev/zero > $here/filler; echo more; exit 9"))
        record = shim.exit()
        assert os.statvfs(tiny_disk).f_bfree == 0
        assert (record["exit_code"], record["leftovers"]) == (9, 0)
    finally:
        place.end()


@pytest.mark.parametrize("pages", range(7))
def test_however_full_the_disk_a_command_is_either_started_and_recorded_or_not_started(
    pages: int, tiny_disk: Path, tmp_path: Path
) -> None:
    place = Workplace(tiny_disk)
    spec = place.spec(f"echo started >> {tmp_path}/starts; exit 9")
    place.folder.mkdir()
    (place.folder / "spec.json").write_text(" " * 4096)  # its room is taken already
    fill(tiny_disk, pages)
    try:
        place.shim(spec).wait()
        outcome = poll(LocalAttempt(place.folder, -1))
    finally:
        place.end()
    assert isinstance(outcome, Exit)
    if (tmp_path / "starts").exists():
        assert (tmp_path / "starts").read_text() == "started\n"
        assert outcome.exit_code == 9
    else:
        assert outcome.exit_code in (None, NOT_STARTED)
        assert outcome.error or outcome.unseen


def test_the_pid_of_a_command_is_recorded_without_more_room_than_its_start_takes(
    tiny_disk: Path, tmp_path: Path
) -> None:
    place = Workplace(tiny_disk)
    spec = place.spec(f"echo started >> {tmp_path}/starts; exit 9")
    place.folder.mkdir()
    (place.folder / "spec.json").write_text(" " * 4096)
    fill(tiny_disk, 3)  # exit record, claim, log
    try:
        shim = place.shim(spec)
        record = shim.exit()
        assert record["exit_code"] == 9
        assert "command" in shim.process()
    finally:
        place.end()


@pytest.mark.parametrize("engine", ["confirms", "is silent", "is dead"])
def test_a_shim_leaves_the_sync_of_its_record_to_an_engine_that_confirms_it(engine: str) -> None:
    ours, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, its_end:
        if engine == "confirms":
            ours.send(JOURNALED)
        elif engine == "is dead":
            ours.close()
        assert is_journaled(its_end) == (engine == "confirms")
        if engine != "is dead":
            assert ours.recv(16) == ENDED
