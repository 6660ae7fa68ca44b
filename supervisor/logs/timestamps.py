"""When the lines of a log were written, and where in it those of a moment begin. Blocks on the disk: for threads.

Moments are whole seconds of the wall clock, counted as if it were UTC.
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
EARLIEST = -(1 << 40)  # before any moment
_LOOKED_AT = 1 << 12  # bytes at the beginning of a block, where its first time mostly is
_STAMP_LENGTH = 80  # bytes; a time with colours around it
_NEAR = 8  # blocks
_KEPT = 1024  # blocks
# At the beginning of a line, maybe coloured.
_STAMP = re.compile(rb"(?<=\n)(?:\x1b\[[\d;]*m){0,3}(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)")
_HEADER = re.compile(rb" \[\w+ *\] \S+ +\| attempt ")  # follows the time in the line that begins an attempt


class TimestampIndex(Protocol):
    """The times of the lines in the beginning of a log, from the `first` to the `last`."""

    first: int
    last: int

    def cut(self, moment: int) -> int:
        """Where the first line of that moment or a later one begins; never falls as the moment rises."""
        ...

    def of(self, start: int, lines: Iterable[bytes]) -> list[int]:
        """The moment of each of the lines that begin at `start`."""
        ...


def timestamp_index(log: LogFile, size: int) -> TimestampIndex:
    """The times that lines of a log's first `size` bytes begin with; where they have none, times as by even growth."""
    stamped = ParsedTimestamps(log, size)
    if stamped.has_own:
        return stamped
    written = calendar.timegm(time.localtime(log.modified))
    return InterpolatedTimestamps(log, size, min(stamped.first, written), written)


class ParsedTimestamps:
    """The times that lines begin with. A line without one belongs to the last line above it that has one."""

    def __init__(self, log: LogFile, size: int) -> None:
        self._log = log
        self._size = size
        self._blocks = -(-size // BLOCK)
        self._first: dict[int, tuple[int, int] | None] = {}  # of blocks that were looked at: moment and place
        self._stamps = lru_cache(_KEPT)(self._all_stamps)
        ends = [self._stamps(block) for block in sorted({0, self._blocks - 1}) if size]
        moments = [moment for stamps in ends for moment in stamps.moments]
        self.first, self.last = (moments[0], max(moments)) if moments else (-EARLIEST, EARLIEST)
        self.has_own = any(stamps.has_own for stamps in ends)  # whether lines beside the headers of attempts have times

    def cut(self, moment: int) -> int:
        # Always the same way through the blocks, so that cuts are in order even where the times are not.
        block = bisect_left(range(self._blocks), True, key=lambda block: self._begins_at_or_after(block, moment))
        for above in range(block - 1, max(-1, block - 1 - _NEAR), -1):
            stamps = self._stamps(above)
            if stamps.moments:
                late = (place for at, place in zip(stamps.moments, stamps.places, strict=True) if at >= moment)
                place = next(late, None)
                if place is not None:
                    return place
                break
        first = self._first_stamp(block)
        return first[1] if first is not None else self._size

    def of(self, start: int, lines: Iterable[bytes]) -> list[int]:  # noqa: ARG002 - the lines tell
        return timestamps_of(lines, EARLIEST)

    def _begins_at_or_after(self, block: int, moment: int) -> bool:
        first = self._first_stamp(block)
        return first is not None and first[0] >= moment

    def _first_stamp(self, block: int) -> tuple[int, int] | None:
        """The first time in a block, and where its line begins."""
        if block >= self._blocks:
            return None
        if block not in self._first:
            some = self._stamps_within(block, _LOOKED_AT)
            stamps = some if some.moments else self._stamps(block)
            self._first[block] = (stamps.moments[0], stamps.places[0]) if stamps.moments else None
        return self._first[block]

    def _all_stamps(self, block: int) -> _TimestampSearch:
        return self._stamps_within(block, BLOCK)

    def _stamps_within(self, block: int, length: int) -> _TimestampSearch:
        start = block * BLOCK
        end = min(start + length, self._size)
        before = b"\n" if start == 0 else b""
        data = before + self._log.read(max(0, start - 1), end - start + 1 - len(before) + _STAMP_LENGTH)
        stamps = _TimestampSearch(array("q"), array("q"), [])
        for match in _STAMP.finditer(data):
            place = start + match.start() - 1
            moment = timestamp_of(match[1])
            if place >= end:
                break
            if moment is not None:
                stamps.moments.append(moment)
                stamps.places.append(place)
                if not stamps.own and not _HEADER.match(data, match.end()):
                    stamps.own.append(place)
        return stamps


class _TimestampSearch(NamedTuple):
    """The times in a block, where their lines begin, and where the first of them is that begins no attempt."""

    moments: array[int]
    places: array[int]
    own: list[int]

    @property
    def has_own(self) -> bool:
        return bool(self.own)


class InterpolatedTimestamps:
    """Times as if a log had grown evenly from its first time to its last change."""

    def __init__(self, log: LogFile, size: int, first: int, last: int) -> None:
        self._log = log
        self._size = size
        self.first, self.last = first, last

    def cut(self, moment: int) -> int:
        place = -(-(moment - self.first) * self._size // (self.last - self.first + 1))
        return min(self._size, self._log.line_from(max(0, place)))

    def of(self, start: int, lines: Iterable[bytes]) -> list[int]:
        moments = []
        for raw in lines:
            moments.append(self.first + start * (self.last - self.first + 1) // max(1, self._size))
            start += len(raw) + 1
        return moments


def timestamps_of(lines: Iterable[bytes], before: int) -> list[int]:
    """The moment that each line begins with, or else that of the line above; `before` is that above the first one."""
    moments = []
    for raw in lines:
        match = _STAMP.match(b"\n" + raw[:_STAMP_LENGTH], 1)
        before = (timestamp_of(match[1]) if match else None) or before
        moments.append(before)
    return moments


@lru_cache(1 << 14)
def timestamp_of(stamp: bytes) -> int | None:
    """The moment of a time in text; None where there is no such day or hour."""
    try:
        return int(datetime.fromisoformat(stamp.decode()).replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None
