"""Searching the lines of a log. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence


class Search:
    """Which lines match a pattern; lines carry numbers that never change while the log grows and is cut."""

    def __init__(self, wanted: str) -> None:
        """Looks for a regular expression, or for the text itself where it is none; capitals make it case-sensitive."""
        flags = re.NOFLAG if any(char.isupper() for char in wanted) else re.IGNORECASE
        self.wanted = wanted
        self.literal = False  # whether `wanted` was no regular expression
        try:
            self.pattern = re.compile(wanted, flags)
        except re.error:
            self.literal = True
            self.pattern = re.compile(re.escape(wanted), flags)
        self.matches: list[int] = []
        self.current: int | None = None  # number of the line last jumped to

    def feed(self, first: int, lines: Sequence[str]) -> None:
        """Takes in new lines, numbered from `first`."""
        self.matches += [first + index for index, line in enumerate(lines) if self.pattern.search(line)]

    def forget_before(self, first: int) -> None:
        """Drops matches in lines that are no longer there."""
        del self.matches[: bisect_left(self.matches, first)]

    def at_or_before(self, number: int) -> int | None:
        """The match nearest above line `number`, itself included; the newest one where there is none above."""
        index = bisect_right(self.matches, number) - 1
        return self._take(index if index >= 0 else len(self.matches) - 1)

    def step(self, direction: int) -> int | None:
        """The next match downwards (1) or upwards (-1), around the end."""
        if self.current is None:
            return self._take(len(self.matches) - 1)
        if direction > 0:
            return self._take(bisect_right(self.matches, self.current) % max(1, len(self.matches)))
        return self._take(bisect_left(self.matches, self.current) - 1)

    def _take(self, index: int) -> int | None:
        self.current = self.matches[index] if self.matches else None
        return self.current

    def spans(self, line: str) -> list[tuple[int, int]]:
        """Where in a line the pattern matches, as (start, end)."""
        return [match.span() for match in self.pattern.finditer(line) if match.end() > match.start()]

    def describe(self) -> str:
        """The search in words: what, which of how many matches."""
        how = " (as plain text: not a regular expression)" if self.literal else ""
        if not self.matches:
            return f"no match for '{self.wanted}'{how}"
        if self.current is None:
            return f"{len(self.matches)} matches for '{self.wanted}'{how}"
        place = bisect_left(self.matches, self.current) + 1
        return f"match {place}/{len(self.matches)} for '{self.wanted}'{how}"
