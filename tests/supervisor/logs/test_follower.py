"""Following a log: arbitrary bytes in arbitrary pieces, files that are truncated, replaced, or no files at all."""

import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pmssm.supervisor.logs import follower as follower_module
from pmssm.supervisor.logs.follower import CHUNK, MAX_BACKLOG, LogFollower
from pmssm.supervisor.logs.sanitize import sanitize_line


def drain(follower: LogFollower) -> list[str]:
    lines: list[str] = []
    while new := follower.read():
        lines += new
    return lines


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


LOG_BYTES = st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"bc", "é".encode(), b"\x1b[0m", b"\x00"])).map(
    b"".join
)


@given(pieces=st.lists(LOG_BYTES, max_size=8), chunk=st.integers(1, 64))
def test_a_log_written_in_any_pieces_reads_as_if_written_at_once(
    pieces: list[bytes], chunk: int, scratch: Path
) -> None:
    path = scratch / "pieces.log"
    path.unlink(missing_ok=True)
    follower = LogFollower(path)
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(follower_module, "CHUNK", chunk)
        patch.setattr(follower_module, "MAX_LINE", 10_000)  # a cut line shows its beginning; here every line is whole
        for piece in pieces:
            append(path, piece)
            lines += drain(follower)
    whole = b"".join(pieces).split(b"\n")[:-1]
    assert lines == [sanitize_line(line) for line in whole]


@given(before=st.integers(0, 3 * CHUNK), redrawn=st.booleans(), end=st.sampled_from([b"\n", b"\r\n"]))
@settings(max_examples=15)
def test_a_line_longer_than_a_chunk_shows_what_it_shows_when_short(
    before: int, redrawn: bool, end: bytes, scratch: Path
) -> None:
    path = scratch / "long.log"
    bars = b" 50%\r" * (before // 5) if redrawn else b"y" * before
    path.write_bytes(b"first\n" + bars + b"100%" + end + b"last\n")
    assert drain(LogFollower(path)) == ["first", sanitize_line(bars + b"100%"), "last"]


def test_a_progress_bar_that_ends_each_frame_with_a_return_keeps_its_last_frame(tmp_path: Path) -> None:
    path = tmp_path / "bar.log"
    path.write_bytes(b" 50%\r" * (CHUNK // 5) + b"done\r")
    follower = LogFollower(path)
    assert follower.read() == []
    append(path, b"\n")
    assert follower.read() == ["done"]


def test_a_line_appears_once_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"one\ntw")
    follower = LogFollower(path)
    assert follower.read() == ["one"]
    assert follower.read() == []
    append(path, b"o\n")
    assert follower.read() == ["two"]


def test_a_file_that_does_not_exist_yet_is_followed_from_its_beginning(tmp_path: Path) -> None:
    follower = LogFollower(tmp_path / "later.log")
    assert follower.read() == []
    (tmp_path / "later.log").write_bytes(b"here\n")
    assert follower.read() == ["here"]


def test_a_truncated_file_is_read_from_its_new_beginning(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"old line\nhalf a li")
    follower = LogFollower(path)
    drain(follower)
    path.write_bytes(b"new\n")
    assert drain(follower) == ["new"]


def test_a_rotated_file_is_followed_into_its_successor(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"old\nhalf")
    follower = LogFollower(path)
    drain(follower)
    path.rename(tmp_path / "a.log.1")
    assert follower.read() == []
    path.write_bytes(b"a longer line than the old file had\n")
    assert drain(follower) == ["a longer line than the old file had"]


def test_a_deleted_file_reads_as_silence(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"old\n")
    follower = LogFollower(path)
    drain(follower)
    path.unlink()
    assert follower.read() == []


def test_a_fifo_in_place_of_the_log_reads_as_silence_and_never_blocks(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    os.mkfifo(path)
    follower = LogFollower(path)
    assert follower.read() == []
    writer = os.open(path, os.O_RDWR)
    try:
        os.write(writer, b"from the pipe\n")
        assert follower.read() == []
    finally:
        os.close(writer)


def test_a_device_in_place_of_the_log_reads_as_silence(tmp_path: Path) -> None:
    (tmp_path / "a.log").symlink_to("/dev/zero")
    follower = LogFollower(tmp_path / "a.log")
    assert follower.read() == []
    assert follower.offset == 0


def test_a_folder_in_place_of_the_log_reads_as_silence(tmp_path: Path) -> None:
    assert LogFollower(tmp_path).read() == []


def test_an_endless_line_takes_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "endless.log"
    follower = LogFollower(path)
    tracemalloc.start()
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(40):
                file.write(b"z" * CHUNK)
                assert follower.read() == []
            peak = tracemalloc.get_traced_memory()[1]
            file.write(b"\nnext\n")
    finally:
        tracemalloc.stop()
    assert peak < 8 * CHUNK
    lines = drain(follower)
    assert [line[:1] for line in lines] == ["z", "n"]
    assert lines[0].endswith("…")


def test_a_follower_far_behind_jumps_to_the_newest_lines(tmp_path: Path) -> None:
    path = tmp_path / "flood.log"
    count = MAX_BACKLOG // 8 + 1000
    path.write_bytes(b"".join(b"%07d\n" % number for number in range(count)))
    lines = drain(LogFollower(path))
    assert lines[-1] == f"{count - 1:07d}"
    assert len(lines) * 8 <= CHUNK
    assert lines == [f"{number:07d}" for number in range(count - len(lines), count)]  # whole lines, none missing


def test_a_follower_from_the_tail_starts_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(100)))
    assert drain(LogFollower.from_tail(path, keep=20)) == ["line 98", "line 99"]


def test_a_follower_from_the_tail_of_a_short_or_absent_file_starts_at_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    follower = LogFollower.from_tail(path)
    path.write_bytes(b"only\n")
    assert drain(follower) == ["only"]
    assert drain(LogFollower.from_tail(path)) == ["only"]


def test_a_follower_that_starts_at_an_offset_skips_what_is_before(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"attempt 1\nattempt 2\n")
    assert drain(LogFollower(path, offset=len(b"attempt 1\n"))) == ["attempt 2"]
