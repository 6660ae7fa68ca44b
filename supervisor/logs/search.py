"""Incremental search over the lines of a log."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from .time_limit import in_chunks, regex_time_limit

ERRORS = (
    r"(?=[\[ETFCoSKNn])"  # first character of each alternative: five times faster on lines without a match
    r"(?:\[(error|critical) *\]|\b(Error|Exception|Traceback|FATAL|CRITICAL|ERROR)\b|Error: |out of memory"
    r"|Segmentation fault|\bKilled\b|\b[Nn]a[Nn] loss)"
)


class Search:
    """The lines that match a query. The offset of a line never changes while the log grows.

    Args:
        query: A regular expression, or a plain text if it is not a valid one; capitals make it case-sensitive.
        name: Shown instead of the query.

    Attributes:
        query: As given.
        name: Shown on screen.
        literal: Whether the query is searched as plain text.
        pattern: The compiled query.
        progress: Fraction of the log that has been searched.
        timed_out: Whether a line took too long, so that the search was given up.
        matches: Offsets of the matching lines, ascending.
        current: Offset of the match that was shown last; None before the first one.
    """

    def __init__(self, query: str, name: str = "") -> None:
        flags = re.NOFLAG if any(char.isupper() for char in query) else re.IGNORECASE
        self.query = query
        self.name = name or f"'{query}'"
        self.literal = False
        self.progress = 1.0
        try:
            self.pattern = re.compile(query, flags)
        except re.error:
            self.literal = True
            self.pattern = re.compile(re.escape(query), flags)
        self.timed_out = False
        self.matches: list[int] = []
        self.current: int | None = None

    async def search_lines(self, lines: Sequence[tuple[int, str]]) -> bool:
        """Search lines, given with their offsets, and add those that match.

        Args:
            lines: They must all lie before, or all after, the lines that were searched earlier.

        Returns:
            Whether any line matches.
        """
        found: list[int] = []
        try:
            async for some in in_chunks(lines):
                with regex_time_limit():
                    found += [offset for offset, line in some if self.pattern.search(line)]
        except TimeoutError:
            self.timed_out = True
        self.add(found)
        return bool(found)

    def add(self, offsets: Sequence[int]) -> None:
        """Add matches that all lie before, or all after, those known."""
        if offsets and self.matches and offsets[0] < self.matches[0]:
            self.matches[:0] = offsets
        else:
            self.matches += offsets

    def clear(self) -> None:
        """Drop all matches, because the log was replaced."""
        self.matches.clear()
        self.current = None

    def at_or_before(self, offset: int) -> int | None:
        """Go to the last match at or before an offset, or to the newest one; return its offset, None if none."""
        index = bisect_right(self.matches, offset) - 1
        return self._go_to(index if index >= 0 else len(self.matches) - 1)

    def step(self, direction: int, offset: int | None = None) -> int | None:
        """Go to the next match and return its offset; None if there is none.

        Args:
            direction: 1 for the next match, -1 for the previous one; after the last comes the first.
            offset: Where to start; by default at the current match.
        """
        start = self.current if offset is None else offset
        if start is None:
            return self._go_to(len(self.matches) - 1)
        if direction > 0:
            after = bisect_right if offset is None else bisect_left  # a match at the offset itself counts
            return self._go_to(after(self.matches, start) % max(1, len(self.matches)))
        return self._go_to(bisect_left(self.matches, start) - 1)

    def _go_to(self, index: int) -> int | None:
        self.current = self.matches[index] if self.matches else None
        return self.current

    def spans(self, line: str) -> list[tuple[int, int]]:
        """Return the (start, end) of each match in a line, in characters."""
        if self.timed_out:
            return []
        try:
            with regex_time_limit():
                return [match.span() for match in self.pattern.finditer(line) if match.end() > match.start()]
        except TimeoutError:
            self.timed_out = True
            return []

    def describe(self) -> str:
        """Return the state of the search for the title: query, number of matches, how much is searched."""
        if self.timed_out:
            return f"gave up searching for {self.name}: it takes too long"
        literal = " as text (not a regular expression)" if self.literal else ""
        so_far = f"{self.progress:.0%} searched: " if self.progress < 1 else ""
        if not self.matches:
            return f"{so_far}no match for {self.name}{literal}"
        if self.current is None:
            return f"{so_far}{len(self.matches)} matches for {self.name}{literal}"
        number = bisect_left(self.matches, self.current) + 1
        return f"{so_far}match {number}/{len(self.matches)} for {self.name}{literal}"
