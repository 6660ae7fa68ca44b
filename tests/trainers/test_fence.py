"""An attempt that was replaced by a newer one writes nothing more."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pmssm.trainers.errors import FencedError, OptionError
from pmssm.trainers.fence import FENCE_VARIABLE, check_fence
from pmssm.trainers.files import atomic_file, atomic_folder, write_atomic
from pmssm.trainers.training.checkpoint import Checkpoints
from pmssm.trainers.training.epoch_metrics import EpochMetrics
from pmssm.trainers.training.metrics import MetricsWriter
from pmssm.trainers.training.output_lock import exclusive_output

ROW = EpochMetrics(*([1] * len(EpochMetrics._fields)))


@pytest.fixture
def fence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The fence of a run whose second attempt is this process, the newest one."""
    path = tmp_path / "with:colon" / "newest_attempt"
    path.parent.mkdir()
    path.write_text("2\n")
    monkeypatch.setenv(FENCE_VARIABLE, f"{path}:2")
    return path


def _write_file(folder: Path) -> None:
    write_atomic(folder / "result.json", lambda file: file.write(b"new"))


def _write_path(folder: Path) -> None:
    with atomic_file(folder / "result.json") as path:
        path.write_text("new")


def _write_folder(folder: Path) -> None:
    with atomic_folder(folder / "prepared") as path:
        (path / "file").write_text("new")


def _save_checkpoint(folder: Path) -> None:
    Checkpoints(folder, {}).save({"epoch": 1})


def _remove_checkpoints(folder: Path) -> None:
    Checkpoints(folder, {}).remove()


def _load_checkpoint(folder: Path) -> None:
    Checkpoints(folder, {}).load()


def _append_metrics(folder: Path) -> None:
    MetricsWriter(folder).append(ROW)


WRITERS = (
    *(_write_file, _write_path, _write_folder),
    *(_save_checkpoint, _remove_checkpoints, _load_checkpoint, _append_metrics),
)


@pytest.mark.parametrize("write", WRITERS)
def test_the_newest_attempt_writes_and_an_older_one_changes_nothing(
    tmp_path: Path, fence: Path, write: Callable[[Path], None]
) -> None:
    folder = tmp_path / "output"
    folder.mkdir()
    Checkpoints(folder, {}).save({"epoch": 0})
    (folder / "result.json").write_text("old")
    MetricsWriter(folder).rewrite([])
    fence.write_text("3\n")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FencedError, match=r"attempt 2 was replaced by attempt 3 of this run"):
        write(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    fence.write_text("2\n")
    write(folder)


@pytest.mark.parametrize("content", ["", "two\n", "1\n", "2\n"])
def test_a_fence_that_says_nothing_newer_lets_the_attempt_go_on(fence: Path, content: str) -> None:
    fence.write_text(content)
    check_fence()


def test_a_fence_that_cannot_be_read_lets_the_attempt_go_on(fence: Path) -> None:
    fence.unlink()
    check_fence()


@pytest.mark.parametrize("value", ["", "2", ":2", "path:", "path:-1", "path:x"])
def test_a_malformed_fence_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(FENCE_VARIABLE, value)
    with pytest.raises(OptionError, match="must be PATH:NUMBER"):
        check_fence()


def test_the_newest_attempt_takes_over_the_lock_of_an_older_one_alone(
    tmp_path: Path, fence: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_attempt(number: int) -> None:
        monkeypatch.setenv(FENCE_VARIABLE, f"{fence}:{number}")

    def is_refused() -> bool:
        try:
            with exclusive_output(tmp_path):
                return False
        except OptionError as error:
            return "another trainer uses this folder; wait for it or stop it" in str(error)

    with exclusive_output(tmp_path):  # attempt 2
        assert is_refused()
        as_attempt(1)
        assert is_refused()
        monkeypatch.delenv(FENCE_VARIABLE)
        assert is_refused()
        as_attempt(3)
        with exclusive_output(tmp_path):
            assert is_refused()
            as_attempt(2)
            assert is_refused()
        assert not is_refused()
    assert [path.name for path in tmp_path.glob(".lock*")] == [".lock"]


def test_without_a_fence_no_lock_is_taken_over(tmp_path: Path, fence: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FENCE_VARIABLE)
    with exclusive_output(tmp_path):
        monkeypatch.setenv(FENCE_VARIABLE, f"{fence}:2")
        with pytest.raises(OptionError, match="another trainer uses this folder"), exclusive_output(tmp_path):
            pass


def test_a_command_that_is_fenced_off_ends_with_one_line_and_exit_code_3(tmp_path: Path) -> None:
    fence = tmp_path / "newest_attempt"
    fence.write_text("2\n")
    command = [sys.executable, "-P", "-m", "pmssm.trainers", "prepare", "--n-samples", "50", "--output", str(tmp_path)]
    done = subprocess.run(
        command, env={FENCE_VARIABLE: f"{fence}:1"}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 3
    assert "attempt 1 was replaced by attempt 2 of this run" in (done.stdout + done.stderr).splitlines()[-1]
    assert not list(tmp_path.glob("*.json"))
