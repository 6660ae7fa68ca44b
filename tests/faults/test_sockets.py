"""Engines, clients, sockets and locks in each other's way."""

import fcntl
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cli_sandbox import CliSandbox
from support.process_table import (
    UNTIL_GO,
    children_of,
    cpu_ticks,
    engine_of,
    events,
    exit_of,
    kill_engine,
    pid_of,
    shell_run,
    stopped,
)
from support.waiting import wait_until

NOBODY = 65534
TWO = shell_run("a", UNTIL_GO) + shell_run("b", "true", after=["a"])

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")


@pytest.fixture
def session(box: CliSandbox) -> CliSandbox:
    """A session in the background whose run waits for the file `go`."""
    box.ok("--detach", "--plan", box.plan(TWO))
    pid_of(box, "a")
    return box


def socket_of(box: CliSandbox) -> Path:
    (path,) = Path(box.env["XDG_RUNTIME_DIR"]).glob("pmssm-supervise/*.sock")
    return path


def connect(box: CliSandbox) -> socket.socket:
    """A raw connection to the engine."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(str(socket_of(box)))
    return client


def goes_on(box: CliSandbox) -> None:
    """The session ends as if nothing had happened: each run started once and succeeded."""
    (box.folder / "go").touch()
    for run in ("a", "b"):
        assert exit_of(box, run)["exit_code"] == 0
        assert len(events(box, "attempt_starting", run)) == 1


# Two engines


def start_engine(box: CliSandbox) -> "subprocess.Popen[bytes]":
    """One more engine on the newest session, as a client would start it."""
    (session,) = box.logs.glob("session_*")
    stamp = session.name.removeprefix("session_")
    command = [sys.executable, "-m", "pmssm.supervisor.engine", str(box.logs), stamp]
    return subprocess.Popen(command, env=box.env, cwd=box.folder, stderr=subprocess.PIPE)


def test_of_many_engines_on_one_folder_one_stays_and_the_others_leave_without_touching_anything(
    session: CliSandbox,
) -> None:
    kill_engine(session)
    rivals = [start_engine(session) for _ in range(5)]
    wait_until(lambda: sum(rival.poll() is not None for rival in rivals) == 4, what="all but one to leave")
    assert sorted(rival.poll() is None for rival in rivals) == [False, False, False, False, True]
    assert [rival.returncode for rival in rivals].count(0) == 4
    goes_on(session)
    for rival in rivals:
        rival.send_signal(signal.SIGTERM)
        assert rival.communicate(timeout=30) == (None, b"")


def test_many_clients_that_find_the_engine_dead_bring_one_back(session: CliSandbox) -> None:
    kill_engine(session)
    clients = [session.start("status", "--json") for _ in range(5)]
    pictures = [json.loads(client.communicate(timeout=60)[0]) for client in clients]
    assert {picture["engine_pid"] for picture in pictures} == {engine_of(session)}
    goes_on(session)


def test_a_lock_and_a_socket_that_a_dead_engine_left_are_no_obstacle(session: CliSandbox) -> None:
    kill_engine(session)
    assert socket_of(session).is_socket() and (session.logs / ".engine.lock").exists()
    assert session.states() == {"a": "running", "b": "waiting"}
    goes_on(session)


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_something_else_in_the_sockets_place_is_replaced_or_named(session: CliSandbox, what: str) -> None:
    kill_engine(session)
    path = socket_of(session)
    path.unlink()
    if what == "file":
        path.write_text("not a socket")
    elif what == "link":
        path.symlink_to("/nowhere")
    else:
        path.mkdir()
    done = session.run("status")
    if what == "folder":
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert str(path) in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
        path.rmdir()
    else:
        assert done.returncode == 0, done.stderr
    assert session.states()["a"] == "running"
    goes_on(session)


# The socket's folder


@pytest.mark.parametrize("what", ["socket", "folder", "runtime folder"])
def test_an_engine_whose_socket_was_removed_is_found_again(session: CliSandbox, what: str) -> None:
    """As when the last login of a user ends: systemd removes /run/user/UID, and makes it anew at the next."""
    engine = engine_of(session)
    path = socket_of(session)
    if what == "socket":
        path.unlink()
    elif what == "folder":
        shutil.rmtree(path.parent)
    else:
        runtime = path.parent.parent
        shutil.rmtree(runtime)
        runtime.mkdir(mode=0o700)
    status = session.status()
    assert (status["engine_pid"], status["runs"]["a"]["state"]) == (engine, "running")
    goes_on(session)


def test_a_client_with_another_runtime_folder_finds_the_engine(session: CliSandbox, tmp_path: Path) -> None:
    """As with `su`, cron or a batch job, which have none, and a login shell, which has one."""
    engine = engine_of(session)
    for env in ({"TMPDIR": str(tmp_path)}, {"XDG_RUNTIME_DIR": str(tmp_path)}):
        known = {name: value for name, value in session.env.items() if name != "XDG_RUNTIME_DIR"}
        other = CliSandbox(session.folder, Path(env.get("XDG_RUNTIME_DIR", "")), known)
        other.env = {**known, **env}
        assert other.status()["engine_pid"] == engine
    goes_on(session)


def test_without_a_runtime_folder_the_temp_folder_does(box: CliSandbox) -> None:
    del box.env["XDG_RUNTIME_DIR"]
    with tempfile.TemporaryDirectory(prefix="pmssm-") as folder:  # short enough for a socket
        box.env["TMPDIR"] = folder
        box.ok("--detach", "--plan", box.plan(TWO))
        assert box.states()["a"] == "running"
        assert list(Path(folder).glob("pmssm-supervise-*/*.sock"))
        goes_on(box)


def test_a_socket_path_that_is_too_long_is_refused_before_anything_is_written(box: CliSandbox, tmp_path: Path) -> None:
    long = tmp_path / ("d" * 100)
    long.mkdir()
    box.env["XDG_RUNTIME_DIR"] = str(long)
    done = box.run("--detach", "--plan", box.plan(TWO))
    assert done.returncode == 2 and "too long for a socket; set XDG_RUNTIME_DIR" in done.stderr
    assert not box.logs.exists()


@pytest.mark.parametrize("fault", ["open to all", pytest.param("somebody else's", marks=as_root)])
def test_a_runtime_folder_that_is_not_private_is_refused(box: CliSandbox, tmp_path: Path, fault: str) -> None:
    folder = tmp_path / "pmssm-supervise"
    folder.mkdir(mode=0o700)
    if fault == "open to all":
        folder.chmod(0o777)
    else:
        os.chown(folder, NOBODY, NOBODY)
    box.env["XDG_RUNTIME_DIR"] = str(tmp_path)
    done = box.run("--detach", "--plan", box.plan(TWO))
    assert done.returncode == 2 and "is not a private folder of yours" in done.stderr
    assert not box.logs.exists() and list(folder.iterdir()) == []


# Clients


@as_root
def test_another_user_is_refused_even_with_the_sockets_folder_open(session: CliSandbox) -> None:
    path = socket_of(session)
    for opened in [path, *path.parents[:2]]:
        opened.chmod(0o777)
    down = (
        f"import socket, os; os.setuid({NOBODY}); s = socket.socket(socket.AF_UNIX); s.connect({str(path)!r});"
        's.settimeout(30); s.sendall(b\'{"verb": "down"}\\n\'); print(s.recv(100))'
    )
    # The engine is root's here, so the other user is a stranger. The engine of a user obeys root, who could anyway.
    done = subprocess.run([sys.executable, "-I", "-c", down], capture_output=True, text=True, check=False, timeout=60)
    path.parent.chmod(0o700)
    assert done.stdout.strip() == "b''" or "ConnectionResetError" in done.stderr or "BrokenPipe" in done.stderr, done
    assert session.states()["a"] == "running"
    goes_on(session)


@pytest.fixture
def roots_env(nobodys_box: CliSandbox) -> Iterator[dict[str, str]]:
    """The environment in which root uses nobody's box."""
    with tempfile.TemporaryDirectory(prefix="pmssm-") as folder:
        yield {**nobodys_box.env, "XDG_RUNTIME_DIR": folder}


