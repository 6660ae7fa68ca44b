"""A log by pages: any part of it at once, however long it is. All of it blocks on the disk: for threads."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from .log_file import LogFile, split_lines
from .sanitize import sanitize_line

PAGE = 1 << 17  # bytes; about a thousand lines


class Page(NamedTuple):
    """Whole lines, each with the place where it begins; the page reaches from `start` to `end`."""

    start: int
    end: int
    lines: list[tuple[int, str]]


class LogPages(Protocol):
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


class PagedLog:
    """A file that another process appends to. Places are bytes from its beginning."""

    def __init__(self, path: Path) -> None:
        self._log = LogFile(path)

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


def _page(start: int, data: bytes) -> Page:
    lines: list[tuple[int, str]] = []
    place = start
    for raw in split_lines(data):
        lines.append((place, sanitize_line(raw)))
        place += len(raw) + 1
    return Page(start, start + len(data), lines)
