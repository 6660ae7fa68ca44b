"""Cleaning and following logs: known attacks one by one, then arbitrary bytes in arbitrary pieces."""

import os
import re
import tracemalloc
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pmssm.supervisor.logs import follower as logs
from pmssm.supervisor.logs.follower import CHUNK, MAX_BACKLOG, LogFollower
from pmssm.supervisor.logs.progress import parse_progress
from pmssm.supervisor.logs.sanitize import MAX_LINE, sanitize_line

EPOCH = re.compile(r"Epoch (?P<epoch>\d+)(?:/(?P<epochs>\d+))? \| Train MSE = (?P<train_loss>\S+)")

# Bytes in which attacks are likelier than in uniform ones.
INTRODUCERS = [b"\x1b", b"[", b"]", b"P", b"\\", b"\x07", b"\x9b", b"\xc2\x9b", b"\xc2\x9d", b"\xc2\x90"]
OTHERS = [b"\r", b"\t", b"\xff", b"\x00", b"\x0b", b"\x7f", b" ", b"0;1m", b"8;;http://x", b"text"]
UNICODE = [char.encode() for char in "\u202e\u200b\ufeff\U000e0041\u2028\u00adé日"]
NASTY = st.lists(st.sampled_from(INTRODUCERS + OTHERS + UNICODE), max_size=40).map(b"".join)


# clean_line


@given(st.binary(max_size=300) | NASTY)
@example(b"\x1b" * 3 + b"[31m")
@example(b"\x1b\x1b[0m[31mred")
def test_nothing_that_steers_a_terminal_survives_cleaning(raw: bytes) -> None:
    text = sanitize_line(raw)
    assert text.isprintable()
    assert {unicodedata.category(char) for char in text}.isdisjoint({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
    assert len(text) <= MAX_LINE


@given(st.binary(max_size=300) | NASTY | st.text(min_size=MAX_LINE, max_size=MAX_LINE + 50).map(str.encode))
def test_cleaning_a_clean_line_changes_nothing(raw: bytes) -> None:
    text = sanitize_line(raw)
    assert sanitize_line(text.encode()) == text


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=200))
def test_printable_text_is_left_as_it_is(text: str) -> None:
    assert sanitize_line(text.encode()) == text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"\x1b[1;31mred\x1b[0m plain", "red plain"),
        (b"\x1b[2J\x1b[10;10Hover the screen", "over the screen"),
        (b"\x1b[?1049hother screen", "other screen"),
        (b"\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\ me", "click me"),
        (b"\x1b]8;;https://evil.example\x07click\x1b]8;;\x07 me", "click me"),
        (b"\x1b]52;c;ZXZpbA==\x07clipboard", "clipboard"),
        (b"\x1b]0;title\x9cstill the title", ""),  # a lone 0x9c is no character of UTF-8, so it ends nothing
        ("\x1b]0;title\x9cafter".encode(), "after"),
        (b"\x1bP1$r0m\x1b\\after DCS", "after DCS"),
        (b"\x1b_APC\x1b\\\x1b^PM\x1b\\\x1bXSOS\x1b\\after", "after"),
        ("\x9b31mC1\x9d52;c;x\x07 done".encode(), "C1 done"),
        (b"before\x1b]52;c;never ended", "before"),
        (b"before\x1b[31", "before"),
        (b"before\x1b", "before"),
        (b"\x1bcreset\x1b(0charset\x1b7saved", "resetcharsetsaved"),
        (b" 10%\r 50%\r100%", "100%"),
        (b" 10%\r 50%\r100%\r\n", "100%"),
        (b"windows\r\n", "windows"),
        (b"a\x00b\x07c\x08d\x7fe", "abcde"),
        (b"a\tb", "a       b"),
        (b"bad \xff\xfe utf-8 \xc3", "bad \ufffd\ufffd utf-8 \ufffd"),
        ("right\u202eto\u2066left\u200ezero\u200bwidth\ufeffmark\u2060".encode(), "righttoleftzerowidthmark"),
        ("line\u2028separator\x85next".encode(), "line separator next"),
        (b"[/x] [bold]markup[/] is only text", "[/x] [bold]markup[/] is only text"),
        (b"\\x1b[31m written out", "\\x1b[31m written out"),
        (b"", ""),
    ],
)
def test_known_attacks_leave_their_text_alone(raw: bytes, shown: str) -> None:
    assert sanitize_line(raw) == shown


