from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.dashboard.data import line_window
from pmssm.supervisor.dashboard.data.line_window import LineWindow
from pmssm.supervisor.logs.pages import Page


def _page(start: int, count: int) -> Page:
    """Lines of ten bytes each."""
    return Page(start, start + 10 * count, [(start + 10 * i, f"line {start + 10 * i}") for i in range(count)])


@given(st.lists(st.integers(1, 4), min_size=1, max_size=20))
def test_each_row_belongs_to_the_line_that_takes_it(heights: list[int]) -> None:
    window = LineWindow()
    window.append(_page(0, len(heights)))
    window.set_heights(heights)
    rows = [(index, part) for index, height in enumerate(heights) for part in range(height)]
    assert [window.line_at(row) for row in range(window.height)] == rows
    assert [window.row_of(index) for index, part in rows if part == 0] == [
        row for row, (_, part) in enumerate(rows) if part == 0
    ]


def test_an_offset_within_a_line_finds_it_and_one_outside_finds_none() -> None:
    window = LineWindow()
    window.clear(100)
    window.append(_page(100, 3))
    assert [window.index_of(offset) for offset in (99, 100, 109, 110, 129, 130)] == [None, 0, 0, 1, 2, None]
    assert [window.offset_of(index) for index in (0, 2, 3)] == [100, 120, 130]


def test_a_full_window_drops_lines_at_the_other_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_window, "MAX_LINES", 4)
    window = LineWindow()
    window.clear(100)
    assert window.append(_page(100, 3)) == 0
    window.set_heights([2, 1, 1])
    assert window.append(_page(130, 2)) == 2
    assert (window.start, window.end, len(window.lines)) == (110, 150, 4)
    window.prepend(_page(90, 2))
    assert (window.start, window.end, window.lines[-1]) == (90, 130, "line 120")
