"""Random access to a log that another process appends to."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.logs import log_file
from pmssm.supervisor.logs.log_file import LogFile


def test_an_open_log_stays_the_same_file_when_another_one_replaces_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    with LogFile(path).open() as file:
        assert file is not None
        (tmp_path / "new").write_bytes(b"new, and longer\n")
        (tmp_path / "new").replace(path)
        assert (file.size, file.read(0, 100)) == (4, b"old\n")
        assert LogFile(path).state()[0] != file.inode
    assert LogFile(path).read(0, 100) == b"new, and longer\n"


def test_what_is_no_regular_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("fifo", "device", "absent", "."):
        with LogFile(tmp_path / name).open() as file:
            assert file is None
        assert LogFile(tmp_path / name).read(0, 10) == b""


def test_an_open_log_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x")
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    for name in ("log", "absent", "."):
        LogFile(tmp_path / name).read(0, 1)
    assert len(os.listdir("/proc/self/fd")) == len(before)  # noqa: PTH208


def test_lines_start_where_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\ntwo\nthree")
    log = LogFile(path)
    assert [log.line_start(offset) for offset in (0, 3, 4, 7, 8, 12)] == [0, 0, 4, 4, 8, 8]
    assert [log.next_line_start(offset) for offset in (0, 1, 4, 5, 8)] == [0, 4, 4, 8, 8]
    assert log.lines_before(8, 5) == (4, b"two\n")
    assert log.lines_after(0, 5) == b"one\n"


@given(text=st.text("a\n", max_size=40), count=st.integers(1, 12), step=st.integers(1, 9))
def test_the_last_lines_start_where_they_are_written(
    text: str, count: int, step: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "last_lines.log"
    path.write_text(text)
    complete = text[: text.rfind("\n") + 1].splitlines(keepends=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_file, "_LARGE_STEP", step)
        start = LogFile(path).last_lines_start(count)
    assert start == sum(map(len, complete[:-count]))
    assert LogFile(path.with_name("absent")).last_lines_start(count) == 0
