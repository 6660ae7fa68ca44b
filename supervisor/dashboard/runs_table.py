"""The table of runs. It draws only the lines in view, and only those that changed: 1,000 runs cost no more than 20."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style

from ..snapshot import RunView
from .columns import FROM_HISTORY, Column, Row, choose_columns, header, line
from .component_style import component_style
from .format import DIM, Span, content, fit
from .history import History

HEADER = 1  # lines


class RunsTable(ScrollView, can_focus=True):
    """All runs of the session, one of which is selected."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"runs-table--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "next run", show=False),
        Binding("up", "move(-1)", "previous run", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("home", "move(-1000000)", "first run", show=False),
        Binding("end", "move(1000000)", "last run", show=False),
    ]

    class Selected(Message):
        """Another run is selected."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, history_of: Callable[[str], History | None]) -> None:
        super().__init__(id="runs")
        self._history_of = history_of
        self._runs: dict[str, RunView] = {}
        self._names: list[str] = []
        self._columns: tuple[Column, ...] = ()
        self._drawn: dict[str, tuple[Span, ...]] = {}  # what the screen shows, for lines it has shown
        self._cursor = 0

    @property
    def selected(self) -> str | None:
        """The name of the selected run; None while there are no runs."""
        return self._names[self._cursor] if self._names else None

    @property
    def shows_history(self) -> bool:
        """Whether a column in view is made from the logs' past."""
        return any(column.key in FROM_HISTORY for column in self._columns)

    @property
    def visible_names(self) -> list[str]:
        """The runs whose lines are in view."""
        first = self.scroll_offset.y
        return self._names[first : first + max(0, self.size.height - HEADER)]

    def show(self, runs: Mapping[str, RunView], first_choice: str | None) -> None:
        """Puts a new picture on the screen, touching only the lines that changed.

        `first_choice` is selected unless a run is selected already.
        """
        selected = self.selected
        self._runs = dict(runs)
        if self._names != list(runs):
            self._names = list(runs)
            wanted = selected or first_choice
            self._cursor = self._names.index(wanted) if wanted is not None and wanted in runs else 0
            self.styles.height = len(runs) + HEADER
            self._resize()
            if selected is None and self._names:
                self.post_message(self.Selected(self._names[self._cursor]))
            return
        for name in self.visible_names:
            self.refresh_run(name)

    def refresh_run(self, name: str) -> None:
        """Draws a run's line again if it shows something else by now."""
        if name in self._drawn and self._drawn[name] != self._spans(name):
            self.refresh_lines(self._names.index(name) + HEADER)

    def action_move(self, step: int) -> None:
        """Selects the run `step` lines further down."""
        self.select(self._cursor + step)

    def action_page(self, pages: int) -> None:
        """Selects a run further down by as many lines as are in view."""
        self.select(self._cursor + pages * max(1, self.size.height - HEADER - 1))

    def select(self, index: int) -> None:
        """Selects the run on a line, the nearest one if there is no such line."""
        before, self._cursor = self._cursor, max(0, min(index, len(self._names) - 1))
        if before == self._cursor:
            return
        self.refresh_lines(before + HEADER)
        self.refresh_lines(self._cursor + HEADER)
        top, rows = self.scroll_offset.y, max(1, self.size.height - HEADER)
        if not top <= self._cursor < top + rows:
            self.scroll_to(y=self._cursor if self._cursor < top else self._cursor - rows + 1, animate=False, force=True)
        self.post_message(self.Selected(self._names[self._cursor]))

    def on_resize(self) -> None:
        self._resize()

    def on_click(self, event: events.Click) -> None:
        index = event.y - HEADER + self.scroll_offset.y
        if event.y >= HEADER and index < len(self._names):
            self.select(index)

    def _resize(self) -> None:
        self._columns = choose_columns(self.scrollable_content_region.width or self.size.width, self._names)
        self._drawn.clear()
        self.virtual_size = Size(self.size.width, len(self._names) + HEADER)
        self.refresh()

    def _spans(self, name: str) -> tuple[Span, ...]:
        return line(self._columns, Row(name, self._runs[name], self._history_of(name)))

    def render_line(self, y: int) -> Strip:
        """The `y`th line in view; the header stays in place."""
        base = self.visual_style
        if y < HEADER:
            text = header(self._columns) if self._names else "no runs yet"
            return self._strip(((fit(text, self.size.width), DIM),), base)
        index = y - HEADER + self.scroll_offset.y
        if index >= len(self._names):
            return Strip.blank(self.size.width, base.rich_style)
        name = self._names[index]
        spans = self._drawn[name] = self._spans(name)
        return self._strip(spans, component_style(self, "runs-table--cursor") if index == self._cursor else base)

    def _strip(self, spans: tuple[Span, ...], base: Style) -> Strip:
        pieces = content(spans).render(base, end="")
        segments = [Segment(text, style.rich_style) for text, style in pieces]
        return Strip(segments).adjust_cell_length(self.size.width, base.rich_style)

    def refresh_lines(self, y_start: int, line_count: int = 1) -> None:
        """Draws lines again; `y_start` counts from the top of the whole table, header included."""
        top = self.scroll_offset.y
        self.refresh(Region(0, y_start - top, self.size.width, line_count))