def test_a_session_of_another_user_is_neither_continued_nor_damaged(
    nobodys_box: CliSandbox, roots_env: dict[str, str]
) -> None:
    """Root could, and the runs would be root's from then on."""
    box = nobodys_box
    box.ok("--detach", "--plan", box.plan(TWO))
    pid_of(box, "a")
    kill_engine(box)
    before = {path: path.lstat().st_uid for path in box.logs.rglob("*")}
    as_user, users_env = box.prefix, box.env
    box.prefix, box.env = (), roots_env
    for verb in ("status", "down"):
        done = box.run(verb)
        assert done.returncode == 2 and "is the session of nobody; go on with it as that user" in done.stderr, done
    assert box.engines() == []
    assert {path: path.lstat().st_uid for path in box.logs.rglob("*")} == before
    box.prefix, box.env = as_user, users_env
    box.ok("status")
    goes_on(box)


def test_a_user_who_may_only_read_a_session_gets_one_line(nobodys_box: CliSandbox, roots_env: dict[str, str]) -> None:
    box = nobodys_box
    as_user, users_env = box.prefix, box.env
    box.prefix, box.env = (), roots_env
    box.ok("--detach", "--plan", box.plan(TWO))
    pid_of(box, "a")
    box.logs.chmod(0o755)
    box.prefix, box.env = as_user, users_env
    done = box.run("status")
    assert done.returncode == 2 and "is the session of root" in done.stderr and "Traceback" not in done.stderr, done
    goes_on(box)


