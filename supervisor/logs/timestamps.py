"""Timestamps of log lines, and an index from timestamp to offset.

A timestamp is a whole second of the wall clock, counted as if it were UTC. Every call on a log blocks on the disk: an
asyncio program makes it in a thread.
"""

from __future__ import annotations

import calendar
import re
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple, Protocol

from .log_file import LogFile

BLOCK = 1 << 16  # bytes
EARLIEST = -(1 << 40)  # before any timestamp
_BLOCK_START = 1 << 12  # bytes at the start of a block, where its first timestamp usually is
_STAMP_LENGTH = 80  # bytes; a timestamp with colours around it
_NEAR = 8  # blocks
_CACHED = 1024  # blocks
# At the start of a line, possibly coloured.
_STAMP = re.compile(rb"(?<=\n)(?:\x1b\[[\d;]*m){0,3}(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)")
_HEADER = re.compile(rb" \[\w+ *\] \S+ +\| attempt ")  # follows the timestamp in the first line of an attempt


class TimestampIndex(Protocol):
    """The timestamps of the lines in the first bytes of a log.

    Attributes:
        first: The earliest timestamp.
        last: The latest timestamp.
    """

    first: int
    last: int

    def offset_of(self, timestamp: int) -> int:
        """Return where the first line of that or a later timestamp starts; never decreases with `timestamp`."""
        ...

    def line_timestamps(self, start: int, lines: Iterable[bytes]) -> list[int]:
        """Return the timestamp of each of the lines that start at offset `start`."""
        ...


def timestamp_index(log: LogFile, size: int) -> TimestampIndex:
    """Return an index of the first `size` bytes of a log.

    If its lines have no timestamps, it is assumed to have grown evenly.
    """
    stamped = ParsedTimestamps(log, size)
    if stamped.has_own:
        return stamped
    written = calendar.timegm(time.localtime(log.modified))
    return InterpolatedTimestamps(log, size, min(stamped.first, written), written)


class ParsedTimestamps:
    """The timestamps at the start of lines. A line without one has that of the last line before it that has one.

    Attributes:
        first: The first timestamp of the log.
        last: The latest timestamp in its first and last block.
        has_own: Whether lines other than the headers of attempts have timestamps.
    """

    def __init__(self, log: LogFile, size: int) -> None:
        self._log = log
        self._size = size
        self._blocks = -(-size // BLOCK)
        self._first: dict[int, tuple[int, int] | None] = {}  # of each block that was read: timestamp and offset
        self._stamps = lru_cache(_CACHED)(self._all_stamps)
        ends = [self._stamps(block) for block in sorted({0, self._blocks - 1}) if size]
        found = [timestamp for stamps in ends for timestamp in stamps.timestamps]
        self.first, self.last = (found[0], max(found)) if found else (-EARLIEST, EARLIEST)
        self.has_own = any(stamps.has_own for stamps in ends)

    def offset_of(self, timestamp: int) -> int:
        """Return where the first line of that or a later timestamp starts."""
        # Always the same bisection, so that offsets never decrease even where the timestamps do.
        block = bisect_left(range(self._blocks), True, key=lambda block: self._starts_at_or_after(block, timestamp))
        for above in range(block - 1, max(-1, block - 1 - _NEAR), -1):
            stamps = self._stamps(above)
            if stamps.timestamps:
                pairs = zip(stamps.timestamps, stamps.offsets, strict=True)
                offset = next((offset for at, offset in pairs if at >= timestamp), None)
                if offset is not None:
                    return offset
                break
        first = self._first_stamp(block)
        return first[1] if first is not None else self._size

    def line_timestamps(self, start: int, lines: Iterable[bytes]) -> list[int]:  # noqa: ARG002 - as the protocol
        """Return the timestamp of each line; EARLIEST before the first one."""
        return timestamps_of(lines, EARLIEST)

    def _starts_at_or_after(self, block: int, timestamp: int) -> bool:
        first = self._first_stamp(block)
        return first is not None and first[0] >= timestamp

    def _first_stamp(self, block: int) -> tuple[int, int] | None:
        """Return the first timestamp in a block, and the offset of its line."""
        if block >= self._blocks:
            return None
        if block not in self._first:
            some = self._stamps_within(block, _BLOCK_START)
            stamps = some if some.timestamps else self._stamps(block)
            self._first[block] = (stamps.timestamps[0], stamps.offsets[0]) if stamps.timestamps else None
        return self._first[block]

    def _all_stamps(self, block: int) -> _BlockTimestamps:
        return self._stamps_within(block, BLOCK)

    def _stamps_within(self, block: int, length: int) -> _BlockTimestamps:
        start = block * BLOCK
        end = min(start + length, self._size)
        before = b"\n" if start == 0 else b""
        data = before + self._log.read(max(0, start - 1), end - start + 1 - len(before) + _STAMP_LENGTH)
        stamps = _BlockTimestamps(array("q"), array("q"), [])
        for match in _STAMP.finditer(data):
            offset = start + match.start() - 1
            timestamp = timestamp_of(match[1])
            if offset >= end:
                break
            if timestamp is not None:
                stamps.timestamps.append(timestamp)
                stamps.offsets.append(offset)
                if not stamps.own and not _HEADER.match(data, match.end()):
                    stamps.own.append(offset)
        return stamps


class _BlockTimestamps(NamedTuple):
    """The timestamps in a block.

    Attributes:
        timestamps: All of them, in the order of the log.
        offsets: Where their lines start.
        own: Offset of the first one that is not in the header of an attempt; empty if there is none.
    """

    timestamps: array[int]
    offsets: array[int]
    own: list[int]

    @property
    def has_own(self) -> bool:
        """True if a line other than the header of an attempt has a timestamp."""
        return bool(self.own)


class InterpolatedTimestamps:
    """Timestamps of a log without any, as if it had grown evenly from its first timestamp to its last change."""

    def __init__(self, log: LogFile, size: int, first: int, last: int) -> None:
        self._log = log
        self._size = size
        self.first, self.last = first, last

    def offset_of(self, timestamp: int) -> int:
        """Return where the first line of that or a later timestamp starts."""
        offset = -(-(timestamp - self.first) * self._size // (self.last - self.first + 1))
        return min(self._size, self._log.next_line_start(max(0, offset)))

    def line_timestamps(self, start: int, lines: Iterable[bytes]) -> list[int]:
        """Return the interpolated timestamp of each of the lines that start at offset `start`."""
        timestamps = []
        for raw in lines:
            timestamps.append(self.first + start * (self.last - self.first + 1) // max(1, self._size))
            start += len(raw) + 1
        return timestamps


def timestamps_of(lines: Iterable[bytes], before: int) -> list[int]:
    """Return the timestamp of each line, or that of the line before it; `before` is that of the line before all."""
    timestamps = []
    for raw in lines:
        match = _STAMP.match(b"\n" + raw[:_STAMP_LENGTH], 1)
        before = (timestamp_of(match[1]) if match else None) or before
        timestamps.append(before)
    return timestamps


@lru_cache(1 << 14)
def timestamp_of(stamp: bytes) -> int | None:
    """Return the timestamp of a date and time in text; None if there is no such day or hour."""
    try:
        return int(datetime.fromisoformat(stamp.decode()).replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None
