"""The place of the socket, and the lock of the one engine."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pmssm.supervisor.ipc.engine_lock import EngineLock
from pmssm.supervisor.ipc.socket_path import MAX_SOCKET_PATH, RuntimeFolderError, socket_path
from support.waiting import wait_until

ROOT = os.getuid() == 0


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's runtime folder."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temp folder, and no runtime folder."""
    folder = tmp_path / "tmp"
    folder.mkdir(mode=0o1777)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return folder


def refusal(logs: Path) -> str:
    with pytest.raises(RuntimeFolderError) as caught:
        socket_path(logs)
    message = str(caught.value)
    assert "XDG_RUNTIME_DIR" in message  # the remedy
    assert "\n" not in message
    return message


# The socket


def test_the_socket_lies_in_a_private_folder_of_the_runtime_folder(runtime: Path, tmp_path: Path) -> None:
    path = socket_path(tmp_path / "logs")
    assert path.parent == runtime / "pmssm-supervise"
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("value", [None, "", "/nowhere/at/all", "relative"])
def test_without_a_usable_runtime_folder_it_lies_in_a_private_folder_of_the_temp_folder(
    value: str | None, temp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "relative").mkdir()
    monkeypatch.chdir(tmp_path)
    if value is not None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", value)
    path = socket_path(tmp_path / "logs")
    assert path.parent == temp / f"pmssm-supervise-{os.getuid()}"
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_mode_is_private_whatever_the_umask(temp: Path) -> None:
    mask = os.umask(0)
    try:
        assert socket_path(temp).parent.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(mask)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o701, 0o1777])
def test_a_folder_that_others_can_enter_is_refused(mode: int, temp: Path) -> None:
    folder = temp / f"pmssm-supervise-{os.getuid()}"
    folder.mkdir()
    folder.chmod(mode)
    assert "is not a private folder of yours" in refusal(temp)


def test_a_link_to_a_private_folder_is_refused(temp: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (temp / f"pmssm-supervise-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    assert "is not a private folder of yours" in refusal(temp)


def test_a_dangling_link_or_a_file_is_refused(temp: Path) -> None:
    folder = temp / f"pmssm-supervise-{os.getuid()}"
    folder.symlink_to(temp / "nowhere")
    refusal(temp)
    folder.unlink()
    folder.touch(mode=0o700)
    refusal(temp)


@pytest.mark.skipif(not ROOT, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(temp: Path) -> None:
    folder = temp / f"pmssm-supervise-{os.getuid()}"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    assert "is not a private folder of yours" in refusal(temp)


@pytest.mark.skipif(ROOT, reason="root may write anywhere")
def test_a_runtime_folder_that_cannot_be_written_is_refused(runtime: Path) -> None:
    runtime.chmod(0o500)
    assert "cannot make the folder for sockets: Permission denied" in refusal(runtime)


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ("d" * 100)
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    assert "too long for a socket" in refusal(tmp_path)


def test_the_longest_path_that_is_accepted_can_be_bound(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tail = len("/pmssm-supervise/0123456789abcdef.sock")
    room = MAX_SOCKET_PATH - tail - len(os.fsencode(runtime)) - 1
    if room < 1:
        pytest.skip("the temp folder's own path is too long")
    folder = runtime / ("d" * room)
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    path = socket_path(runtime)
    assert len(os.fsencode(path)) == MAX_SOCKET_PATH
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.usefixtures("runtime")
def test_every_spelling_of_a_logs_folder_has_the_same_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (tmp_path / "link").symlink_to(logs)
    monkeypatch.chdir(tmp_path)
    spellings = [logs, Path("logs"), Path("./x/../logs"), tmp_path / "link", Path("link"), Path(f"{logs}/")]
    assert len({socket_path(spelling) for spelling in spellings}) == 1
    assert socket_path(tmp_path / "other") != socket_path(logs)


@pytest.mark.usefixtures("runtime")
def test_a_logs_folder_has_its_socket_before_it_exists(tmp_path: Path) -> None:
    before = socket_path(tmp_path / "new")
    (tmp_path / "new").mkdir()
    assert socket_path(tmp_path / "new") == before


# The lock

HOLD_LOCK = """
import subprocess, sys, time
from pathlib import Path
from pmssm.supervisor.ipc.engine_lock import EngineLock
lock = EngineLock(Path(sys.argv[1]))
assert lock.acquire()
child = subprocess.Popen(["sleep", "60"], close_fds=False)
print(child.pid, flush=True)
time.sleep(60)
"""


def test_one_lock_at_a_time(tmp_path: Path) -> None:
    first, second = EngineLock(tmp_path), EngineLock(tmp_path)
    assert first.acquire()
    assert not second.acquire()
    first.release()
    assert second.acquire()
    second.release()
    second.release()


def test_a_lock_dies_with_its_process_even_when_a_child_of_it_lives(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD_LOCK, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    lock = EngineLock(tmp_path)
    try:
        assert not lock.acquire()
        holder.kill()
        holder.wait()
        os.kill(child, 0)  # it lives, and holds nothing
        wait_until(lock.acquire, what="the lock of a dead process")
        lock.release()
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
        os.kill(child, signal.SIGKILL)


def test_a_lock_in_a_folder_that_is_gone_is_an_error_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        EngineLock(tmp_path / "gone").acquire()