def test_clients_that_send_garbage_do_no_harm(session: CliSandbox) -> None:
    engine = engine_of(session)
    nonsense = [
        b"garbage\n",
        b"\0\xff\xfe\x1b[2J\n",
        b"{}\n",
        b'{"verb": "stop"}\n',
        b'{"verb": "stop", "run": "a", "how": "now"}\n',
        b'{"verb": "look", "more": 1}\n',
        b"[" * 60_000 + b"\n",
        b'{"verb": "look"',  # and no more
        b"\n" * 1000,
        b"",
    ]
    for message in nonsense:
        with connect(session) as client:
            client.sendall(message)
            client.shutdown(socket.SHUT_WR)
            while client.recv(1 << 16):
                pass
    with connect(session) as client, pytest.raises(OSError):
        client.sendall(b"x" * 10_000_000)
        client.sendall(b"x" * 10_000_000)
    for _ in range(50):  # gone before the answer
        with connect(session) as client:
            client.sendall(b'{"verb": "look"}\n' * 10)
    assert session.status()["engine_pid"] == engine
    goes_on(session)


def test_a_thousand_clients_that_say_nothing_keep_nobody_out_for_long_and_cost_nothing(session: CliSandbox) -> None:
    engine = engine_of(session)
    crowd = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip("the limit on open files leaves no room for a thousand clients")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    try:
        crowd = [connect(session) for _ in range(1000)]
        before = cpu_ticks(engine)
        assert session.status()["engine_pid"] == engine  # at once, or once the silent ones were shown the door
        (session.folder / "go").touch()
        assert exit_of(session, "b")["exit_code"] == 0
        assert cpu_ticks(engine) - before < 5 * os.sysconf("SC_CLK_TCK")
    finally:
        for client in crowd:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _limit_files(number: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))


def test_with_room_for_64_files_an_engine_holds_off_a_crowd_and_works_on(box: CliSandbox) -> None:
    box.prefix = ("prlimit", "--nofile=64:64")
    box.ok("--detach", "--plan", box.plan(TWO))
    pid_of(box, "a")
    engine = engine_of(box)
    crowd = [connect(box) for _ in range(200)]
    before = cpu_ticks(engine)
    goes_on(box)
    assert box.status()["state"] == "finished"
    assert cpu_ticks(engine) - before < 5 * os.sysconf("SC_CLK_TCK")
    for client in crowd:
        client.close()


def test_a_frozen_engine_is_reported_not_to_answer_and_continues_afterwards(session: CliSandbox) -> None:
    engine = engine_of(session)
    with stopped(engine):
        clients = [session.start(*words) for words in (["status"], ["stop", "a"])]
        for client in clients:
            output, _ = client.communicate(timeout=60)
            assert (
                client.returncode == 2 and f"the engine (pid {engine}) did not answer within 10 s; try again" in output
            ), output
    assert session.status()["engine_pid"] == engine


def test_a_client_waits_for_an_engine_that_is_just_leaving(session: CliSandbox) -> None:
    """It does not listen any more, and has not let go of the lock yet."""
    kill_engine(session)
    lock = os.open(session.logs / ".engine.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    client = session.start("status", "--json")
    wait_until(
        lambda: b"pmssm.supervisor.engine" in b"".join(children_of(client.pid).values()),
        what="an engine that finds the lock taken",
    )
    wait_until(lambda: b"pmssm.supervisor.engine" not in b"".join(children_of(client.pid).values()), what="its end")
    os.close(lock)
    output, _ = client.communicate(timeout=60)
    assert client.returncode == 0, output
    assert json.loads(output)["engine_pid"] == engine_of(session)
    goes_on(session)


def test_an_engine_of_another_machine_is_named(session: CliSandbox) -> None:
    """The logs folder may be on a network file system that several machines see."""
    kill_engine(session)
    path = session.logs / ".engine.lock"
    with path.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        path.write_text(json.dumps({**json.loads(path.read_text()), "host": "elsewhere"}))
        done = session.run("status")
    assert done.returncode == 2 and "is served by an engine on elsewhere; use that machine" in done.stderr
    assert session.states()["a"] == "running"
    goes_on(session)


def test_without_its_lock_file_a_session_still_has_one_engine(session: CliSandbox) -> None:
    engine = engine_of(session)
    (session.logs / ".engine.lock").unlink()
    rival = start_engine(session)
    assert rival.communicate(timeout=30) == (None, b"")
    assert session.engines() == [engine]
    goes_on(session)


def test_modules_in_the_users_folder_are_not_taken_for_the_librarys(box: CliSandbox) -> None:
    for name in ("random", "queue", "asyncio", "pmssm", "psutil"):
        (box.folder / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the user')")
    box.ok("--detach", "--testing")
    assert exit_of(box, "prepare")["exit_code"] == 0
    box.ok("down")
