"""The lines of a log that the log panel holds, and the rows that they take on the screen."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

from ...logs.pages import Page

MAX_LINES = 50_000


class LineWindow:
    """A part of a log, as lines with their offsets. Rows are lines, unless long lines are wrapped.

    Attributes:
        lines: The lines, from top to bottom.
        offsets: Offset of each line in the log, bytes.
        start: Offset of the first line.
        end: Offset after the last line.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.offsets: list[int] = []
        self.start = self.end = 0
        self._rows: list[int] | None = None  # first row of each line, and the total; None if lines are not wrapped

    def clear(self, offset: int) -> None:
        """Remove all lines; the next ones begin at an offset."""
        self.lines, self.offsets, self._rows = [], [], None
        self.start = self.end = offset

    def append(self, page: Page) -> int:
        """Add lines at the end, remove the first ones beyond `MAX_LINES`, and return how many rows those took."""
        self.end = page.end
        self.offsets += [offset for offset, _ in page.lines]
        self.lines += [line for _, line in page.lines]
        dropped = max(0, len(self.lines) - MAX_LINES)
        if not dropped:
            return 0
        rows = self.row_of(dropped)
        del self.lines[:dropped], self.offsets[:dropped]
        self.start = self.offsets[0]
        return rows

    def prepend(self, page: Page) -> None:
        """Add lines at the top, and remove the last ones beyond `MAX_LINES`."""
        self.start = page.start
        self.offsets[:0] = [offset for offset, _ in page.lines]
        self.lines[:0] = [line for _, line in page.lines]
        if len(self.lines) > MAX_LINES:
            self.end = self.offsets[MAX_LINES]
            del self.lines[MAX_LINES:], self.offsets[MAX_LINES:]

    def set_heights(self, heights: Iterable[int] | None) -> None:
        """Set how many rows each line takes; None if each takes one."""
        self._rows = None if heights is None else list(accumulate(heights, initial=0))

    @property
    def is_wrapped(self) -> bool:
        """True if a line may take more than one row."""
        return self._rows is not None

    @property
    def height(self) -> int:
        """Rows of all lines."""
        return len(self.lines) if self._rows is None else self._rows[-1]

    def row_of(self, index: int) -> int:
        """Return the first row of a line."""
        return index if self._rows is None else self._rows[min(index, len(self._rows) - 1)]

    def line_at(self, row: int) -> tuple[int, int]:
        """Return the index of the line at a row, and the row within that line."""
        if self._rows is None:
            return row, 0
        index = max(0, bisect_right(self._rows, row) - 1)
        return index, row - self._rows[index]

    def offset_of(self, index: int) -> int:
        """Return the offset of a line; the end for one after the last."""
        return self.offsets[index] if index < len(self.offsets) else self.end

    def index_of(self, offset: int) -> int | None:
        """Return the index of the line that contains an offset; None if it is not here."""
        if not self.offsets or not self.offsets[0] <= offset <= max(self.offsets[-1], self.end - 1):
            return None
        return max(0, bisect_right(self.offsets, offset) - 1)
