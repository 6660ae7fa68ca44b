"""Plain-text tables and figures for people. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], body: Sequence[Sequence[str]], *, within: int | None = None) -> list[str]:
    """The lines of a table: headings, a rule, and the rows, in columns as wide as they need.

    They are two spaces apart, or one where that makes them fit `within` so many characters.
    """
    widths = [max(len(row[at]) for row in (head, *body)) for at in range(len(head))]
    gap = " " if within is not None and sum(widths) + 2 * len(widths) - 2 > within else "  "
    rows = [head, ["─" * width for width in widths], *body]
    return [gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def duration(seconds: float | None) -> str:
    """`1:02:03`, `2:03` or `4.5 s`; "" for None. Never negative, whatever the clock did."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{max(0.0, seconds):.1f} s"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def state_counts(names: Iterable[str]) -> str:
    """`3 succeeded, 1 failed`: how often each name occurs, in the order of first occurrence."""
    return ", ".join(f"{count} {name}" for name, count in Counter(str(name) for name in names).items())


def number(value: float | None, unit: str = "") -> str:
    """`812 MiB`; "n/a" for None."""
    return "n/a" if value is None else f"{value:.0f}{unit}"
