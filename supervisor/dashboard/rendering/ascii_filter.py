"""ASCII output, for terminals and fonts without Unicode."""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_SIGNS = {
    **dict.fromkeys("─━═╌╍", "-"),
    **dict.fromkeys("│┃║▏▕┤├", "|"),
    **dict.fromkeys("╭╮╰╯┌┐└┘┏┓┗┛", "+"),
    **dict.fromkeys("█▇▉▊", "#"),
    **dict.fromkeys("▆▅▋▌", "="),
    **dict.fromkeys("▄▃▍▎", "-"),
    **dict.fromkeys("▂▁", "_"),
    **{
        "░": ".",
        "▔": "-",
        "▶": ">",
        "▼": "v",
        "✓": "+",
        "✗": "x",
        "■": "#",
        "○": "o",
        "◌": "o",
        "◇": "*",
        "⊘": "/",
        "●": "@",
        "↷": "-",
    },
    **{"–": "-", "·": "-", "…": "~", "⋯": "~", "×": "x", "°": " ", "↓": "v", "↑": "^", "⇧": "^", "→": ">", "←": "<"},
}


def _braille(dots: int) -> str:
    """Return an ASCII character for the rough position of a braille character's dots."""
    upper, lower = dots & 0b00011011, dots & 0b11100100
    return ":" if upper and lower else "'" if upper else "." if lower else " "


_TABLE = str.maketrans({**_SIGNS, **{chr(0x2800 + dots): _braille(dots) for dots in range(256)}})


def to_ascii(text: str) -> str:
    """Return the text with each non-ASCII character replaced by ASCII of the same width."""
    if text.isascii():
        return text
    text = text.translate(_TABLE)
    return text if text.isascii() else "".join(c if c.isascii() else "?" * cell_len(c) for c in text)


def is_limited(encoding: str | None) -> bool:
    """Return whether an encoding lacks characters that the dashboard draws."""
    try:
        "".join(_SIGNS).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return False


class AsciiFilter(LineFilter):
    """Filter that turns every drawn line into ASCII."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - Textual passes it
        """Return the segments in ASCII."""
        return [Segment(to_ascii(text), style, control) for text, style, control in segments]
