"""Searching the lines of a log."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from .time_limit import in_chunks, regex_time_limit

ERRORS = (
    r"(?=[\[ETFCoSKNn])"  # what each of these begins with: five times faster on lines without any
    r"(?:\[(error|critical) *\]|\b(Error|Exception|Traceback|FATAL|CRITICAL|ERROR)\b|Error: |out of memory"
    r"|Segmentation fault|\bKilled\b|\b[Nn]a[Nn] loss)"
)


class Search:
    """Which lines match a pattern; lines have places that never change while the log grows."""

    def __init__(self, wanted: str, name: str = "") -> None:
        """Looks for a regular expression, or for the text itself where it is none; capitals make it case-sensitive.

        `name` is shown in place of the pattern.
        """
        flags = re.NOFLAG if any(char.isupper() for char in wanted) else re.IGNORECASE
        self.wanted = wanted
        self.name = name or f"'{wanted}'"
        self.literal = False  # whether `wanted` was no regular expression
        self.done = 1.0  # which part of the log has been searched
        try:
            self.pattern = re.compile(wanted, flags)
        except re.error:
            self.literal = True
            self.pattern = re.compile(re.escape(wanted), flags)
        self.gave_up = False  # the pattern takes too long
        self.matches: list[int] = []
        self.current: int | None = None  # place of the line last jumped to

    async def look_through(self, lines: Sequence[tuple[int, str]]) -> bool:
        """Takes in which of these lines, given with their places, match; whether any does. Lines as for `add`."""
        places: list[int] = []
        try:
            async for some in in_chunks(lines):
                with regex_time_limit():
                    places += [place for place, line in some if self.pattern.search(line)]
        except TimeoutError:
            self.gave_up = True
        self.add(places)
        return bool(places)

    def add(self, places: Sequence[int]) -> None:
        """Takes in matches that all lie above or all lie below those known."""
        if places and self.matches and places[0] < self.matches[0]:
            self.matches[:0] = places
        else:
            self.matches += places

    def clear(self) -> None:
        """Forgets all matches: the log began anew."""
        self.matches.clear()
        self.current = None

    def at_or_before(self, place: int) -> int | None:
        """The match nearest above a place, itself included; the newest one where there is none above."""
        index = bisect_right(self.matches, place) - 1
        return self._take(index if index >= 0 else len(self.matches) - 1)

    def step(self, direction: int, place: int | None = None) -> int | None:
        """The next match downwards (1) or upwards (-1), around the end, from a place or where the last jump led."""
        start = self.current if place is None else place
        if start is None:
            return self._take(len(self.matches) - 1)
        if direction > 0:
            after = bisect_right if place is None else bisect_left  # a match at the place itself is the next one
            return self._take(after(self.matches, start) % max(1, len(self.matches)))
        return self._take(bisect_left(self.matches, start) - 1)

    def _take(self, index: int) -> int | None:
        self.current = self.matches[index] if self.matches else None
        return self.current

    def spans(self, line: str) -> list[tuple[int, int]]:
        """Where in a line the pattern matches, as (start, end)."""
        if self.gave_up:
            return []
        try:
            with regex_time_limit():
                return [match.span() for match in self.pattern.finditer(line) if match.end() > match.start()]
        except TimeoutError:
            self.gave_up = True
            return []

    def describe(self) -> str:
        """The search in words: what, which of how many matches, how much is left to search."""
        if self.gave_up:
            return f"gave up looking for {self.name}: it takes too long"
        how = " as text (not a regular expression)" if self.literal else ""
        so_far = f"{self.done:.0%} searched: " if self.done < 1 else ""
        if not self.matches:
            return f"{so_far}no match for {self.name}{how}"
        if self.current is None:
            return f"{so_far}{len(self.matches)} matches for {self.name}{how}"
        place = bisect_left(self.matches, self.current) + 1
        return f"{so_far}match {place}/{len(self.matches)} for {self.name}{how}"
