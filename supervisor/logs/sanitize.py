"""Sanitizer that makes one raw log line safe to show."""

from __future__ import annotations

import re

MAX_LINE = 4096  # characters kept of a line

# ECMA-48: control sequences, then strings (OSC, DCS, SOS, PM, APC; ended by BEL or ST, or cut off by the end of
# the line), then any other escape. Each introducer has a 7-bit and an 8-bit (C1) form.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)


def sanitize_line(raw: bytes) -> str:
    """Return the text that a terminal would show for one line of a log, without anything that controls the terminal.

    Escape sequences and characters without a glyph (controls, bidirectional and zero-width marks) are removed, bad
    UTF-8 becomes U+FFFD, only the text after the last carriage return is kept, and a line longer than `MAX_LINE`
    characters ends in an ellipsis.
    """
    segment = raw.rstrip(b"\r\n").rpartition(b"\r")[2]
    text = segment[: 8 * MAX_LINE].decode("utf-8", "replace")
    if not text.isprintable():
        text = _ESCAPES.sub("", text).expandtabs(8)
        text = "".join(char if char.isprintable() else " " if char.isspace() else "" for char in text)
    return text if len(text) <= MAX_LINE else text[: MAX_LINE - 1] + "…"
