"""A long text by lines: scrolls, follows its end, highlights matches. Draws only the lines in view."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from .component_style import component_style
from .format import DIM
from .search import Search

MAX_LINES = 50_000
_NARROW = 100  # cells; a narrower view begins with short lines
_PREFIX = re.compile(r"\d{4}-\d\d-\d\d (?P<time>\d\d:\d\d:\d\d )\[(?P<level>\w+) *\] \S+ +\| ")


def shortened(line: str) -> str:
    """A log line without what the log's name and the day tell anyway: date, run name, and the level `info`."""
    prefix = _PREFIX.match(line)
    if prefix is None:
        return line
    level = "" if prefix["level"] == "info" else f"[{prefix['level']}] "
    return f"{prefix['time']}{level}{line[prefix.end() :]}"


class LinesView(ScrollView, can_focus=True):
    """The newest lines of a log. A line's number is its place since the log was opened and never changes."""

    ALLOW_SELECT = True
    COMPONENT_CLASSES: ClassVar[set[str]] = {"lines-view--match", "lines-view--current"}

    class Moved(Message):
        """The view follows the end, or no longer does."""

    def __init__(self) -> None:
        super().__init__(id="lines")
        self.follows = True
        self.unseen = 0  # lines that came while the view did not follow
        self.search: Search | None = None
        self.placeholder = ""  # shown while there are no lines
        self.short: bool | None = None  # whether lines are shortened; None: where the view is narrow
        self._lines: list[str] = []
        self._first = 0  # number of the first line kept
        self._width = 0

    @property
    def lines(self) -> Sequence[str]:
        """The lines kept, oldest first."""
        return self._lines

    def clear(self, placeholder: str) -> None:
        """Starts over with another text, following it."""
        self._lines, self._first, self._width = [], 0, 0
        self.follows, self.unseen, self.placeholder = True, 0, placeholder
        if self.search is not None:
            self.search = Search(self.search.wanted)
        self._resize()
        self._to_end()

    def extend(self, lines: Sequence[str]) -> None:
        """Appends cleaned lines. A reader who has scrolled up keeps the lines in view."""
        if not lines:
            return
        end = self._first + len(self._lines)
        if self.search is not None:
            self.search.feed(end, lines)
        self._lines += lines
        self._width = max(self._width, *(cell_len(line) for line in lines))
        dropped = max(0, len(self._lines) - MAX_LINES)
        if dropped:
            del self._lines[:dropped]
            self._first += dropped
            if self.search is not None:
                self.search.forget_before(self._first)
        top = self.scroll_offset.y - dropped
        self._resize()
        if self.follows:
            self._to_end()
        else:
            self.unseen += len(lines)
            if dropped:
                self.set_scroll(None, max(0, top))
            self.post_message(self.Moved())

    def follow(self) -> None:
        """Goes to the end and stays there."""
        self.follows, self.unseen = True, 0
        self._to_end()
        self.post_message(self.Moved())

    def pause(self) -> None:
        """Stays where it is while the text grows."""
        self.follows = False
        self.post_message(self.Moved())

    def find(self, wanted: str) -> Search:
        """Searches all lines and goes to the newest match that is not below the view."""
        self.search = Search(wanted)
        self.search.feed(self._first, self._lines)
        bottom = self._first + self.scroll_offset.y + self.size.height - 1
        self._go_to(self.search.at_or_before(bottom))
        return self.search

    def find_next(self, direction: int) -> None:
        """Goes to the next match downwards (1) or upwards (-1)."""
        if self.search is not None:
            self._go_to(self.search.step(direction))

    def _go_to(self, number: int | None) -> None:
        self.refresh()
        if number is None:
            return
        y = number - self._first
        if not self.scroll_offset.y <= y < self.scroll_offset.y + self.size.height:
            self.scroll_to(y=max(0, y - self.size.height // 2), animate=False, force=True)
        self.pause()  # after scrolling, which follows when it reaches the end

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follows while the end is in view, and stops when the reader scrolls up."""
        super().watch_scroll_y(old_value, new_value)
        if new_value < old_value and self.follows and not self.is_vertical_scroll_end:
            self.pause()
        elif new_value > old_value and not self.follows and self.is_vertical_scroll_end:
            self.follow()

    def on_resize(self) -> None:
        if self.follows:
            self._to_end()

    def _to_end(self) -> None:
        # Forced, because the scroll bar that would allow it may not be on the screen yet.
        self.scroll_end(animate=False, immediate=True, x_axis=False, force=True)

    def _resize(self) -> None:
        self.virtual_size = Size(self._width, len(self._lines))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The `y`th line in view."""
        left, top = self.scroll_offset
        width, base, index = self.size.width, self.visual_style, top + y
        if index >= len(self._lines):
            text = self.placeholder if y == 0 and not self._lines else ""
            segments = Content.styled(text, DIM).render_segments(base)
            return Strip(segments).adjust_cell_length(width, base.rich_style)
        segments = self._content(index).render_segments(base)
        strip = Strip(segments).crop_extend(left, left + width, base.rich_style)
        return strip.apply_offsets(left, index)

    def toggle_short(self) -> bool:
        """Shortens the lines, or shows them whole; which of the two."""
        self.short = not self._is_short
        self.refresh()
        return self.short

    @property
    def _is_short(self) -> bool:
        return self.size.width < _NARROW if self.short is None else self.short

    def _text(self, index: int) -> str:
        return shortened(self._lines[index]) if self._is_short else self._lines[index]

    def _content(self, index: int) -> Content:
        text = self._text(index)
        line = Content(text)
        if self.search is not None:
            is_current = self.search.current == index + self._first
            style = component_style(self, "lines-view--current" if is_current else "lines-view--match")
            for start, end in self.search.spans(text):
                line = line.stylize(style, start, end)
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(index)) is not None:
            start, end = span
            line = line.stylize(
                self.screen.get_visual_style("screen--selection"), start, len(line) if end == -1 else end
            )
        return line

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text marked with the mouse."""
        return selection.extract("\n".join(map(self._text, range(len(self._lines))))), "\n"

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002 - Textual passes it
        """Shows what is marked."""
        self.refresh()
