"""A log by pages: any part of it at once, however long it is. All of it blocks on the disk: for threads."""

from __future__ import annotations

import os
import re
import stat
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, Protocol

from ..logs import clean_line
from .search import Search

PAGE = 1 << 17  # bytes; about a thousand lines
SEARCH_PAGE = 1 << 20
LONGEST = 1 << 24  # bytes; a line that is longer is shown as several
_CONTROLS = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]")


class Page(NamedTuple):
    """Whole lines, each with the place where it begins; the page reaches from `start` to `end`."""

    start: int
    end: int
    lines: list[tuple[int, str]]


class Found(NamedTuple):
    """The places of lines that match, between `start` and `end`."""

    start: int
    end: int
    places: list[int]


class Pages(Protocol):
    """A log whose lines have places, which never change as long as its identity does not."""

    def state(self) -> tuple[int, int]:
        """The log's identity, and the place where it ends."""
        ...

    def tail(self) -> Page:
        """The newest lines."""
        ...

    def before(self, place: int) -> Page:
        """The lines just above a place where a line begins."""
        ...

    def after(self, place: int) -> Page:
        """The complete lines from a place on where a line begins."""
        ...

    def around(self, place: int) -> Page:
        """Lines around any place."""
        ...

    def count(self, start: int, end: int) -> int:
        """How many lines end between two places."""
        ...

    def matches_before(self, place: int, search: Search) -> Found:
        """What matches in some of the lines just above a place."""
        ...

    def matches_after(self, place: int, search: Search) -> Found:
        """What matches in some of the complete lines from a place on."""
        ...


class LogFile:
    """A file that another process appends to. Places are bytes from its beginning."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def state(self) -> tuple[int, int]:
        """The file's inode and size; zeros while there is no regular file."""
        try:
            status = self._path.stat()
        except OSError:
            return 0, 0
        return (status.st_ino, status.st_size) if stat.S_ISREG(status.st_mode) else (0, 0)

    def tail(self) -> Page:
        _, size = self.state()
        start, data = self._raw_before(size, PAGE)
        return _page(start, data[: data.rfind(b"\n") + 1])

    def before(self, place: int) -> Page:
        return _page(*self._raw_before(place, PAGE))

    def after(self, place: int) -> Page:
        return _page(place, self._raw_after(place, PAGE))

    def around(self, place: int) -> Page:
        start, above = self._raw_before(place, PAGE // 2) if place else (0, b"")
        return _page(start, self._raw_after(start, len(above) + PAGE // 2) or above)

    def count(self, start: int, end: int) -> int:
        """Lines in at most 64 pages: who is further behind has enough to read."""
        return self._read(start, min(end - start, 64 * PAGE)).count(b"\n")

    def matches_before(self, place: int, search: Search) -> Found:
        start, data = self._raw_before(place, SEARCH_PAGE)
        return Found(start, place, _matches(start, data, search))

    def matches_after(self, place: int, search: Search) -> Found:
        data = self._raw_after(place, SEARCH_PAGE)
        return Found(place, place + len(data), _matches(place, data, search))

    def _raw_before(self, end: int, want: int) -> tuple[int, bytes]:
        """Where the lines just above `end` begin, and their bytes; at least one line, if it is not endless."""
        while True:
            start = max(0, end - want)
            data = self._read(start, end - start)
            cut = data.find(b"\n") + 1 if start else 0
            if start == 0 or 0 < cut < len(data):
                return start + cut, data[cut:]
            if want >= LONGEST:
                return start, data
            want = min(4 * want, LONGEST)

    def _raw_after(self, start: int, want: int) -> bytes:
        """The bytes of the complete lines from `start` on."""
        while True:
            data = self._read(start, want)
            end = data.rfind(b"\n") + 1
            if end or len(data) < want:
                return data[:end]
            if want >= LONGEST:
                return data
            want = min(4 * want, LONGEST)

    def _read(self, start: int, size: int) -> bytes:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            return os.pread(descriptor, max(0, size), start) if is_file else b""
        except OSError:
            return b""
        finally:
            os.close(descriptor)


def _raw_lines(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _page(start: int, data: bytes) -> Page:
    lines: list[tuple[int, str]] = []
    place = start
    for raw in _raw_lines(data):
        lines.append((place, clean_line(raw)))
        place += len(raw) + 1
    return Page(start, start + len(data), lines)


def _matches(start: int, data: bytes, search: Search) -> list[int]:
    """The places of the lines that match as they are shown. Most pages need not be cleaned to find that out."""
    raw_lines = _raw_lines(data)
    if _CONTROLS.search(data):
        hits = [bool(search.pattern.search(clean_line(raw))) for raw in raw_lines]
    elif search.raw_pattern is not None and data.isascii():
        hits = [search.raw_pattern.search(raw) is not None for raw in raw_lines]
    else:
        hits = [search.pattern.search(raw.decode("utf-8", "replace")) is not None for raw in raw_lines]
    if not any(hits):
        return []
    places = accumulate((len(raw) + 1 for raw in raw_lines), initial=start)
    return [place for place, raw, hit in zip(places, raw_lines, hits, strict=False) if hit and _shows(raw, search)]


def _shows(raw: bytes, search: Search) -> bool:
    """Whether the match lies in what is shown of the line."""
    return search.pattern.search(clean_line(raw)) is not None
