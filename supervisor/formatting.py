"""Plain-text tables, durations and counts for people. Pure."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence


def printable(text: str) -> str:
    r"""Return the text with every character that could control a terminal as its JSON escape, such as `\u001b`.

    Names of sessions, folders and users may contain any character. Line ends, tabs and spaces stay. JSON stays the
    same JSON: such a character can only be inside a string.
    """
    if text.replace("\n", "").isprintable():
        return text
    return "".join(char if _is_harmless(char) else _escape(char) for char in text)


def printable_line(text: str) -> str:
    """Return what `printable` returns, with line ends escaped, too."""
    return printable(text).replace("\n", "\\n")


def _is_harmless(char: str) -> bool:
    return char.isprintable() or char in "\n\t" or unicodedata.category(char) == "Zs"


def _escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def table(head: Sequence[str], body: Sequence[Sequence[str]], *, within: int | None = None) -> list[str]:
    """Return the lines of a table: headings, a rule and the rows.

    Args:
        head: Headings of the columns.
        body: Rows of cells.
        within: Width in characters; columns are one space apart instead of two if they would not fit otherwise.
    """
    body = [[printable_line(cell) for cell in row] for row in body]
    widths = [max(len(row[column]) for row in (head, *body)) for column in range(len(head))]
    gap = " " if within is not None and sum(widths) + 2 * len(widths) - 2 > within else "  "
    rows = [head, ["─" * width for width in widths], *body]
    return [gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def filled_columns(head: Sequence[str], body: Sequence[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows without the columns that no row fills; without rows, all columns."""
    filled = [column for column in range(len(head)) if not body or any(row[column] for row in body)]
    return [head[column] for column in filled], [[row[column] for column in filled] for row in body]


def ordinal(number: int) -> str:
    """Return `1st`, `2nd`, `3rd`, `4th`, `11th`."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def duration(seconds: float | None) -> str:
    """Return `1:02:03`, `2:03` or `4.5 s`; "" for None. Never negative, even if the clock was set back."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{max(0.0, seconds):.1f} s"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def state_counts(names: Iterable[str]) -> str:
    """Return how often each name occurs, in the order of first occurrence: `3 succeeded, 1 failed`."""
    return ", ".join(f"{count} {name}" for name, count in Counter(str(name) for name in names).items())


def number(value: float | None, unit: str = "") -> str:
    """Return a rounded value with its unit, as in `812 MiB`; "n/a" for None."""
    return "n/a" if value is None else f"{value:.0f}{unit}"
