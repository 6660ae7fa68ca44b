"""A log as pages: any part of it at once."""

import asyncio
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.logs.log_file import MAX_LINE_BYTES
from pmssm.supervisor.logs.pages import PAGE, PagedLog
from pmssm.supervisor.logs.sanitize import sanitize_line
from pmssm.supervisor.logs.search import Search


def written(tmp_path: Path, text: bytes) -> PagedLog:
    (tmp_path / "log").write_bytes(text)
    return PagedLog(tmp_path / "log")


async def all_matches(log: PagedLog, search: Search) -> list[int]:
    """Return the offsets that a search finds from the end upwards."""
    offset = log.tail().end
    while offset:
        page = log.before(offset)
        await search.search_lines(page.lines)
        offset = page.start
    return search.matches


def test_pages_upwards_and_downwards_give_every_line_once(tmp_path: Path) -> None:
    lines = [f"line {number} {'x' * (number % 300)}" for number in range(5000)]
    log = written(tmp_path, "".join(f"{line}\n" for line in lines).encode())
    page, upwards = log.tail(), []
    while page.lines:
        upwards[:0] = [line for _, line in page.lines]
        page = log.before(page.start)
    downwards, offset = [], 0
    while (page := log.after(offset)).lines:
        downwards += [line for _, line in page.lines]
        offset = page.end
    assert upwards == downwards == lines


def test_an_offset_in_the_middle_of_5_gigabytes_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.seek(5 << 30)  # a hole, so that it takes no room
        file.write(b"\nlast line\n")
    assert PagedLog(path).tail().lines[-1][1] == "last line"
    assert PagedLog(path).around(2 << 30).end > 2 << 30


def test_a_line_without_end_is_cut_and_costs_bounded_memory(tmp_path: Path) -> None:
    log = written(tmp_path, b"x" * (MAX_LINE_BYTES + 10 * PAGE) + b"\nlast\n")
    page = log.tail()
    assert page.lines[-1][1] == "last"
    above = log.before(page.lines[-1][0])
    assert above.start > 0
    assert all(len(line) <= 4096 for _, line in above.lines)


def test_a_line_that_is_not_complete_yet_is_not_shown(tmp_path: Path) -> None:
    log = written(tmp_path, b"one\ntw")
    assert [line for _, line in log.tail().lines] == ["one"]
    assert log.after(4).lines == []


def test_a_log_that_is_no_file_is_empty_and_blocks_no_reader(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "absent"):
        log = PagedLog(tmp_path / name)
        assert log.state() == (0, 0)
        assert log.tail().lines == log.after(0).lines == []


lines_of_any_kind = st.lists(st.one_of(st.text("ab é", max_size=6), st.just("\x1b[31ma\x1b[0mb"), st.just("b\ra")))


@given(st.sampled_from(["a", "a.b", "^a", "b$", "[^a]b", "é", r"\w\s"]), lines_of_any_kind)
def test_a_search_finds_the_lines_that_match_as_they_are_shown(
    tmp_path_factory: object, query: str, lines: list[str]
) -> None:
    raw = [line.encode() for line in lines]
    log = written(tmp_path_factory.mktemp("log"), b"".join(line + b"\n" for line in raw))  # type: ignore[attr-defined]
    search, offset, expected = Search(query), 0, []
    for line in raw:
        expected += [offset] if search.pattern.search(sanitize_line(line)) else []
        offset += len(line) + 1
    assert asyncio.run(all_matches(log, search)) == expected
