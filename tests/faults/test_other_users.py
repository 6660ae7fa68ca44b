"""Other users: who may write to the logs folder, who may not read it, who would share it."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli_sandbox import CliSandbox
from support.process_table import UNTIL_GO, kill_engine, pid_of, shell_run

NOBODY, STRANGER = 65534, 65533
LOOKED = '[runs.a]\ncommand = ["true"]\nslot = "none"\n'


@pytest.fixture
def open_box(nobodys_box: CliSandbox) -> CliSandbox:
    """A box of nobody whose logs folder anybody may write to."""
    nobodys_box.logs.mkdir()
    nobodys_box.logs.chmod(0o777)
    os.chown(nobodys_box.logs, NOBODY, NOBODY)
    return nobodys_box


@pytest.fixture
def as_root(nobodys_box: CliSandbox) -> Iterator[CliSandbox]:
    """The same folder, used by root; the runtime folder is nobody's, so root takes another one."""
    runtime = nobodys_box.folder.parent / "roots"
    runtime.mkdir(mode=0o700)
    yield CliSandbox(nobodys_box.folder, runtime, nobodys_box.env)


def refusal(box: CliSandbox, *words: str) -> str:
    """The one line with which a command refuses."""
    done = box.run(*words)
    assert done.returncode == 2, (words, done.stdout, done.stderr)
    (line,) = done.stderr.splitlines()
    return line


def test_a_planted_link_in_place_of_the_lock_is_refused_and_its_target_stays(open_box: CliSandbox) -> None:
    target = open_box.folder / "precious"
    target.write_text("precious")
    os.chown(target, NOBODY, NOBODY)
    (open_box.logs / ".engine.lock").symlink_to(target)
    line = refusal(open_box, "--headless", "--plan", open_box.plan(LOOKED))
    assert ".engine.lock: is a link, which could lead to any file; remove it, or choose another folder" in line
    assert target.read_text() == "precious"


def test_nothing_is_written_through_a_planted_link_in_place_of_a_log(open_box: CliSandbox) -> None:
    open_box.ok("--detach", "--plan", open_box.plan(shell_run("a", UNTIL_GO) + shell_run("b", "true", after=["a"])))
    pid_of(open_box, "a")
    (session,) = open_box.logs.glob("session_*")
    stamp = session.name.removeprefix("session_")
    target = open_box.folder / "precious"
    target.write_text("precious")
    os.chown(target, NOBODY, NOBODY)
    (open_box.logs / f"b_{stamp}.log").symlink_to(target)
    (open_box.logs / f"training_{stamp}.log").unlink()
    (open_box.logs / f"training_{stamp}.log").symlink_to(target)
    (open_box.folder / "go").touch()
    status = open_box.wait(lambda status: status["state"] == "finished")
    assert status["runs"]["b"]["state"] == "failed"
    assert "Too many levels of symbolic links" in status["runs"]["b"]["reason"]
    assert target.read_text() == "precious"


def test_a_forged_lock_sends_no_client_to_a_strangers_socket(open_box: CliSandbox) -> None:
    open_box.ok("--headless", "--plan", open_box.plan(LOOKED))
    name = json.loads((open_box.logs / ".engine.lock").read_text())["socket"].rpartition("/")[2]
    path = open_box.folder.parent / name
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o777)
        listener.listen()
        heard: list[bytes] = []
        server = threading.Thread(target=answer_nothing, args=(listener, heard), daemon=True)
        server.start()
        forged = {"socket": str(path), "host": socket.gethostname(), "pid": os.getpid()}
        lock = open_box.logs / ".engine.lock"
        lock.write_text(json.dumps(forged))  # still nobody's file: only the peer tells that root listens there
        open_box.ok("status")
        assert "has finished already" in open_box.ok("down")
        os.chown(lock, STRANGER, STRANGER)
        lock.chmod(0o666)
        open_box.ok("status")
        assert heard == []
        line = refusal(open_box, "--headless", "--plan", "plan.toml")
    assert "is the logs folder of uid 65533" in line
    assert "two users cannot share one, because its engine runs all commands as one user; choose another" in line


def answer_nothing(listener: socket.socket, heard: list[bytes]) -> None:
    """Note what clients send."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            received = connection.recv(1000)
            if received:
                heard.append(received)


def test_a_planted_session_runs_nothing(open_box: CliSandbox) -> None:
    """Its plan would run as the user who looks at the folder."""
    open_box.ok("--detach", "--plan", open_box.plan(shell_run("a", UNTIL_GO)))
    pid_of(open_box, "a")
    kill_engine(open_box)
    (session,) = open_box.logs.glob("session_*")
    for name in ("plan.toml", "settings.json"):
        os.chown(session / name, STRANGER, STRANGER)
        (session / name).chmod(0o644)
        line = refusal(open_box, "status")
        assert f"{name}: is the session of uid 65533; go on with it as that user" in line
        os.chown(session / name, NOBODY, NOBODY)
    (open_box.folder / "go").touch()
    open_box.wait(lambda status: status["state"] == "finished")


def test_a_private_folder_of_another_user_is_called_that(nobodys_box: CliSandbox) -> None:
    box = nobodys_box
    logs = box.folder / "roots_logs"
    logs.mkdir(mode=0o700)
    for words in (("status",), ("sessions",), ("down",), ("--headless", "--plan", box.plan(LOOKED))):
        line = refusal(box, *words, "--logs", str(logs))
        assert f"{logs}: cannot be read: it is private to root; only that user sees its sessions" in line
        assert "choose a folder of your own with --logs" in line


def test_two_users_cannot_share_a_folder_and_the_line_says_why(open_box: CliSandbox, as_root: CliSandbox) -> None:
    as_root.ok("--headless", "--plan", as_root.plan(LOOKED))
    line = refusal(open_box, "--headless", "--plan", "plan.toml")
    assert "is the logs folder of root" in line and "because its engine runs all commands as one user" in line


def test_root_in_an_interrupted_session_of_a_user_is_not_sent_to_attach(
    nobodys_box: CliSandbox, as_root: CliSandbox
) -> None:
    nobodys_box.ok("--detach", "--plan", nobodys_box.plan(shell_run("a", UNTIL_GO)))
    pid_of(nobodys_box, "a")
    kill_engine(nobodys_box)
    line = refusal(as_root, "--headless", "--plan", "plan.toml")
    assert "attach" not in line and "choose another folder with --logs" in line
    assert "of nobody" in line
    (nobodys_box.folder / "go").touch()
    nobodys_box.wait(lambda status: status["state"] == "finished")
    assert Path(nobodys_box.logs / ".engine.lock").stat().st_uid == NOBODY
