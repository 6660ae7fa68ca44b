"""Table of runs. Only changed lines in view are drawn, so 1,000 runs cost no more than 20."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style

from ...logs.metric_history import MetricHistory
from ...session.round_lines import fold
from ...session.snapshot import RunView
from ..bindings import pane_bindings
from ..data.run_order import next_order, sort_and_filter
from ..rendering.component_style import component_style
from ..rendering.format import DIM, WARN, Span, cell_content, fit
from ..rendering.rounds_line import rounds_line
from ..rendering.run_cells import Row
from ..rendering.run_columns import Column, choose_columns, format_header, format_row

HEADER = 1  # lines
MARK = "*"


class RunsTable(ScrollView, can_focus=True):
    """The runs that match the filter; one is selected, any number may be marked.

    Args:
        history_of: Returns the losses read from a run's log, if any.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"runs-table--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = pane_bindings("runs")

    class Selected(Message):
        """Posted when another run is selected."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, history_of: Callable[[str], MetricHistory | None]) -> None:
        super().__init__(id="runs")
        self._history_of = history_of
        self._runs: dict[str, RunView] = {}
        self._names: list[str] = []  # in the order shown
        self._lines: Mapping[str, tuple[str, ...]] = {}  # names of all rounds, by the name without the round
        self._folded: dict[str, str] = {}  # the line that a listed run stands for
        self._opened: frozenset[str] = frozenset()
        self._height = 0
        self._unused: frozenset[str] = frozenset()
        self._columns: tuple[Column, ...] = ()
        self._drawn: dict[str, tuple[Span, ...]] = {}  # spans of each line as last drawn
        self._cursor = 0
        self._marks: set[str] = set()
        self._order = "plan"
        self._query = ""

    @property
    def selected(self) -> str | None:
        """Name of the selected run; None if no run is listed."""
        return self._names[self._cursor] if self._names else None

    @property
    def marked(self) -> tuple[str, ...]:
        """Names of the marked runs in the plan's order, including those hidden by the filter."""
        return tuple(name for name in self._runs if name in self._marks)

    @property
    def shows_history(self) -> bool:
        """True if a column in view needs the losses read from the logs."""
        return any(column.reads_history for column in self._columns)

    @property
    def visible_names(self) -> list[str]:
        """Names of the runs whose lines are in view."""
        first = self.scroll_offset.y
        return self._names[first : first + max(0, self.size.height - HEADER)]

    def show(
        self,
        runs: Mapping[str, RunView],
        initial: str | None,
        unused: frozenset[str] = frozenset(),
        lines: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        """Show the runs of a new snapshot, and redraw only the lines that changed.

        Args:
            runs: Runs by name, in the plan's order.
            initial: Run to select if none is selected yet.
            unused: Keys of the columns that no run can fill.
            lines: Names of all rounds of each run with rounds, by its name without the round.
        """
        self._lines = {} if lines is None else lines
        is_new = list(self._runs) != list(runs) or unused != self._unused
        self._unused = unused
        self._runs = dict(runs)
        if is_new:
            self._marks &= self._runs.keys()
        self._rearrange(initial, force=is_new)
        for name in self.visible_names:
            self.refresh_run(name)

    def cycle_order(self) -> str:
        """Sort by the next criterion and return it. If not all runs fit, select the first one."""
        self._order = next_order(self._order)
        self._rearrange()
        if len(self._names) > len(self.visible_names):
            self.select(0)
        return self._order

    def filter(self, query: str) -> None:
        """Show only runs whose name or state contains every word of the query."""
        self._query = query
        self._rearrange()
        self.refresh()

    def _rearrange(self, initial: str | None = None, *, force: bool = False) -> None:
        names = sort_and_filter(self._runs, self._order, self._query)
        folded: dict[str, str] = {}
        if not self._query:  # a filter finds single rounds
            names, folded = fold(names, self._runs, self._lines, self._opened)
            if len(names) + HEADER != self._height:
                self._height = self.styles.height = len(names) + HEADER
        if names == self._names and folded == self._folded and not force:
            return
        previous = self.selected
        target = self._listed_as(previous or initial, names, folded)
        self._names, self._folded = names, folded
        self._cursor = names.index(target) if target in names else min(self._cursor, max(0, len(names) - 1))
        self._resize()
        self._scroll_to_cursor()
        if self.selected is not None and self.selected != previous:
            self.post_message(self.Selected(self.selected))

    def _listed_as(self, name: str | None, names: list[str], folded: Mapping[str, str]) -> str | None:
        """Return the listed run that stands for a run: itself, or the current round of its line."""
        if name is None or name in names:
            return name
        line = next((line for line, members in self._lines.items() if name in members), None)
        return next((one for one, its_line in folded.items() if its_line == line), None)

    def toggle_rounds(self) -> str:
        """List all rounds of the selected run, or its current one alone; return a message about it."""
        name = self.selected
        line = next((line for line, members in self._lines.items() if name in members), None)
        if line is None:
            return "this run has no rounds"
        self._opened ^= {line}
        self._rearrange()
        self.refresh()
        return f"{line}: all rounds" if line in self._opened else f"{line}: the current round"

    def refresh_run(self, name: str) -> None:
        """Redraw a run's line if it has changed."""
        if name in self._drawn and name in self._names and self._drawn[name] != self._spans(name):
            self.refresh_lines(self._names.index(name) + HEADER)

    def toggle_mark(self) -> None:
        """Mark or unmark the selected run, and select the next one."""
        if self.selected is not None:
            self._marks ^= {self.selected}
            self.refresh_lines(self._cursor + HEADER)
            self.select(self._cursor + 1)

    def toggle_all_marks(self) -> int:
        """Clear all marks, or mark all listed runs if there are none. Return the number of marked runs."""
        self._marks = set() if self._marks else set(self._names)
        self.refresh()
        return len(self._marks)

    def action_move(self, step: int) -> None:
        """Select the run `step` lines further down."""
        self.select(self._cursor + step)

    def action_page(self, pages: int) -> None:
        """Select the run `pages` pages further down."""
        self.select(self._cursor + pages * max(1, self.size.height - HEADER - 1))

    def select(self, index: int) -> None:
        """Select the run at an index, or the nearest one."""
        previous, self._cursor = self._cursor, max(0, min(index, len(self._names) - 1))
        if previous == self._cursor:
            return
        self.refresh_lines(previous + HEADER)
        self.refresh_lines(self._cursor + HEADER)
        self._scroll_to_cursor()
        self.post_message(self.Selected(self._names[self._cursor]))

    def _scroll_to_cursor(self) -> None:
        top, rows = self.scroll_offset.y, max(1, self.size.height - HEADER)
        if not top <= self._cursor < top + rows:
            self.scroll_to(y=self._cursor if self._cursor < top else self._cursor - rows + 1, animate=False, force=True)

    def on_resize(self) -> None:
        """Choose the columns for the new width."""
        self._resize()

    def on_click(self, event: events.Click) -> None:
        """Select the run under the mouse."""
        index = event.y - HEADER + self.scroll_offset.y
        if event.y >= HEADER and index < len(self._names):
            self.select(index)

    def _resize(self) -> None:
        width = self.scrollable_content_region.width or self.size.width
        labels = [f"{self._folded[name]} 000/000" if name in self._folded else name for name in self._names]
        listed = labels if self._lines and not self._query else list(self._runs)
        self._columns = choose_columns(width - len(MARK), listed, self._unused)
        self._drawn.clear()
        self.virtual_size = Size(self.size.width, len(self._names) + HEADER)
        self.refresh()

    def _spans(self, name: str) -> tuple[Span, ...]:
        line = self._folded.get(name)
        rounds = None if line is None else rounds_line(line, self._lines[line], name, self._runs)
        return format_row(self._columns, Row(name, self._runs[name], self._history_of(name), rounds))

    def render_line(self, y: int) -> Strip:
        """Return the `y`th line in view; the header stays in place."""
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
            return f"no run matches '{self._query}'" if self._runs else "no runs yet"
        return format_header(self._columns)

    def _strip(self, spans: tuple[Span, ...], base: Style) -> Strip:
        pieces = cell_content(spans).render(base, end="")
        segments = [Segment(text, style.rich_style) for text, style in pieces]
        return Strip(segments).adjust_cell_length(self.size.width, base.rich_style)

    def refresh_lines(self, y_start: int, line_count: int = 1) -> None:
        """Redraw lines; `y_start` counts from the top of the whole table, header included."""
        top = self.scroll_offset.y
        self.refresh(Region(0, y_start - top, self.size.width, line_count))
