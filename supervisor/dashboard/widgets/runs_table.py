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

from ...logs.metric_history import MetricHistory
from ...session.snapshot import RunView
from ..data.run_order import next_order, sort_and_filter
from ..rendering.component_style import component_style
from ..rendering.format import DIM, WARN, Span, cell_content, fit
from ..rendering.run_columns import FROM_HISTORY, Column, Row, choose_columns, header, line

HEADER = 1  # lines
MARK = "*"


class RunsTable(ScrollView, can_focus=True):
    """The runs of the session that pass the filter, one of which is selected, any number of which may be marked."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"runs-table--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [  # in the order in which they were pressed, as those of the application
        Binding("down", "move(1)", "next run", show=False, priority=True),
        Binding("up", "move(-1)", "previous run", show=False, priority=True),
        Binding("pagedown", "page(1)", "page down", show=False, priority=True),
        Binding("pageup", "page(-1)", "page up", show=False, priority=True),
        Binding("home,g", "move(-1000000)", "first run", show=False, priority=True),
        Binding("end,G", "move(1000000)", "last run", show=False, priority=True),
    ]

    class Selected(Message):
        """Another run is selected."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, history_of: Callable[[str], MetricHistory | None]) -> None:
        super().__init__(id="runs")
        self._history_of = history_of
        self._runs: dict[str, RunView] = {}
        self._names: list[str] = []  # in the order shown
        self._columns: tuple[Column, ...] = ()
        self._drawn: dict[str, tuple[Span, ...]] = {}  # what the screen shows, for lines it has shown
        self._cursor = 0
        self._marks: set[str] = set()
        self._order = "plan"
        self._wanted = ""

    @property
    def selected(self) -> str | None:
        """The name of the selected run; None while there are no runs."""
        return self._names[self._cursor] if self._names else None

    @property
    def marked(self) -> tuple[str, ...]:
        """The marked runs, in the order of the plan, filtered out or not."""
        return tuple(name for name in self._runs if name in self._marks)

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
        is_new = list(self._runs) != list(runs)
        self._runs = dict(runs)
        if is_new:
            self._marks &= self._runs.keys()
            self.styles.height = len(runs) + HEADER
        self._rearrange(first_choice, anew=is_new)
        for name in self.visible_names:
            self.refresh_run(name)

    def cycle_order(self) -> str:
        """Sorts by the next criterion; which one that is. Of more runs than fit the first one is selected."""
        self._order = next_order(self._order)
        self._rearrange()
        if len(self._names) > len(self.visible_names):
            self.select(0)
        return self._order

    def filter(self, wanted: str) -> None:
        """Shows only runs whose name or state holds every word of `wanted`."""
        self._wanted = wanted
        self._rearrange()
        self.refresh()

    def _rearrange(self, first_choice: str | None = None, *, anew: bool = False) -> None:
        names = sort_and_filter(self._runs, self._order, self._wanted)
        if names == self._names and not anew:
            return
        before = self.selected
        wanted = before or first_choice
        self._names = names
        self._cursor = names.index(wanted) if wanted in names else min(self._cursor, max(0, len(names) - 1))
        self._resize()
        self._into_view()
        if self.selected is not None and self.selected != before:
            self.post_message(self.Selected(self.selected))

    def refresh_run(self, name: str) -> None:
        """Draws a run's line again if it shows something else by now."""
        if name in self._drawn and name in self._names and self._drawn[name] != self._spans(name):
            self.refresh_lines(self._names.index(name) + HEADER)

    def toggle_mark(self) -> None:
        """Marks the selected run, or takes its mark away, and goes on to the next."""
        if self.selected is not None:
            self._marks ^= {self.selected}
            self.refresh_lines(self._cursor + HEADER)
            self.select(self._cursor + 1)

    def toggle_marks(self) -> int:
        """Marks all runs that are shown; takes all marks away where there are some. How many are marked."""
        self._marks = set() if self._marks else set(self._names)
        self.refresh()
        return len(self._marks)

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
        self._into_view()
        self.post_message(self.Selected(self._names[self._cursor]))

    def _into_view(self) -> None:
        top, rows = self.scroll_offset.y, max(1, self.size.height - HEADER)
        if not top <= self._cursor < top + rows:
            self.scroll_to(y=self._cursor if self._cursor < top else self._cursor - rows + 1, animate=False, force=True)

    def on_resize(self) -> None:
        self._resize()

    def on_click(self, event: events.Click) -> None:
        index = event.y - HEADER + self.scroll_offset.y
        if event.y >= HEADER and index < len(self._names):
            self.select(index)

    def _resize(self) -> None:
        width = self.scrollable_content_region.width or self.size.width
        self._columns = choose_columns(width - len(MARK), list(self._runs))
        self._drawn.clear()
        self.virtual_size = Size(self.size.width, len(self._names) + HEADER)
        self.refresh()

    def _spans(self, name: str) -> tuple[Span, ...]:
        return line(self._columns, Row(name, self._runs[name], self._history_of(name)))

    def render_line(self, y: int) -> Strip:
        """The `y`th line in view; the header stays in place."""
        base = self.visual_style
        if y < HEADER:
            return self._strip(((fit(f" {self._header()}", self.size.width), DIM),), base)
        index = y - HEADER + self.scroll_offset.y
        if index >= len(self._names):
            return Strip.blank(self.size.width, base.rich_style)
        name = self._names[index]
        spans = self._drawn[name] = self._spans(name)
        mark = (MARK, WARN) if name in self._marks else (" ", "")
        style = component_style(self, "runs-table--cursor") if index == self._cursor else base
        return self._strip((mark, *spans), style)

    def _header(self) -> str:
        if not self._names:
            return f"no run matches '{self._wanted}'" if self._runs else "no runs yet"
        return header(self._columns)

    def _strip(self, spans: tuple[Span, ...], base: Style) -> Strip:
        pieces = cell_content(spans).render(base, end="")
        segments = [Segment(text, style.rich_style) for text, style in pieces]
        return Strip(segments).adjust_cell_length(self.size.width, base.rich_style)

    def refresh_lines(self, y_start: int, line_count: int = 1) -> None:
        """Draws lines again; `y_start` counts from the top of the whole table, header included."""
        top = self.scroll_offset.y
        self.refresh(Region(0, y_start - top, self.size.width, line_count))
