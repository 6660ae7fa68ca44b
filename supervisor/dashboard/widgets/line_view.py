"""Virtual list of log lines: scrolls, follows the end, wraps, highlights matches; draws only the lines in view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual.binding import BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from ...logs.line_format import LENGTHS, abbreviate
from ...logs.pages import Page
from ...logs.search import Search
from ..bindings import pane_bindings
from ..data.line_window import LineWindow
from ..rendering.component_style import component_style
from ..rendering.format import DIM
from ..rendering.line_wrap import wrapped_row, wrapped_row_count

MARGIN = 300  # lines; with fewer above or below the view, more are requested
_NARROW = 140  # cells; a narrower view starts with abbreviated lines


class LineView(ScrollView, can_focus=True):
    """Lines of a log around the reader's position. Each line has an offset in the log, which never changes.

    Attributes:
        follows: The view stays at the end of the log.
        unseen: Number of lines that were added while the view did not follow.
        search: Search whose matches are highlighted.
        placeholder: Text shown while there are no lines.
        length: One of `LENGTHS`; None chooses it by the width.
        shorten: Returns a line in one of the `LENGTHS`.
        wraps: Long lines are wrapped.
        is_complete: No lines follow in the log after those that are here.
    """

    ALLOW_SELECT = True
    COMPONENT_CLASSES: ClassVar[set[str]] = {"line-view--match", "line-view--current"}
    BINDINGS: ClassVar[list[BindingType]] = pane_bindings("lines")

    class Moved(Message):
        """Posted when the view scrolls, or starts or stops following."""

    class JumpRequested(Message):
        """Posted when the reader jumps to a position of the log, in tenths of its size."""

        def __init__(self, tenths: int) -> None:
            super().__init__()
            self.tenths = tenths

    def __init__(self) -> None:
        super().__init__(id="lines")
        self.follows = True
        self.unseen = 0
        self.search: Search | None = None
        self.placeholder = ""
        self.length: str | None = None
        self.shorten: Callable[[str, str], str] = abbreviate
        self.wraps = False
        self.is_complete = False
        self._window = LineWindow()
        self._width = 0

    @property
    def lines(self) -> Sequence[str]:
        """The lines that are here, from top to bottom."""
        return self._window.lines

    @property
    def start(self) -> int:
        """Offset of the first line that is here."""
        return self._window.start

    @property
    def end(self) -> int:
        """Offset after the last line that is here."""
        return self._window.end

    @property
    def lacks_earlier(self) -> bool:
        """True if the lines do not fill the view and the log has more above."""
        return self.start > 0 and self.virtual_size.height < self.size.height

    @property
    def needs_earlier(self) -> bool:
        """True if the view is near the first line that is here and the log has more above."""
        return self.start > 0 and self._window.line_at(self.scroll_offset.y)[0] < MARGIN

    @property
    def needs_later(self) -> bool:
        """True if the view is near the last line that is here."""
        return self._window.line_at(self.scroll_offset.y + self.size.height)[0] > len(self.lines) - MARGIN

    @property
    def top(self) -> int:
        """Offset of the first line in view."""
        return self._window.offset_of(self._window.line_at(self.scroll_offset.y)[0])

    @property
    def bottom(self) -> int:
        """Offset after the last line in view."""
        return self._window.offset_of(self._window.line_at(self.scroll_offset.y + self.size.height - 1)[0] + 1)

    def clear(self, placeholder: str) -> None:
        """Remove all lines and follow a new log."""
        self.follows, self.unseen, self.placeholder = True, 0, placeholder
        if self.search is not None:
            self.search = Search(self.search.query, self.search.name)
        self.replace(Page(0, 0, []))
        self.follow()

    def replace(self, page: Page) -> None:
        """Show another part of the log."""
        self._window.clear(page.start)
        self._width = 0
        self.is_complete = False
        self.append(page)

    def append(self, page: Page) -> None:
        """Add lines at the end. If the view does not follow, the lines in view stay in place."""
        rows_dropped = self._window.append(page)
        self._resize([line for _, line in page.lines])
        if self.follows:
            self._to_end()
        elif rows_dropped:
            self._move_by(-rows_dropped)

    def prepend(self, page: Page) -> None:
        """Add lines at the top; the lines in view stay in place."""
        self._window.prepend(page)
        self._resize([line for _, line in page.lines])
        if self.follows:
            self._to_end()
        else:
            self._move_by(self._window.row_of(len(page.lines)))
        if self.is_attached and self.text_selection is not None:  # the app may be exiting
            self.screen.clear_selection()

    def follow(self) -> None:
        """Scroll to the end and stay there."""
        self.follows, self.unseen = True, 0
        self._to_end()
        self.post_message(self.Moved())

    def pause(self) -> None:
        """Stop following the end."""
        self.follows = False
        self.post_message(self.Moved())

    def toggle_follow(self) -> None:
        """Stop following the end, or follow it again."""
        if self.follows:
            self.pause()
        else:
            self.follow()

    def action_follow(self) -> None:
        """Follow the end of the log."""
        self.follow()

    def action_go(self, tenths: int) -> None:
        """Request a jump to a position, in tenths of the log."""
        self.post_message(self.JumpRequested(tenths))

    def go_to(self, offset: int, *, centred: bool = False) -> bool:
        """Scroll to the line at an offset and pause there.

        Args:
            offset: Offset in the log.
            centred: Put the line into the middle, unless it is already in view.

        Returns:
            False if the line is not here.
        """
        index = self._window.index_of(offset)
        if index is None:
            return False
        row = self._window.row_of(index)
        if not centred or not self.scroll_offset.y <= row < self.scroll_offset.y + self.size.height:
            self._to_row(row - (self.size.height // 2 if centred else 0))
        self.refresh()
        self.pause()
        return True

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow while the end is in view; pause when the reader scrolls up."""
        super().watch_scroll_y(old_value, new_value)
        if new_value < old_value and self.follows and not self.is_vertical_scroll_end:
            self.pause()
        elif new_value > old_value and not self.follows and self.is_complete and self.is_vertical_scroll_end:
            self.follow()
        else:
            self.post_message(self.Moved())

    def on_resize(self) -> None:
        """Wrap the lines to the new width."""
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

    def _resize(self, new: Sequence[str]) -> None:
        width = self.scrollable_content_region.width
        if self.wraps and width > 0:
            self._window.set_heights(wrapped_row_count(self._shown(line), width) for line in self.lines)
            self.virtual_size = Size(width, self._window.height)
        else:
            self._window.set_heights(None)
            self._width = max(self._width, *(cell_len(line) for line in new)) if new else self._width
            self.virtual_size = Size(self._width, self._window.height)
        self.refresh()

    def toggle_wrap(self) -> bool:
        """Switch wrapping of long lines on or off, and return whether it is on."""
        self.wraps = not self.wraps
        self._reflow()
        return self.wraps

    def cycle_length(self) -> str:
        """Show the next length of lines, and return it."""
        self.length = LENGTHS[(LENGTHS.index(self._length) + 1) % len(LENGTHS)]
        self._reflow()
        return self.length

    def _reflow(self) -> None:
        top = self._window.line_at(self.scroll_offset.y)[0]
        self._resize(self.lines)
        if self.follows:
            self._to_end()
        elif top < len(self.lines):
            self._to_row(self._window.row_of(top))

    @property
    def _length(self) -> str:
        return self.length or ("short" if self.size.width < _NARROW else "whole")

    def _shown(self, line: str) -> str:
        return self.shorten(line, self._length)

    def render_line(self, y: int) -> Strip:
        """Return the `y`th line in view."""
        left, top = self.scroll_offset
        width, base = self.size.width, self.visual_style
        index, part = self._window.line_at(top + y)
        if index >= len(self.lines):
            text = self.placeholder if y == 0 and not self.lines else ""
            segments = Content.styled(text, DIM).render_segments(base)
            return Strip(segments).adjust_cell_length(width, base.rich_style)
        content = self._content(index)
        if self._window.is_wrapped:
            start, end = wrapped_row(self._shown(self.lines[index]), self.scrollable_content_region.width, part)
            strip = Strip(content[start:end].render_segments(base)).adjust_cell_length(width, base.rich_style)
            return strip.apply_offsets(start, index)
        strip = Strip(content.render_segments(base)).crop_extend(left, left + width, base.rich_style)
        return strip.apply_offsets(left, index)

    def _content(self, index: int) -> Content:
        text = self._shown(self.lines[index])
        line = Content(text)
        if self.search is not None:
            is_current = self.search.current == self._window.offsets[index]
            style = component_style(self, "line-view--current" if is_current else "line-view--match")
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
        """Return the lines in view as they are shown."""
        first, last = (self._window.line_at(self.scroll_offset.y + row)[0] for row in (0, self.size.height - 1))
        return [self._shown(line) for line in self.lines[first : last + 1]]

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the text selected with the mouse."""
        return selection.extract("\n".join(map(self._shown, self.lines))), "\n"

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002 - Textual passes it
        """Redraw the selected text."""
        self.refresh()
