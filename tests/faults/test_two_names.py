"""One logs folder under two names that share no file lock: one engine only."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pmssm.supervisor.ipc import other_names
from pmssm.supervisor.ipc.engine_lock import EngineLock
from support.cli_sandbox import CliSandbox
from support.process_table import UNTIL_GO, engine_of, exit_of, pid_of, shell_run
from support.waiting import wait_until

PLAN = shell_run("a", UNTIL_GO)


@pytest.fixture
def second_name(box: CliSandbox) -> Iterator[Path]:
    """Another name of the box's logs folder, by a FUSE mount of bindfs."""
    if shutil.which("bindfs") is None or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("needs bindfs and /dev/fuse")
    name = box.folder / "second"
    name.mkdir()
    box.logs.mkdir(mode=0o700)
    mounted = subprocess.run(["bindfs", str(box.logs), str(name)], check=False, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"bindfs cannot mount here: {mounted.stderr}")
    yield name
    subprocess.run(["fusermount", "-u", "-z", str(name)], check=True)


def test_a_second_engine_under_another_name_refuses(box: CliSandbox, second_name: Path) -> None:
    box.ok("--detach", "--plan", box.plan(PLAN))
    pid_of(box, "a")
    engine = engine_of(box)
    for words in (("status",), ("down",)):
        done = box.run(*words, "--logs", str(second_name))
        assert done.returncode == 2, (words, done.stdout)
        assert f"served by an engine (pid {engine}) under the name {box.logs}; use that name" in done.stderr
    done = box.run("--headless", "--plan", "plan.toml", "--logs", str(second_name))
    assert done.returncode == 2 and "a session is running in this folder" in done.stderr
    assert [event["kind"] for event in box.journal()].count("engine_started") == 1
    assert not list(box.logs.glob(".engine.probe*"))
    (box.folder / "go").touch()
    assert exit_of(box, "a")["exit_code"] == 0
    box.wait(lambda status: status["state"] == "finished")


def test_after_the_death_of_the_engine_the_other_name_goes_on_at_once(box: CliSandbox, second_name: Path) -> None:
    box.ok("--detach", "--plan", box.plan(PLAN))
    pid_of(box, "a")
    engine = engine_of(box)
    os.kill(engine, 9)
    wait_until(lambda: not Path(f"/proc/{engine}").exists(), what="its end")
    box.ok("status", "--logs", str(second_name))
    (box.folder / "go").touch()
    box.ok("down", "--logs", str(second_name))
    assert [event["kind"] for event in box.journal()].count("engine_started") == 2


def claim(logs: Path, **changes: object) -> Path:
    """Leave the lock file of an engine on another machine."""
    lock = logs / ".engine.lock"
    lock.write_text(json.dumps({"socket": "/x", "host": "elsewhere", "pid": 1, **changes}))
    return lock


def test_an_engine_on_another_machine_that_renews_its_lock_keeps_the_folder(tmp_path: Path) -> None:
    lock = claim(tmp_path)
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(0.2):
            os.utime(lock)

    renewing = threading.Thread(target=renew)
    renewing.start()
    try:
        assert not EngineLock(tmp_path).acquire()
    finally:
        ended.set()
        renewing.join()


def test_a_dead_or_released_lock_of_another_machine_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_names, "WATCH_S", 0.5)
    claim(tmp_path)
    ours = EngineLock(tmp_path)
    assert ours.acquire()
    ours.release()
    monkeypatch.setattr(other_names, "WATCH_S", 1e6)
    assert EngineLock(tmp_path).acquire()


def test_an_engine_notices_that_another_one_has_taken_over(tmp_path: Path) -> None:
    ours = EngineLock(tmp_path)
    assert ours.acquire()
    ours.publish_address(Path("/x"))
    assert not ours.is_overtaken()
    claim(tmp_path)
    assert ours.is_overtaken()
    ours.release()
