"""A log by pages: any part of it at once, however long it is. All of it blocks on the disk: for threads."""

from __future__ import annotations

import re
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, Protocol

from ..logs import clean_line
from .raw_log import RawLog, split_lines
from .search import Search

PAGE = 1 << 17  # bytes; about a thousand lines
SEARCH_PAGE = 1 << 20
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
        self._log = RawLog(path)

    def state(self) -> tuple[int, int]:
        return self._log.state()

    def tail(self) -> Page:
        _, size = self.state()
        start, data = self._log.before(size, PAGE)
        return _page(start, data[: data.rfind(b"\n") + 1])

    def before(self, place: int) -> Page:
        return _page(*self._log.before(place, PAGE))

    def after(self, place: int) -> Page:
        return _page(place, self._log.after(place, PAGE))

    def around(self, place: int) -> Page:
        start, above = self._log.before(place, PAGE // 2) if place else (0, b"")
        return _page(start, self._log.after(start, len(above) + PAGE // 2) or above)

    def count(self, start: int, end: int) -> int:
        """Lines in at most 64 pages: who is further behind has enough to read."""
        return self._log.read(start, min(end - start, 64 * PAGE)).count(b"\n")

    def matches_before(self, place: int, search: Search) -> Found:
        start, data = self._log.before(place, SEARCH_PAGE)
        return Found(start, place, _matches(start, data, search))

    def matches_after(self, place: int, search: Search) -> Found:
        data = self._log.after(place, SEARCH_PAGE)
        return Found(place, place + len(data), _matches(place, data, search))


def _page(start: int, data: bytes) -> Page:
    lines: list[tuple[int, str]] = []
    place = start
    for raw in split_lines(data):
        lines.append((place, clean_line(raw)))
        place += len(raw) + 1
    return Page(start, start + len(data), lines)


def _matches(start: int, data: bytes, search: Search) -> list[int]:
    """The places of the lines that match as they are shown. Most pages need not be cleaned to find that out."""
    raw_lines = split_lines(data)
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
