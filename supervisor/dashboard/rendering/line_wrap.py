"""Wrapping of long log lines."""

from __future__ import annotations

from itertools import accumulate

from rich.cells import chop_cells


def wrapped_row_count(text: str, width: int) -> int:
    """Return the number of rows that a line takes when wrapped to `width` cells."""
    if text.isascii():
        return max(1, -(-len(text) // width))
    return max(1, len(chop_cells(text, width)))


def wrapped_row(text: str, width: int, number: int) -> tuple[int, int]:
    """Return the start and the end, in characters, of the `number`th row of a wrapped line."""
    if text.isascii():
        return number * width, (number + 1) * width
    ends = list(accumulate(map(len, chop_cells(text, width)), initial=0))
    return (ends[number], ends[number + 1]) if number + 1 < len(ends) else (len(text), len(text))
