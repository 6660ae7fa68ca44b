"""What several logs held at one time, as one text in the order of time. Blocks on the disk: for threads.

Lines are in the order of their moments, within a moment in that of the logs. A place in the text is the number of
bytes above it: where a moment begins is the sum of where it begins in each log, so any place is found by bisection,
and no more is read than what is shown.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate

from .log_file import LogFile, split_lines
from .segments import NOTHING, LineBlock, Segments
from .timestamps import timestamp_index

_MOST_AT_ONCE = 1 << 19  # bytes of one moment that are put in order; more of them are taken log by log


class MergedHistory:
    """The first so many bytes of some logs."""

    def __init__(self, logs: Sequence[LogFile], sizes: Sequence[int]) -> None:
        self._logs = logs
        self._sizes = tuple(sizes)
        self.end = sum(sizes)
        self._times = [timestamp_index(log, size) for log, size in zip(logs, sizes, strict=True)]
        written = [times for times, size in zip(self._times, sizes, strict=True) if size]
        self._first = min((times.first for times in written), default=0)
        self._last = max((times.last for times in written), default=0)
        self._cuts = lru_cache(256)(self._new_cuts)
        self._start = lru_cache(1 << 14)(lambda moment: sum(self._cuts(moment)))

    def before(self, place: int, want: int) -> LineBlock:
        """The lines just above a place, about `want` bytes of them."""
        if place <= 0:
            return NOTHING
        moment = self._moment(place - 1)
        if self._is_long(moment):
            return self._pieces(moment).before(place, want)
        first = self._moment(max(0, place - want))
        if first < moment and self._is_long(first):
            first += 1
        lines = [line for line in self._merged(first, moment + 1) if line[0] < place]
        return LineBlock(self._start(first), place, lines)

    def after(self, place: int, want: int) -> LineBlock:
        """The lines from a place on, about `want` bytes of them."""
        if place >= self.end:
            return LineBlock(place, place, [])
        moment = self._moment(place)
        if self._is_long(moment):
            return self._pieces(moment).after(place, want)
        last = self._moment(min(place + want, self.end - 1))
        end = last if last > moment and self._is_long(last) else last + 1
        return LineBlock(place, self._start(end), [line for line in self._merged(moment, end) if line[0] >= place])

    def line_at(self, place: int) -> int:
        """Where the line begins that a place lies in."""
        if place <= 0 or place >= self.end:
            return max(0, min(place, self.end))
        moment = self._moment(place)
        if self._is_long(moment):
            return self._pieces(moment).line_at(place)
        return max((at for at, _, _ in self._merged(moment, moment + 1) if at <= place), default=self._start(moment))

    def _new_cuts(self, moment: int) -> tuple[int, ...]:
        """Where a moment begins in each log."""
        if moment <= self._first:
            return (0,) * len(self._sizes)
        if moment > self._last:
            return self._sizes
        return tuple(times.cut(moment) if size else 0 for times, size in zip(self._times, self._sizes, strict=True))

    def _moment(self, place: int) -> int:
        """The moment in which a place lies."""
        return self._first - 1 + bisect_right(range(self._first, self._last + 1), place, key=self._start)

    def _is_long(self, moment: int) -> bool:
        return self._start(moment + 1) - self._start(moment) > _MOST_AT_ONCE

    def _pieces(self, moment: int) -> Segments:
        """What the logs say in a moment, one after the other."""
        pieces = Segments(self._logs, self._start(moment))
        for log, (start, end) in enumerate(zip(self._cuts(moment), self._cuts(moment + 1), strict=True)):
            pieces.add(log, start, end - start)
        return pieces

    def _merged(self, first: int, end: int) -> list[tuple[int, int, bytes]]:
        """The lines of the moments from `first` up to `end`, in order."""
        timed: list[tuple[int, int, bytes]] = []
        for log, (start, stop) in enumerate(zip(self._cuts(first), self._cuts(end), strict=True)):
            if start < stop:
                lines = split_lines(self._logs[log].read(start, stop - start))
                # Never falling, and never outside, so that what a log says keeps its order whatever times it tells.
                moments = accumulate(self._times[log].of(start, lines), max, initial=first)
                next(moments)
                timed += ((min(moment, end - 1), log, raw) for moment, raw in zip(moments, lines, strict=True))
        timed.sort(key=lambda line: line[0])
        places = accumulate((len(raw) + 1 for _, _, raw in timed), initial=self._start(first))
        return [(place, log, raw) for place, (_, log, raw) in zip(places, timed, strict=False)]
