"""Searching a log."""

import re

from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.dashboard.search import Search


def test_steps_go_round_in_both_directions() -> None:
    search = Search("a")
    search.feed(0, ["a", "b", "a", "a"])
    assert search.at_or_before(1) == 0
    assert [search.step(1) for _ in range(3)] == [2, 3, 0]
    assert [search.step(-1) for _ in range(3)] == [3, 2, 0]


def test_a_bad_regular_expression_is_searched_as_text_and_says_so() -> None:
    search = Search("[/x")
    search.feed(0, ["a [/x] b"])
    assert search.matches == [0]
    assert "not a regular expression" in search.describe()


def test_capitals_make_a_search_case_sensitive() -> None:
    lower, upper = Search("nan"), Search("NaN")
    for search in (lower, upper):
        search.feed(0, ["NAN", "nan", "NaN"])
    assert (lower.matches, upper.matches) == ([0, 1, 2], [2])


def test_lines_that_are_dropped_take_their_matches_along() -> None:
    search = Search("a")
    search.feed(0, ["a", "a", "a"])
    search.forget_before(2)
    assert search.matches == [2]


@given(st.text(max_size=8), st.lists(st.text(max_size=20), max_size=20))
def test_no_search_raises_and_its_spans_lie_in_the_line(wanted: str, lines: list[str]) -> None:
    search = Search(wanted)
    search.feed(0, lines)
    for text in lines:
        assert all(0 <= start < end <= len(text) for start, end in search.spans(text))
    assert search.matches == [n for n, text in enumerate(lines) if re.search(search.pattern, text)]