def test_a_line_of_ten_megabytes_ends_in_an_ellipsis() -> None:
    text = sanitize_line(b"x" * 10_000_000)
    assert text == "x" * (MAX_LINE - 1) + "…"


@pytest.mark.parametrize("unit", [b"\x1b[31m", b"\x1b]8;;", b"\t", b"\xff", b"\x1b", b"\r", b"ab\x00"])
def test_ten_megabytes_of_one_attack_are_bounded_too(unit: bytes) -> None:
    text = sanitize_line(unit * (10_000_000 // len(unit)))
    assert len(text) <= MAX_LINE
    assert text.isprintable()


def test_a_line_of_exactly_the_limit_is_whole() -> None:
    assert sanitize_line(b"x" * MAX_LINE) == "x" * MAX_LINE


# parse_progress


def test_progress_finds_the_numbers_of_the_groups() -> None:
    line = "2026-01-22 15:31:00 [info     ] transformer          | Epoch 0100/2000 | Train MSE = 1.5e-4"
    assert parse_progress(EPOCH, line) == {"epoch": 100, "epochs": 2000, "train_loss": 1.5e-4}


def test_a_group_that_took_no_part_is_absent() -> None:
    assert parse_progress(EPOCH, "Epoch 7 | Train MSE = 0.5") == {"epoch": 7, "train_loss": 0.5}


def test_a_line_without_progress_gives_none() -> None:
    assert parse_progress(EPOCH, "loading data") == {}


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "9" * 400, "soon", "0x10", "1__0", "", "--1"])
def test_what_is_no_finite_number_is_left_out(text: str) -> None:
    assert parse_progress(re.compile(r"loss=(?P<loss>.*)"), f"loss={text}") == {}


@pytest.mark.parametrize("text", ["0.123456789012345678901234567890", "-1234567.12345678901234", "1e-300"])
def test_a_number_with_many_digits_is_still_a_number(text: str) -> None:
    assert parse_progress(re.compile(r"loss=(?P<loss>\S+)"), f"loss={text}") == {"loss": float(text)}


@given(st.text(max_size=60))
def test_whatever_a_group_matches_progress_is_finite_and_fits_the_wire(text: str) -> None:
    for number in parse_progress(re.compile(r"(?P<value>.*)", re.DOTALL), text).values():
        assert abs(number) < float("inf")
        assert isinstance(number, float) or abs(number) < 2**63


# LogFollower


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
        patch.setattr(logs, "CHUNK", chunk)
        patch.setattr(logs, "MAX_LINE", 10_000)  # a cut line shows its beginning; here every line is whole
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


def test_a_progress_bar_that_ends_each_picture_with_a_return_keeps_its_last_picture(tmp_path: Path) -> None:
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


def test_near_end_begins_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(100)))
    assert drain(LogFollower.near_end(path, keep=20)) == ["line 98", "line 99"]


def test_near_end_of_a_short_or_absent_file_is_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    follower = LogFollower.near_end(path)
    path.write_bytes(b"only\n")
    assert drain(follower) == ["only"]
    assert drain(LogFollower.near_end(path)) == ["only"]


def test_a_follower_that_starts_at_an_offset_skips_what_is_before(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"attempt 1\nattempt 2\n")
    assert drain(LogFollower(path, offset=len(b"attempt 1\n"))) == ["attempt 2"]
