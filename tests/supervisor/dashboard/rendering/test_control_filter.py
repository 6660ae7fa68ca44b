"""The gate before the screen."""

from pmssm.supervisor.dashboard.rendering.control_filter import ControlFilter, without_controls
from rich.cells import cell_len
from rich.segment import ControlType, Segment
from textual.color import Color


def test_control_characters_leave_the_line_and_its_width_stays() -> None:
    text = "a\x1b[31m\x9b\u202e\ud800雪\u00a0\nb"
    cleaned = without_controls(text)
    assert cleaned == "a[31m?雪\u00a0b"
    assert cell_len(cleaned) == cell_len(text)


def test_the_filter_keeps_styles_and_control_segments() -> None:
    segments = [Segment("x\x07"), Segment("", None, [(ControlType.BELL,)])]
    assert ControlFilter().apply(segments, Color(0, 0, 0)) == [Segment("x"), segments[1]]
    clean = [Segment("x")]
    assert ControlFilter().apply(clean, Color(0, 0, 0)) is clean
