"""A part of a long text by lines: scrolls, follows its end, wraps, highlights matches. Draws only the lines in view."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import ClassVar

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from ...logs.line_format import LENGTHS, abbreviate
from ...logs.pages import Page
from ...logs.search import Search
from ..rendering.component_style import component_style
from ..rendering.format import DIM
from ..rendering.line_wrap import wrapped_row, wrapped_row_count

MAX_LINES = 50_000
MARGIN = 300  # lines; when fewer are left above or below the view, more are wanted
_NARROW = 140  # cells; a narrower view begins with short lines


class LineView(ScrollView, can_focus=True):
    """The lines of a log around where the reader is. Each has a place in the log, which never changes."""

    ALLOW_SELECT = True
    COMPONENT_CLASSES: ClassVar[set[str]] = {"lines-view--match", "lines-view--current"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "line down", show=False, priority=True),
        Binding("k", "scroll_up", "line up", show=False, priority=True),
        Binding("ctrl+d,space", "page_down", "page down", show=False, priority=True),
        Binding("ctrl+u,b", "page_up", "page up", show=False, priority=True),
        Binding("g,home", "go(0)", "beginning of the log", show=False, priority=True),
        Binding("G,end", "follow", "end of the log", show=False, priority=True),
        *(
            Binding(str(tenth), f"go({tenth})", f"{tenth}0 % of the log", show=False, priority=True)
            for tenth in range(1, 10)
        ),
    ]

    class Moved(Message):
        """The view follows the end, or no longer does, or has other lines."""

    class Wanted(Message):
        """The reader goes to a part of the log, given in tenths of it."""

        def __init__(self, tenths: int) -> None:
            super().__init__()
            self.tenths = tenths

    def __init__(self) -> None:
        super().__init__(id="lines")
        self.follows = True
        self.unseen = 0  # lines that came while the view did not follow
        self.search: Search | None = None
        self.placeholder = ""  # shown while there are no lines
        self.length: str | None = None  # one of LENGTHS; None: short where the view is narrow
        self.shorten: Callable[[str, str], str] = abbreviate  # a line in one of the LENGTHS
        self.wraps = False
        self.is_whole = False  # whether nothing has come after the last line that is here
        self.start = self.end = 0  # the places between which lines are here
        self._places: list[int] = []
        self._lines: list[str] = []
        self._width = 0
        self._rows: list[int] | None = None  # where each line begins on the wrapped text, and where that ends

    @property
    def lines(self) -> Sequence[str]:
        """The lines that are here, from above."""
        return self._lines

    @property
    def lacks_earlier(self) -> bool:
        """Whether there is room for more lines than are here, and the log has more above."""
        return self.start > 0 and self.virtual_size.height < self.size.height

    @property
    def wants_earlier(self) -> bool:
        """Whether the reader comes near the first of the lines that are here, and the log has more above."""
        return self.start > 0 and self._line_at(self.scroll_offset.y)[0] < MARGIN

    @property
    def wants_later(self) -> bool:
        """Whether the reader comes near the last of the lines that are here."""
        return self._line_at(self.scroll_offset.y + self.size.height)[0] > len(self._lines) - MARGIN

    @property
    def top(self) -> int:
        """The place where the first line in view begins."""
        first = self._line_at(self.scroll_offset.y)[0]
        return self._places[first] if first < len(self._places) else self.end

    @property
    def bottom(self) -> int:
        """The place where the lines in view end."""
        below = self._line_at(self.scroll_offset.y + self.size.height - 1)[0] + 1
        return self._places[below] if below < len(self._places) else self.end

    def clear(self, placeholder: str) -> None:
        """Starts over with another text, following it."""
        self.follows, self.unseen, self.placeholder = True, 0, placeholder
        if self.search is not None:
            self.search = Search(self.search.query, self.search.name)
        self.replace(Page(0, 0, []))
        self.follow()

    def replace(self, page: Page) -> None:
        """Shows another part of the log."""
        self._places, self._lines, self._width = [], [], 0
        self.is_whole = False
        self.start = self.end = page.start
        self.append(page)

    def append(self, page: Page) -> None:
        """Takes in the lines that follow. A reader who has scrolled up keeps the lines in view."""
        self.end = page.end
        self._places += [place for place, _ in page.lines]
        self._lines += [line for _, line in page.lines]
        dropped = max(0, len(self._lines) - MAX_LINES)
        rows_dropped = self._row_of(dropped) if dropped else 0
        if dropped:
            del self._lines[:dropped], self._places[:dropped]
            self.start = self._places[0]
        self._resize([line for _, line in page.lines])
        if self.follows:
            self._to_end()
        elif rows_dropped:
            self._move_by(-rows_dropped)

    def prepend(self, page: Page) -> None:
        """Takes in the lines above; the lines in view stay where they are."""
        self.start = page.start
        self._places[:0] = [place for place, _ in page.lines]
        self._lines[:0] = [line for _, line in page.lines]
        if len(self._lines) > MAX_LINES:
            self.end = self._places[MAX_LINES]
            del self._lines[MAX_LINES:], self._places[MAX_LINES:]
        self._resize([line for _, line in page.lines])
        if self.follows:
            self._to_end()
        else:
            self._move_by(self._row_of(len(page.lines)))
        if self.is_attached and self.text_selection is not None:  # not, where the app ends meanwhile
            self.screen.clear_selection()

    def follow(self) -> None:
        """Goes to the end and stays there."""
        self.follows, self.unseen = True, 0
        self._to_end()
        self.post_message(self.Moved())

    def pause(self) -> None:
        """Stays where it is while the text grows."""
        self.follows = False
        self.post_message(self.Moved())

    def action_follow(self) -> None:
        self.follow()

    def action_go(self, tenths: int) -> None:
        self.post_message(self.Wanted(tenths))

    def go_to(self, place: int, *, centred: bool = False) -> bool:
        """Brings the line at a place into view; whether it is here."""
        if not self._places or not self._places[0] <= place <= max(self._places[-1], self.end - 1):
            return False
        row = self._row_of(max(0, bisect_right(self._places, place) - 1))
        if not centred or not self.scroll_offset.y <= row < self.scroll_offset.y + self.size.height:
            self._to_row(row - (self.size.height // 2 if centred else 0))
        self.refresh()
        self.pause()
        return True

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follows while the end is in view, and stops when the reader scrolls up."""
        super().watch_scroll_y(old_value, new_value)
        if new_value < old_value and self.follows and not self.is_vertical_scroll_end:
            self.pause()
        elif new_value > old_value and not self.follows and self.is_whole and self.is_vertical_scroll_end:
            self.follow()
        else:
            self.post_message(self.Moved())

    def on_resize(self) -> None:
        self._resize(())
        if self.follows:
            self._to_end()

    def _to_end(self) -> None:
        # Forced, because the scroll bar that would allow it may not be on the screen yet.
        self.scroll_end(animate=False, immediate=True, x_axis=False, force=True)

    def _move_by(self, rows: int) -> None:
        self._to_row(self.scroll_offset.y + rows)

    def _to_row(self, row: int) -> None:
        self.scroll_to(y=max(0, row), animate=False, immediate=True, force=True)

    # Lines and rows: the same unless lines are wrapped.

    def _row_of(self, index: int) -> int:
        return index if self._rows is None else self._rows[index]

    def _line_at(self, row: int) -> tuple[int, int]:
        """Which line lies at a row, and which part of it."""
        if self._rows is None:
            return row, 0
        index = max(0, bisect_right(self._rows, row) - 1)
        return index, row - self._rows[index]

    def _resize(self, new: Sequence[str]) -> None:
        width = self.scrollable_content_region.width
        if self.wraps and width > 0:
            rows = (wrapped_row_count(self._shown(line), width) for line in self._lines)
            self._rows = list(accumulate(rows, initial=0))
            self.virtual_size = Size(width, self._rows[-1])
        else:
            self._rows = None
            self._width = max(self._width, *(cell_len(line) for line in new)) if new else self._width
            self.virtual_size = Size(self._width, len(self._lines))
        self.refresh()

    def toggle_wrap(self) -> bool:
        """Wraps long lines, or lets them be scrolled sideways; which of the two."""
        self.wraps = not self.wraps
        self._reflow()
        return self.wraps

    def cycle_length(self) -> str:
        """Shows more or less of each line; what is shown now."""
        self.length = LENGTHS[(LENGTHS.index(self._length) + 1) % len(LENGTHS)]
        self._reflow()
        return self.length

    def _reflow(self) -> None:
        top = self._line_at(self.scroll_offset.y)[0]
        self._resize(self._lines)
        if self.follows:
            self._to_end()
        elif top < len(self._lines):
            self._to_row(self._row_of(top))

    @property
    def _length(self) -> str:
        return self.length or ("short" if self.size.width < _NARROW else "whole")

    def _shown(self, line: str) -> str:
        return self.shorten(line, self._length)

    def render_line(self, y: int) -> Strip:
        """The `y`th line in view."""
        left, top = self.scroll_offset
        width, base = self.size.width, self.visual_style
        index, part = self._line_at(top + y)
        if index >= len(self._lines):
            text = self.placeholder if y == 0 and not self._lines else ""
            segments = Content.styled(text, DIM).render_segments(base)
            return Strip(segments).adjust_cell_length(width, base.rich_style)
        content = self._content(index)
        if self._rows is not None:
            start, end = wrapped_row(self._shown(self._lines[index]), self.scrollable_content_region.width, part)
            strip = Strip(content[start:end].render_segments(base)).adjust_cell_length(width, base.rich_style)
            return strip.apply_offsets(start, index)
        strip = Strip(content.render_segments(base)).crop_extend(left, left + width, base.rich_style)
        return strip.apply_offsets(left, index)

    def _content(self, index: int) -> Content:
        text = self._shown(self._lines[index])
        line = Content(text)
        if self.search is not None:
            is_current = self.search.current == self._places[index]
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

    def lines_in_view(self) -> list[str]:
        """The lines in view, as they are shown."""
        first, last = (self._line_at(self.scroll_offset.y + row)[0] for row in (0, self.size.height - 1))
        return [self._shown(line) for line in self._lines[first : last + 1]]

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text marked with the mouse."""
        return selection.extract("\n".join(map(self._shown, self._lines))), "\n"

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002 - Textual passes it
        """Shows what is marked."""
        self.refresh()
