"""Searching a log."""

from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.logs.search import ERRORS, Search


def matching(search: Search, *lines: str) -> list[int]:
    return [offset for offset, line in enumerate(lines) if search.pattern.search(line)]


def test_steps_go_round_in_both_directions() -> None:
    search = Search("a")
    search.add([0, 2, 3])
    assert search.at_or_before(1) == 0
    assert [search.step(1) for _ in range(3)] == [2, 3, 0]
    assert [search.step(-1) for _ in range(3)] == [3, 2, 0]


def test_a_bad_regular_expression_is_searched_as_text_and_says_so() -> None:
    search = Search("[/x")
    assert matching(search, "a [/x] b") == [0]
    assert "not a regular expression" in search.describe()


def test_capitals_make_a_search_case_sensitive() -> None:
    lines = ("NAN", "nan", "NaN")
    assert (matching(Search("nan"), *lines), matching(Search("NaN"), *lines)) == ([0, 1, 2], [2])


def test_matches_found_above_and_below_stay_in_order() -> None:
    search = Search("a")
    for found in ([50, 60], [20, 30], [5], [], [70]):
        search.add(found)
    assert search.matches == [5, 20, 30, 50, 60, 70]


def test_errors_of_all_kinds_are_found_and_ordinary_lines_are_not() -> None:
    errors = (
        "2026-01-22 15:31:00 [error    ] mlp                  | disk full",
        "Traceback (most recent call last):",
        "ValueError: no",
        "RuntimeError: CUDA out of memory",
        "Killed",
        "[critical ] disk gone",
        "this Exception and that",
        "FATAL",
        "CRITICAL: it burns",
        "an ERROR here",
        "Segmentation fault (core dumped)",
        "stopping: nan loss",
        "NaN loss",
    )
    found = matching(Search(ERRORS), *errors, "Epoch 1 | mean squared error = 3", "all well", "a Killedeer")
    assert found == list(range(len(errors)))


def test_a_step_from_an_offset_takes_the_match_there_or_the_next_one() -> None:
    search = Search("a")
    search.add([10, 20, 30])
    assert [search.step(1, offset) for offset in (5, 20, 21, 31)] == [10, 20, 30, 10]
    assert [search.step(-1, offset) for offset in (5, 20, 21, 31)] == [30, 10, 20, 30]


async def test_a_search_that_would_take_years_is_given_up_and_says_so() -> None:
    search = Search("(a|aa)+b$")
    assert not await search.search_lines([(0, "aab!"), (5, "a" * 60 + "!")])
    assert search.timed_out
    assert "gave up searching for" in search.describe()
    assert search.spans("a" * 60) == []
    drawn = Search("(a|aa)+b$")
    assert drawn.spans("a" * 60) == []
    assert drawn.timed_out


@given(st.text(max_size=8), st.lists(st.text(max_size=20), max_size=20))
def test_no_search_raises_and_its_spans_lie_in_the_line(query: str, lines: list[str]) -> None:
    search = Search(query)
    for text in lines:
        assert all(0 <= start < end <= len(text) for start, end in search.spans(text))
    assert "match" in search.describe()
