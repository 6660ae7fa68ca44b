"""A text that is concatenated from segments of logs.

Every call blocks on the disk: an asyncio program makes it in a thread.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from .log_file import LogFile, split_lines

RawLine = tuple[int, int, bytes]
"""The offset of a line in the text, the number of its log, and its bytes."""


class LineBlock(NamedTuple):
    """Whole lines between two offsets of the text."""

    start: int
    end: int
    lines: list[RawLine]


EMPTY = LineBlock(0, 0, [])


class Segments:
    """Segments of logs in a row, each of whole lines.

    The offset of a line is `start` plus the bytes of the text before it. One segment takes 24 bytes of memory.

    Args:
        logs: The logs, which segments name by number.
        start: Offset of the first segment.
    """

    def __init__(self, logs: Sequence[LogFile], start: int) -> None:
        self._logs = logs
        self._starts = array("q", [start])  # offset of each segment, and of the end of the last one
        self._log_numbers = array("q")
        self._log_offsets = array("q")  # where the segment starts in its log

    def __len__(self) -> int:
        return len(self._log_numbers)

    @property
    def end(self) -> int:
        """The offset where the last segment ends."""
        return self._starts[-1]

    def add(self, log: int, log_offset: int, length: int) -> None:
        """Append the next `length` bytes, which start at `log_offset` of a log."""
        if not length:
            return
        last = len(self) - 1
        if last >= 0 and self._log_numbers[last] == log and self._log_offsets[last] + self._length(last) == log_offset:
            self._starts[-1] += length
        else:
            self._log_numbers.append(log)
            self._log_offsets.append(log_offset)
            self._starts.append(self.end + length)

    def before(self, offset: int, size: int) -> LineBlock:
        """Return about `size` bytes of lines just before an offset."""
        index, parts, start = self._index_at(offset - 1), list[list[RawLine]](), offset
        while index >= 0 and (not parts or offset - start < size):
            data = self._end_of(index, start - self._starts[index], size)
            start -= len(data)
            parts.append(self._lines(index, start, data))
            if start > self._starts[index] or not data:
                break
            index -= 1
        return LineBlock(start, offset, [line for part in reversed(parts) for line in part])

    def after(self, offset: int, size: int) -> LineBlock:
        """Return about `size` bytes of lines from an offset on."""
        index, lines, end = self._index_at(offset), list[RawLine](), offset
        while index < len(self) and end - offset < size:
            skipped = end - self._starts[index]
            remaining = self._length(index) - skipped
            data = self._log(index).lines_after(self._log_offsets[index] + skipped, min(size, remaining))[:remaining]
            if not data:
                break
            lines += self._lines(index, end, data)
            end += len(data)
            index = self._index_at(end)
        return LineBlock(offset, end, lines)

    def line_start(self, offset: int) -> int:
        """Return where the line that contains an offset starts."""
        if offset >= self.end:
            return self.end
        index = self._index_at(offset)
        shift = self._starts[index] - self._log_offsets[index]
        return max(self._starts[index], self._log(index).line_start(offset - shift) + shift)

    def _end_of(self, index: int, length: int, size: int) -> bytes:
        """Return about `size` bytes of lines at the end of the first `length` bytes of a segment."""
        log_offset = self._log_offsets[index]
        if length <= size:
            return self._log(index).read(log_offset, length)
        start, data = self._log(index).lines_before(log_offset + length, size)
        return data[max(0, log_offset - start) :]

    def _index_at(self, offset: int) -> int:
        return bisect_right(self._starts, offset) - 1

    def _length(self, index: int) -> int:
        return self._starts[index + 1] - self._starts[index]

    def _log(self, index: int) -> LogFile:
        return self._logs[self._log_numbers[index]]

    def _lines(self, index: int, offset: int, data: bytes) -> list[RawLine]:
        lines = []
        for raw in split_lines(data):
            lines.append((offset, self._log_numbers[index], raw))
            offset += len(raw) + 1
        return lines
