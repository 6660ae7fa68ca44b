"""Sanitizing log lines: known attacks one by one, then arbitrary bytes."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pmssm.supervisor.logs.sanitize import MAX_LINE, sanitize_line

# Bytes in which attacks are likelier than in uniform ones.
INTRODUCERS = [b"\x1b", b"[", b"]", b"P", b"\\", b"\x07", b"\x9b", b"\xc2\x9b", b"\xc2\x9d", b"\xc2\x90"]
OTHERS = [b"\r", b"\t", b"\xff", b"\x00", b"\x0b", b"\x7f", b" ", b"0;1m", b"8;;http://x", b"text"]
UNICODE = [char.encode() for char in "\u202e\u200b\ufeff\U000e0041\u2028\u00adé日"]
NASTY = st.lists(st.sampled_from(INTRODUCERS + OTHERS + UNICODE), max_size=40).map(b"".join)


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
