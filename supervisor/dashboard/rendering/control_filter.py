"""The gate before the screen: no text of a plan, a file or a user name can control the terminal."""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from ...formatting import printable


class ControlFilter(LineFilter):
    """Filter that takes control characters out of every drawn line; the line keeps its width."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - Textual passes it
        """Return the segments without control characters."""
        if all(text.isprintable() for text, _, _ in segments):
            return segments
        return [Segment(without_controls(text), style, control) for text, style, control in segments]


def without_controls(text: str) -> str:
    """Return the text with `?` for each cell of a character that could control the terminal."""
    if text.isprintable():
        return text
    return "".join(char if printable(char) == char and char != "\n" else "?" * cell_len(char) for char in text)
