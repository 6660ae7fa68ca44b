"""A text that is put together from pieces of logs. Blocks on the disk: for threads."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from .log_file import LogFile, split_lines


class LineBlock(NamedTuple):
    """Whole lines between two places, each as its place, the number of its log, and its bytes."""

    start: int
    end: int
    lines: list[tuple[int, int, bytes]]


NOTHING = LineBlock(0, 0, [])


class Segments:
    """Pieces of logs in a row, each of whole lines. A place is `start` plus the bytes of the pieces above it."""

    def __init__(self, logs: Sequence[LogFile], start: int) -> None:
        self._logs = logs
        self._starts = array("q", [start])  # of each piece, and where the last one ends
        self._which = array("q")  # the number of its log
        self._offsets = array("q")  # where it begins there

    def __len__(self) -> int:
        return len(self._which)

    @property
    def end(self) -> int:
        """The place where the last piece ends."""
        return self._starts[-1]

    def add(self, log: int, offset: int, length: int) -> None:
        """Takes in the bytes that follow."""
        if not length:
            return
        if self._which and self._which[-1] == log and self._offsets[-1] + self._length(len(self) - 1) == offset:
            self._starts[-1] += length
        else:
            self._which.append(log)
            self._offsets.append(offset)
            self._starts.append(self.end + length)

    def before(self, place: int, want: int) -> LineBlock:
        """The lines just above a place, about `want` bytes of them."""
        index, parts, start = self._at(place - 1), list[list[tuple[int, int, bytes]]](), place
        while index >= 0 and (not parts or place - start < want):
            data = self._end_of(index, start - self._starts[index], want)
            start -= len(data)
            parts.append(self._lines(index, start, data))
            if start > self._starts[index] or not data:
                break
            index -= 1
        return LineBlock(start, place, [line for part in reversed(parts) for line in part])

    def after(self, place: int, want: int) -> LineBlock:
        """The lines from a place on, about `want` bytes of them."""
        index, lines, end = self._at(place), list[tuple[int, int, bytes]](), place
        while index < len(self) and end - place < want:
            into = end - self._starts[index]
            data = self._log(index).after(self._offsets[index] + into, min(want, self._length(index) - into))
            data = data[: self._length(index) - into]
            if not data:
                break
            lines += self._lines(index, end, data)
            end += len(data)
            index = self._at(end)
        return LineBlock(place, end, lines)

    def _end_of(self, index: int, length: int, want: int) -> bytes:
        """About the last `want` of a piece's first bytes."""
        offset = self._offsets[index]
        if length <= want:
            return self._log(index).read(offset, length)
        begin, data = self._log(index).before(offset + length, want)
        return data[max(0, offset - begin) :]

    def line_at(self, place: int) -> int:
        """Where the line begins that a place lies in."""
        if place >= self.end:
            return self.end
        index = self._at(place)
        shift = self._starts[index] - self._offsets[index]
        return max(self._starts[index], self._log(index).line_at(place - shift) + shift)

    def _at(self, place: int) -> int:
        return bisect_right(self._starts, place) - 1

    def _length(self, index: int) -> int:
        return self._starts[index + 1] - self._starts[index]

    def _log(self, index: int) -> LogFile:
        return self._logs[self._which[index]]

    def _lines(self, index: int, place: int, data: bytes) -> list[tuple[int, int, bytes]]:
        lines = []
        for raw in split_lines(data):
            lines.append((place, self._which[index], raw))
            place += len(raw) + 1
        return lines
