"""Text for people: nothing in it controls the terminal."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.formatting import ordinal, printable, printable_line, table


@given(st.text())
def test_printable_text_controls_nothing_and_is_the_same_json(text: str) -> None:
    shown = printable(text)
    assert all(char.isprintable() or char in "\n\t" or char.isspace() for char in shown)
    assert not set(shown) & {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))}
    assert json.loads(printable(json.dumps(text, ensure_ascii=False))) == text
    assert printable(shown) == shown


@pytest.mark.parametrize("text", ["", "plain", "größer\n", "a\tb", "no\u00a0break", "雪"])
def test_harmless_text_stays(text: str) -> None:
    assert printable(text) == text


def test_a_cell_is_one_line_and_columns_stay_aligned() -> None:
    assert printable_line("a\nb\x1b") == r"a\nb\u001b"
    assert table(("name", "state"), [("a\x1b\n", "ok"), ("b", "ok")]) == [
        "name       state",
        "─────────  ─────",
        r"a\u001b\n  ok",
        "b          ok",
    ]


@pytest.mark.parametrize(
    ("number", "text"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (12, "12th"), (23, "23rd")]
)
def test_an_ordinal_has_its_ending(number: int, text: str) -> None:
    assert ordinal(number) == text
