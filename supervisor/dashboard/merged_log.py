"""The logs of all runs and of the session as one, by time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ..logs import LogFollower
from .log_pages import PAGE, Found, Page
from .search import Search

MAX_LOGS = 64  # the newest ones
MAX_LINES = 50_000
MAX_NAME = 20
_PREFIX = re.compile(r"(?P<day>\d{4}-\d\d-\d\d) (?P<time>\d\d:\d\d:\d\d) (?:\[(?P<level>\w+) *\] \S+ +\| )?")


class MergedLog:
    """The newest lines of several logs, in the order of the times that they begin with. Places are line numbers."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        newest = sorted((path for path in paths if paths[path].exists()), key=lambda name: _modified(paths[name]))
        names = [name for name in paths if name in newest[-MAX_LOGS:]]
        self._width = min(MAX_NAME, max(map(len, names), default=0))
        self._followers = {name: LogFollower.near_end(paths[name], PAGE) for name in names}
        self._times = dict.fromkeys(names, "")  # of each log's newest line
        self._lines: list[tuple[int, str]] = []
        self._next = 0

    def state(self) -> tuple[int, int]:
        """Reads what is new; the place after the newest line."""
        new: list[tuple[str, str]] = []
        for name, follower in self._followers.items():
            for line in follower.read():
                prefix = _PREFIX.match(line)
                self._times[name] = prefix[0] if prefix else self._times[name]
                new.append((self._times[name][:19], self._told(name, line, prefix)))
        new.sort(key=lambda timed: timed[0])  # stable: what one log says keeps its order
        self._lines += [(self._next + number, text) for number, (_, text) in enumerate(new)]
        self._next += len(new)
        del self._lines[:-MAX_LINES]
        return 1, self._next

    def _told(self, name: str, line: str, prefix: re.Match[str] | None) -> str:
        who = name[:MAX_NAME].ljust(self._width)
        if prefix is None:
            return f"{'':8} {who} {line}"
        level = f"[{prefix['level']}] " if prefix["level"] not in (None, "info") else ""
        return f"{prefix['time']} {who} {level}{line[prefix.end() :]}"

    def tail(self) -> Page:
        self.state()
        return self._between(0, self._next)

    def before(self, place: int) -> Page:
        return self._between(0, place)

    def after(self, place: int) -> Page:
        return self._between(place, self._next)

    def around(self, place: int) -> Page:  # noqa: ARG002 - all of it is here anyway
        return self._between(0, self._next)

    def count(self, start: int, end: int) -> int:
        return end - start

    def matches_before(self, place: int, search: Search) -> Found:
        page = self._between(0, place)
        return Found(0, place, [at for at, line in page.lines if search.pattern.search(line)])

    def matches_after(self, place: int, search: Search) -> Found:
        page = self._between(place, self._next)
        return Found(place, page.end, [at for at, line in page.lines if search.pattern.search(line)])

    def _between(self, start: int, end: int) -> Page:
        first = self._lines[0][0] if self._lines else 0
        start = max(start, first)
        return Page(0 if start == first else start, max(start, end), self._lines[start - first : end - first])


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
