"""The existing lines of several logs as one text, ordered by time.

Lines are ordered by timestamp; lines of one timestamp, by log. An offset in the text is the number of bytes before
it. The lines of a timestamp start at the sum of their start offsets in all logs, so any offset is found by bisection,
and no more is read than is shown.

Every call blocks on the disk: an asyncio program makes it in a thread.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate

from .log_file import LogFile, split_lines
from .segments import EMPTY, LineBlock, RawLine, Segments
from .timestamps import timestamp_index

_MAX_SORTED = 1 << 19  # bytes of one timestamp that are sorted; more of them are concatenated log by log


class MergedHistory:
    """The first bytes of several logs as one text.

    Args:
        logs: The logs.
        sizes: How many bytes of each log belong to the text; whole lines.

    Attributes:
        end: Offset of the end of the text.
    """

    def __init__(self, logs: Sequence[LogFile], sizes: Sequence[int]) -> None:
        self._logs = logs
        self._sizes = tuple(sizes)
        self.end = sum(sizes)
        self._indexes = [timestamp_index(log, size) for log, size in zip(logs, sizes, strict=True)]
        written = [index for index, size in zip(self._indexes, sizes, strict=True) if size]
        self._first = min((index.first for index in written), default=0)
        self._last = max((index.last for index in written), default=0)
        self._log_offsets = lru_cache(256)(self._find_log_offsets)
        self._start = lru_cache(1 << 14)(lambda timestamp: sum(self._log_offsets(timestamp)))

    def before(self, offset: int, size: int) -> LineBlock:
        """Return about `size` bytes of lines just before an offset."""
        if offset <= 0:
            return EMPTY
        timestamp = self._timestamp_at(offset - 1)
        if self._is_long(timestamp):
            return self._segments(timestamp).before(offset, size)
        first = self._timestamp_at(max(0, offset - size))
        if first < timestamp and self._is_long(first):
            first += 1
        lines = [line for line in self._sorted_lines(first, timestamp + 1) if line[0] < offset]
        return LineBlock(self._start(first), offset, lines)

    def after(self, offset: int, size: int) -> LineBlock:
        """Return about `size` bytes of lines from an offset on."""
        if offset >= self.end:
            return LineBlock(offset, offset, [])
        timestamp = self._timestamp_at(offset)
        if self._is_long(timestamp):
            return self._segments(timestamp).after(offset, size)
        last = self._timestamp_at(min(offset + size, self.end - 1))
        end = last if last > timestamp and self._is_long(last) else last + 1
        lines = [line for line in self._sorted_lines(timestamp, end) if line[0] >= offset]
        return LineBlock(offset, self._start(end), lines)

    def line_start(self, offset: int) -> int:
        """Return where the line that contains an offset starts."""
        if offset <= 0 or offset >= self.end:
            return max(0, min(offset, self.end))
        timestamp = self._timestamp_at(offset)
        if self._is_long(timestamp):
            return self._segments(timestamp).line_start(offset)
        starts = (start for start, _, _ in self._sorted_lines(timestamp, timestamp + 1) if start <= offset)
        return max(starts, default=self._start(timestamp))

    def _find_log_offsets(self, timestamp: int) -> tuple[int, ...]:
        """Return where the lines of a timestamp start in each log."""
        if timestamp <= self._first:
            return (0,) * len(self._sizes)
        if timestamp > self._last:
            return self._sizes
        sized = zip(self._indexes, self._sizes, strict=True)
        return tuple(index.offset_of(timestamp) if size else 0 for index, size in sized)

    def _timestamp_at(self, offset: int) -> int:
        """Return the timestamp whose lines contain an offset."""
        return self._first - 1 + bisect_right(range(self._first, self._last + 1), offset, key=self._start)

    def _is_long(self, timestamp: int) -> bool:
        return self._start(timestamp + 1) - self._start(timestamp) > _MAX_SORTED

    def _segments(self, timestamp: int) -> Segments:
        """Return the lines of a timestamp, log after log."""
        segments = Segments(self._logs, self._start(timestamp))
        bounds = zip(self._log_offsets(timestamp), self._log_offsets(timestamp + 1), strict=True)
        for log, (start, end) in enumerate(bounds):
            segments.add(log, start, end - start)
        return segments

    def _sorted_lines(self, first: int, end: int) -> list[RawLine]:
        """Return the lines with timestamps from `first` to before `end`, in order."""
        timed: list[tuple[int, int, bytes]] = []  # timestamp, number of the log, bytes
        for log, (start, stop) in enumerate(zip(self._log_offsets(first), self._log_offsets(end), strict=True)):
            if start < stop:
                lines = split_lines(self._logs[log].read(start, stop - start))
                # Never decreasing and never outside the range, so that the lines of a log keep their order even if
                # its clock was set back.
                timestamps = accumulate(self._indexes[log].line_timestamps(start, lines), max, initial=first)
                next(timestamps)
                timed += ((min(at, end - 1), log, raw) for at, raw in zip(timestamps, lines, strict=True))
        timed.sort(key=lambda line: line[0])
        offsets = accumulate((len(raw) + 1 for _, _, raw in timed), initial=self._start(first))
        return [(offset, log, raw) for offset, (_, log, raw) in zip(offsets, timed, strict=False)]
