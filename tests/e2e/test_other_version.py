"""The command beside an engine of another version: one line says what to do."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.cli_sandbox import CliSandbox
from support.waiting import wait_until

PLAN = '[runs.a]\ncommand = ["sleep", "100"]\n'
# Listens where the engine of a logs folder would, and answers every request with the same line.
FOREIGN = """
import socket, sys
from pathlib import Path
from pmssm.supervisor.ipc.engine_lock import EngineLock
from pmssm.supervisor.ipc.socket_path import socket_path
assert sys.argv[1] == "pmssm.supervisor.engine_process"
logs = Path(sys.argv[2])
lock = EngineLock(logs)
assert lock.acquire()
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(str(socket_path(logs)))
    listener.listen()
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb") as stream:
            while stream.readline():
                stream.write(sys.argv[3].encode() + b"\\n")
                stream.flush()
"""
SNAPSHOT = (
    '{"session": "%s", "name": "x", "state": "running", "mode": null, "logs": "/l", "folder": "/f", '
    '"engine_pid": 1, "taken_at": 0, "runs": %s}'
)
OTHER_SNAPSHOTS = {
    "an unknown state": SNAPSHOT % ("20260122_153100", '{"a": {"state": "hibernating"}}'),
    "a field that is missing": '{"session": "20260122_153100"}',
}
DID_NOT_UNDERSTAND = '{"ok": false, "message": "not a request: Input tag \'look\' does not match"}'


@pytest.fixture
def start_foreign_engine(box: CliSandbox) -> Iterator[Callable[[str], int]]:
    """Start an engine, as it were, of another version, which gives one answer; returns its pid."""
    with contextlib.ExitStack() as ending:

        def start(answer: str) -> int:
            box.logs.mkdir()
            command = [sys.executable, "-c", FOREIGN, "pmssm.supervisor.engine_process", str(box.logs), answer]
            engine = subprocess.Popen(command, env=box.env, stdout=subprocess.PIPE, text=True)
            ending.callback(engine.communicate)
            ending.callback(engine.kill)
            assert engine.stdout is not None and engine.stdout.readline() == "listening\n"
            return engine.pid

        yield start


def refusal(box: CliSandbox, *arguments: str) -> str:
    """The one line with which a command ends."""
    done = box.run(*arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("name", OTHER_SNAPSHOTS)
def test_a_snapshot_of_another_version_is_answered_with_what_to_do(
    box: CliSandbox, start_foreign_engine: Callable[[str], int], name: str
) -> None:
    pid = start_foreign_engine(OTHER_SNAPSHOTS[name])
    assert refusal(box, "status") == (
        f"pmssm-supervise: the engine of session 20260122_153100 (pid {pid}) is of another version of "
        "pmssm-supervise; end the session with that version's `pmssm-supervise down`, or end the engine alone with "
        f"`kill -TERM {pid}` (the runs go on) and call again"
    )


def test_an_engine_that_does_not_understand_a_command_is_named(
    box: CliSandbox, start_foreign_engine: Callable[[str], int]
) -> None:
    pid = start_foreign_engine(DID_NOT_UNDERSTAND)
    for arguments in (["status"], ["stop", "a"], ["restart", "a"]):
        assert f"the engine (pid {pid}) is of another version" in refusal(box, *arguments)


def test_garbage_instead_of_a_snapshot_is_no_traceback(
    box: CliSandbox, start_foreign_engine: Callable[[str], int]
) -> None:
    pid = start_foreign_engine("]")
    assert f"the engine (pid {pid}) is of another version" in refusal(box, "status")


def test_ending_the_engine_alone_as_the_message_says_lets_the_runs_go_on(box: CliSandbox) -> None:
    box.ok("--detach", "--plan", box.plan(PLAN))
    before = box.wait(lambda status: status["runs"]["a"]["pid"])
    os.kill(before["engine_pid"], signal.SIGTERM)
    wait_until(lambda: not Path(f"/proc/{before['engine_pid']}").exists())
    after = box.status()
    assert after["engine_pid"] != before["engine_pid"]
    assert after["runs"]["a"]["pid"] == before["runs"]["a"]["pid"]


def test_a_snapshot_that_has_only_gained_fields_is_understood(
    box: CliSandbox, start_foreign_engine: Callable[[str], int]
) -> None:
    newer: Any = SNAPSHOT % ("20260122_153100", '{"a": {"state": "running", "colour": "red"}}')
    start_foreign_engine(newer.replace("{", '{"version": "9", ', 1))
    assert "session 20260122_153100 (x): running" in box.ok("status")
