"""ASCII output."""

from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.dashboard.rendering.ascii_filter import to_ascii
from rich.cells import cell_len


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Mn", "Me", "Cf"])))
def test_ascii_keeps_the_width_of_every_text(text: str) -> None:
    shown = to_ascii(text)
    assert shown.isascii()
    assert len(shown) == cell_len(text)
