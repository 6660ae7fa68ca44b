"""The log of the selected run, or of all runs: follows it, shows any part of it, searches it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget
from textual.widgets import Input

from ...logs.line_format import abbreviate, abbreviate_prefixed
from ...logs.merged_log import MergedLog
from ...logs.pages import PAGE, LogPages, PagedLog
from ...logs.search import ERRORS, Search
from ..rendering.format import BOLD, DIM, WARN, Span, cell_content, memory
from .line_view import LineView

POLL_S = 0.1
QUIET_POLL_S = 0.25  # while nothing comes
LARGE = 16 << 20  # bytes; of a larger log the title tells the size
ALL = "all runs"


class LogPanel(Vertical):
    """A log. Every line on the screen has been through `logs.clean_line`."""

    def __init__(self) -> None:
        super().__init__(id="log")
        self.lines = LineView()
        self._input = Input(placeholder="regular expression; Enter searches, Escape leaves", id="search")
        self._input.cursor_blink = False  # each blink would be traffic on a slow line
        self.merged = False
        self._name = ""
        self._path: Path | None = None
        self._pages: LogPages | None = None
        self._log_end = 0
        self._goal: int | None = None  # the place to show next
        self._look = asyncio.Event()  # look at the log now
        self._came_from: Widget | None = None  # had the focus before the search line

    def compose(self) -> ComposeResult:
        yield self.lines
        yield self._input

    def on_mount(self) -> None:
        self._input.display = False
        self._retitle()

    def open(self, name: str, log: str, all_logs: Mapping[str, Path]) -> None:
        """Shows a run's log from its end, or all logs if they are `merged`; `log` is "" where there is none yet."""
        path = Path(log) if log and not self.merged else None
        name = ALL if self.merged else name
        if (name, path) != (self._name, self._path):
            waits = "reading all logs…" if self.merged else "no log yet: the run has not started"
            placeholder = "no output yet" if path else waits
            self._begin(name, path, placeholder, all_logs if self.merged else None)

    def _begin(self, name: str, path: Path | None, placeholder: str, logs: Mapping[str, Path] | None) -> None:
        self._name, self._path, self._log_end, self._goal = name, path, 0, None
        self.lines.shorten = abbreviate if logs is None else abbreviate_prefixed
        self.lines.clear(placeholder)
        self._retitle()
        self.workers.cancel_group(self, "log")
        self.workers.cancel_group(self, "scan")
        if path is not None or logs is not None:
            self.run_worker(self._serve(path, logs), group="log")

    async def _serve(self, path: Path | None, logs: Mapping[str, Path] | None) -> None:
        pages: LogPages = PagedLog(path) if path is not None else await asyncio.to_thread(MergedLog, logs or {})
        self._pages, known, self.lines.placeholder = pages, 0, "no output yet"
        self.lines.replace(await asyncio.to_thread(pages.tail))
        if self.lines.search is not None:
            self._scan(self.lines.search, jumps=False)
        while True:
            identity, size = await asyncio.to_thread(pages.state)
            if known not in (0, identity) or size < self.lines.end:
                self._restart_search()
                self.lines.replace(await asyncio.to_thread(pages.tail))
            known, grown = identity, size - self._log_end
            self._log_end = size
            busy = await self._turn(pages, size, grown)
            self._look.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), POLL_S if busy or grown else QUIET_POLL_S)

    async def _turn(self, pages: LogPages, size: int, grown: int) -> bool:
        """Brings the lines that the reader is about to see; whether there were any."""
        lines = self.lines
        if self._goal is not None:
            goal, self._goal = self._goal, None
            lines.replace(await asyncio.to_thread(pages.around, goal))
            lines.go_to(goal)
        if lines.follows:
            if lines.lacks_earlier:
                lines.prepend(await asyncio.to_thread(pages.before, lines.start))
                return True
            if lines.is_whole and not grown:
                return False
            if size - lines.end > PAGE:  # nobody could read what comes in between, but may scroll up to it
                lines.replace(await asyncio.to_thread(pages.tail))
                return True
        else:
            if grown > 0:
                lines.unseen += await asyncio.to_thread(pages.count, size - grown, size)
                self._retitle()
            if lines.wants_earlier:
                self.lines.prepend(await asyncio.to_thread(pages.before, lines.start))
                return True
            lines.is_whole = False
            if not lines.wants_later:
                return False
        page = await asyncio.to_thread(pages.after, lines.end)
        lines.is_whole = not page.lines
        if page.lines:
            lines.append(page)
        return bool(page.lines)

    # Going to places

    @on(LineView.Wanted)
    def _go_to_part(self, event: LineView.Wanted) -> None:
        self._go_to(self._log_end * event.tenths // 10)

    def _go_to(self, place: int, *, centred: bool = False) -> None:
        if not self.lines.go_to(place, centred=centred):
            self.lines.pause()
            self._goal = place
            self._look.set()

    # Searching

    def ask(self) -> None:
        """Opens the line in which to type what to search for."""
        self._came_from = self.screen.focused
        self._input.display = True
        self.screen.set_focus(self._input)  # at once: what is typed next is meant for it

    def find(self, wanted: str, name: str = "") -> None:
        """Searches the whole log, from the view upwards and then below it, and goes to the first match."""
        self.lines.search = Search(wanted, name)
        self._scan(self.lines.search, jumps=True)

    def find_next(self, direction: int) -> str:
        """Goes to the next match, about which the title tells; what is in the way, where there is none."""
        search = self.lines.search
        if search is None:
            return "nothing searched for yet: press / first"
        lines = self.lines
        at_match = search.current is None or lines.top <= search.current < lines.bottom or self._goal is not None
        place = search.step(direction, None if at_match else lines.top)
        if place is not None:
            self._go_to(place, centred=True)
        self._retitle()
        return "" if search.matches else search.describe()

    def find_error(self, direction: int) -> str:
        """Goes to the next line that tells of an error; what is in the way, where there is none."""
        if self.lines.search is not None and self.lines.search.query == ERRORS:
            return self.find_next(direction)
        self.find(ERRORS, "errors")
        return ""

    def _scan(self, search: Search, *, jumps: bool) -> None:
        self.run_worker(self._search_all(search, jumps=jumps), group="scan", exclusive=True)

    async def _search_all(self, search: Search, *, jumps: bool) -> None:
        """Finds all matches, those above the view first, and then those in what is added to the log."""
        pages = self._pages
        if pages is None:
            return
        above = below = bottom = self.lines.bottom
        search.progress = 0.0
        self.lines.refresh()
        while True:
            is_above = above > 0
            find = pages.before if is_above else pages.after
            page = await asyncio.to_thread(find, above if is_above else below)
            found = await search.search_lines(page.lines)
            above, below = (page.start, below) if is_above else (0, page.end)
            search.progress = 1.0 if page.end == page.start else (below - above) / max(1, self._log_end)
            if jumps and found:
                jumps = False
                place = search.at_or_before(bottom - 1)
                assert place is not None
                self._go_to(place, centred=True)
            self._retitle()
            if search.timed_out:
                self.lines.refresh()
                return
            if page.start == page.end:
                await asyncio.sleep(QUIET_POLL_S)

    def _restart_search(self) -> None:
        search = self.lines.search
        if search is not None:
            search.clear()
            self._scan(search, jumps=False)

    @on(Input.Submitted)
    def _search(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value:
            self.find(event.value)
        else:
            self.workers.cancel_group(self, "scan")
            self.lines.search = None
            self.lines.refresh()
        self._leave_input(self.lines)

    def key_escape(self) -> None:
        """Leaves the search line."""
        self._leave_input(self._came_from or self.lines)

    def _leave_input(self, goal: Widget) -> None:
        if self._input.display:
            self._input.display = False
            goal.focus()
            self._retitle()

    @on(LineView.Moved)
    def _on_moved(self) -> None:
        self._look.set()
        self._retitle()

    def _retitle(self) -> None:
        spans: list[Span] = [(f"log of {self._name}" if self._name else "log", BOLD)]
        if self._log_end > LARGE:
            place = "" if self.lines.follows else f", {self.lines.bottom / self._log_end:.0%}"
            spans.append((f" ({memory(self._log_end / 2**20)}{place})", DIM))
        if self.lines.follows:
            spans.append((" · following", DIM))
        elif self.lines.unseen:
            spans.append((f" · paused, +{self.lines.unseen} new lines (f follows)", WARN))
        else:
            spans.append((" · paused (f follows)", WARN))
        if self.lines.search is not None:
            spans.append((f" · {self.lines.search.describe()}", ""))
        title = cell_content(spans)
        if self.border_title != title:
            self.border_title = title
