"""Plots in braille characters, 2 × 4 dots per cell. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...logs.metric_history import Points

_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # by column, then row, of a cell
_LABEL = 8  # cells for the values at the left


@dataclass(frozen=True)
class Canvas:
    """A drawn plot.

    Attributes:
        cells: `cells[row][column]` is a character and the number of its curve, -1 for none.
        mark: Row and column of the marked point.
        labels: One label per row: a right-aligned value, or blank.
        ticks: The line under the plot.
        ends: Row and column of the last point of each curve; None for an empty curve.
    """

    cells: list[list[tuple[str, int]]]
    mark: tuple[int, int] | None
    labels: list[str]
    ticks: str
    ends: list[tuple[int, int] | None]


def plot(
    curves: Sequence[Points],
    width: int,
    height: int,
    mark: tuple[float, float] | None = None,
    *,
    dotted: Sequence[bool] = (),
    linear: bool = False,
) -> Canvas | None:
    """Draw all curves in one plot.

    Args:
        curves: Points (x, value) of each curve.
        width: Width in cells, labels included.
        height: Height in cells, ticks included.
        mark: Point (x, value) to mark.
        dotted: For each curve, whether it is dotted, so that it can be recognized without colour.
        linear: Use a linear value axis; otherwise it is logarithmic if all values are positive.

    Returns:
        The plot, or None if there is no point or too little room.
    """
    columns, rows = width - _LABEL - 1, height - 1
    points = [point for curve in curves for point in curve]
    if columns < 4 or rows < 2 or not points:
        return None
    log = not linear and min(value for _, value in points) > 0
    x_axis = _Axis.around([x for x, _ in points], log=False)
    y_axis = _Axis.around([y for _, y in points], log=log)
    masks = [_dots(curve, x_axis, y_axis, columns * 2, rows * 4) for curve in curves]
    for number, is_dotted in enumerate(dotted):
        if is_dotted:
            masks[number] = {dot for dot in masks[number] if dot[0] % 3 == 0}

    def cell(point: tuple[float, float]) -> tuple[int, int]:
        return rows - 1 - y_axis.position(point[1], rows * 4) // 4, x_axis.position(point[0], columns * 2) // 2

    marked = cell(mark) if mark is not None else None
    ends = [cell(curve[-1]) if curve else None for curve in curves]
    return Canvas(_cells(masks, columns, rows), marked, _labels(y_axis, rows), _ticks(x_axis, columns), ends)


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    log: bool

    @classmethod
    def around(cls, values: Sequence[float], log: bool) -> _Axis:
        low, high = min(values), max(values)
        if log:
            low, high = math.log10(low), math.log10(high)
        if high - low < 1e-9 * max(1.0, abs(low)):
            low, high = low - 0.5, high + 0.5
        return cls(low, high, log)

    def position(self, value: float, dots: int) -> int:
        distance = (math.log10(value) if self.log else value) / 2 - self.low / 2  # halved, so that it is finite
        return min(dots - 1, max(0, round(distance / (self.high / 2 - self.low / 2) * (dots - 1))))

    def value(self, fraction: float) -> float:
        position = (1 - fraction) * self.low + fraction * self.high
        return 10**position if self.log else position


def _dots(curve: Points, x_axis: _Axis, y_axis: _Axis, columns: int, rows: int) -> set[tuple[int, int]]:
    """Return the dots (column, row from the top) of a curve whose points are joined by lines."""
    dots: set[tuple[int, int]] = set()
    previous: tuple[int, int] | None = None
    for x, y in curve:
        here = x_axis.position(x, columns), rows - 1 - y_axis.position(y, rows)
        if here != previous:
            dots.update(_line(previous or here, here))
        previous = here
    return dots


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (round(start[0] + (end[0] - start[0]) * step / steps), round(start[1] + (end[1] - start[1]) * step / steps))
        for step in range(steps + 1)
    ]


def _cells(masks: Sequence[set[tuple[int, int]]], columns: int, rows: int) -> list[list[tuple[str, int]]]:
    bits = [[0] * columns for _ in range(rows)]
    owner = [[-1] * columns for _ in range(rows)]
    for number, mask in enumerate(masks):  # the last curve owns a cell that it shares
        for x, y in mask:
            bits[y // 4][x // 2] |= _DOTS[x % 2][y % 4]
            owner[y // 4][x // 2] = number
    return [
        [(chr(0x2800 + bit) if bit else " ", number) for bit, number in zip(*row, strict=True)]
        for row in zip(bits, owner, strict=True)
    ]


def _labels(axis: _Axis, rows: int) -> list[str]:
    marked = (0, rows // 2, rows - 1) if rows > 3 else (0, rows - 1)
    values = [axis.value(1 - row / (rows - 1)) for row in marked]
    texts: list[str] = []
    for digits in (2, 3, 4):  # as few as tell the values apart
        texts = [f"{value:.{digits}g}"[: _LABEL - 1] for value in values]
        if len(set(texts)) == len(texts):
            break
    labels = dict(zip(marked, texts, strict=True))
    return [labels.get(row, "").rjust(_LABEL - 1) for row in range(rows)]


def _ticks(axis: _Axis, columns: int) -> str:
    first, last = f"{axis.value(0):.0f}", f"{axis.value(1):.0f}"
    return " " * _LABEL + first + last.rjust(max(0, columns + 1 - len(first)))
