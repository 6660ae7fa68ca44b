"""All logs as one text by time: every line once, from any offset, however long the logs are."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.logs import merged_history, merged_log
from pmssm.supervisor.logs.line_format import abbreviate_prefixed
from pmssm.supervisor.logs.merged_log import MergedLog
from pmssm.supervisor.logs.pages import Page
from pmssm.supervisor.logs.search import Search

START = 1_769_000_000


def line(second: int, name: str, text: str) -> str:
    """A line as trainers write it, `second` seconds after a fixed time."""
    at = datetime.fromtimestamp(START + second, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S} [info     ] {name:<20} | {text}\n"


def upwards(log: MergedLog) -> list[str]:
    """All lines, by pages from the end."""
    page, lines = log.tail(), list[str]()
    while True:
        lines[:0] = words(page)
        if page.start <= 0:
            return lines
        above = log.before(page.start)
        assert above.end == page.start
        assert above.start < page.start
        page = above


def downwards(log: MergedLog) -> list[str]:
    """All lines, by pages from the beginning."""
    offset, lines = 0, list[str]()
    while (page := log.after(offset)).lines:
        lines += words(page)
        offset = page.end
    assert offset == log.state()[1]
    return lines


def words(page: Page) -> list[str]:
    """The last word of each line."""
    return [text.split()[-1] for _, text in page.lines]


def test_lines_are_in_the_order_of_their_times_and_those_without_one_stay_with_theirs(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text(line(1, "one", "first") + "  continued\n" + line(5, "one", "fourth"))
    two.write_text(line(2, "two", "second") + line(3, "two", "third"))
    log = MergedLog({"one": one, "two": two, "absent": tmp_path / "absent"})
    shown = [text for _, text in log.tail().lines]
    assert words(log.tail()) == ["first", "continued", "second", "third", "fourth"]
    assert all((" one " in text) != (" two " in text) for text in shown)
    assert {length: abbreviate_prefixed(shown[0], length) for length in ("short", "bare", "whole")} == {
        "short": "12:53:21 one    first",
        "bare": "one    first",
        "whole": "2026-01-21 12:53:21 one    first",
    }


def test_new_lines_come_below_and_pages_go_back_through_them_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merged_log, "PAGE", 200)
    paths = {name: tmp_path / name for name in ("one", "two", "late")}
    for name in ("one", "two"):
        paths[name].write_text(line(1, name, f"{name}-0"))
    log, expected = MergedLog(paths), ["one-0", "two-0"]
    identity, end = log.state()
    for number in range(1, 40):
        for name in ("two", "one"):
            with paths[name].open("a") as file:
                file.write(line(100 - number, name, f"{name}-{number}") + "unended")
            log.state()
            with paths[name].open("a") as file:
                file.write(f" {name}-{number}b\n")
            expected += [f"{name}-{number}"]
            before, now = end, log.state()[1]
            expected += [f"{name}-{number}b"]
            end = now
            assert log.count(before, now) == 2
    assert upwards(log) == downwards(log) == expected
    assert log.state()[0] == identity


def test_a_log_that_is_created_later_is_shown_from_its_first_line(tmp_path: Path) -> None:
    one, late = tmp_path / "one", tmp_path / "late"
    one.write_text(line(1, "one", "first"))
    log = MergedLog({"one": one, "late": late})
    late.write_text(line(2, "late", "second"))
    deadline = time.monotonic() + 10
    while log.state()[1] == one.stat().st_size:
        assert time.monotonic() < deadline
    assert upwards(log) == ["first", "second"]


def test_a_truncated_or_replaced_log_rebuilds_the_text(tmp_path: Path) -> None:
    one = tmp_path / "one"
    one.write_text(line(1, "one", "first") + line(2, "one", "second"))
    log = MergedLog({"one": one})
    before, _ = log.state()
    one.write_text(line(3, "one", "third"))
    assert log.state()[0] != before
    assert upwards(log) == ["third"]


def test_lines_without_timestamps_are_spread_over_the_time_the_program_took(tmp_path: Path) -> None:
    plain, timed = tmp_path / "plain", tmp_path / "timed"
    attempt = line(0, "plain", "attempt 1 on the CPU: sh")
    plain.write_text(attempt + "".join(f"plain{number:04}\n" for number in range(1000)))
    timed.write_text("".join(line(second, "timed", f"timed{second:04}") for second in range(1000)))
    ended = datetime.fromtimestamp(START + 1000, UTC).replace(tzinfo=None).timestamp()
    os.utime(plain, (ended, ended))
    lines = upwards(MergedLog({"plain": plain, "timed": timed}))
    for number in range(0, 1000, 100):
        assert abs(lines.index(f"plain{number:04}") - lines.index(f"timed{number:04}")) < 20


lines_of_a_log = st.lists(
    st.tuples(st.integers(-3, 9), st.booleans(), st.integers(0, 120)), max_size=60
)  # seconds since the line before, whether it has a timestamp, its length


@given(st.lists(lines_of_a_log, max_size=4), st.integers(100, 3000), st.sampled_from([300, 1 << 19]), st.booleans())
def test_pages_upwards_and_downwards_give_every_line_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, logs: list[list[tuple[int, bool, int]]], page: int, most: int, back: bool
) -> None:
    folder = tmp_path_factory.mktemp("logs")
    paths, expected = {}, list[tuple[int, str]]()
    for number, steps in enumerate(logs):
        at, at_above, text = number, number, ""
        for at_line, (step, is_stamped, length) in enumerate(steps):
            at += step if back else abs(step)  # clocks may be set back
            word = f"{'x' * length}-{number}-{at_line}"
            at_above = at if is_stamped or not at_line else at_above
            text += line(at, "name", word) if is_stamped or not at_line else f"{word}\n"
            expected.append((at_above, word))
        paths[f"log{number}"] = folder / f"log{number}"
        paths[f"log{number}"].write_text(text)
    expected.sort(key=lambda timed: timed[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merged_log, "PAGE", page)
        patch.setattr(merged_history, "_MAX_SORTED", most)
        log = MergedLog(paths)
        up, down = upwards(log), downwards(log)
        assert sorted(up) == sorted(down) == sorted(word for _, word in expected)
        if not back:
            assert up == down == [word for _, word in expected]
        end = log.state()[1]
        for tenth in range(11):
            page_there = log.around(end * tenth // 10)
            assert page_there.start <= end * tenth // 10 <= page_there.end
            assert [at for at, _ in page_there.lines[:1]] == [page_there.start] * bool(page_there.lines)


async def test_a_search_finds_lines_of_all_logs_by_the_text_that_is_shown(tmp_path: Path) -> None:
    paths = {name: tmp_path / name for name in ("one", "two")}
    for name, path in paths.items():
        path.write_text("".join(line(second, name, f"epoch {second}") for second in range(100)))
    log = MergedLog(paths)
    _, end = log.state()
    upwards, downwards = Search("two .*epoch 5"), Search("two .*epoch 5")
    assert await upwards.search_lines(log.before(end).lines)
    assert len(upwards.matches) == 11
    page = log.around(upwards.matches[0])
    assert dict(page.lines)[upwards.matches[0]].endswith("two epoch 5")
    assert await downwards.search_lines(log.after(0).lines)
    assert downwards.matches == upwards.matches
