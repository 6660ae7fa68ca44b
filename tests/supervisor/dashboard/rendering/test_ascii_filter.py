"""ASCII output."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.dashboard.rendering.ascii_filter import is_limited, to_ascii
from rich.cells import cell_len


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Mn", "Me", "Cf"])))
def test_ascii_keeps_the_width_of_every_text(text: str) -> None:
    shown = to_ascii(text)
    assert shown.isascii()
    assert len(shown) == cell_len(text)


@pytest.mark.parametrize(
    ("encoding", "limited"),
    [("utf-8", False), ("gb18030", False), ("iso8859-1", True), ("ascii", True), ("no such one", True), (None, True)],
)
def test_an_encoding_without_the_drawn_characters_is_limited(encoding: str | None, limited: bool) -> None:
    assert is_limited(encoding) == limited
