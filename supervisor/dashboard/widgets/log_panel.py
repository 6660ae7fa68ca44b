"""Log of the selected run, or of all runs: follows it, shows any part of it, searches it."""

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
QUIET_POLL_S = 0.25  # while the log does not grow
LARGE = 16 << 20  # bytes; the title shows the size of a larger log
ALL_RUNS = "all runs"


class LogPanel(Vertical):
    """A log with its title and its search line. All its lines are sanitized by `logs.sanitize`.

    Attributes:
        lines: View of the lines.
        merged: Show all logs as one; takes effect with the next `open`.
    """

    def __init__(self) -> None:
        super().__init__(id="log")
        self.lines = LineView()
        self._input = Input(placeholder="regular expression; Enter searches, Escape closes", id="search")
        self._input.cursor_blink = False  # each blink would be traffic on a slow line
        self.merged = False
        self._name = ""
        self._empty = "no output yet"
        self._path: Path | None = None
        self._pages: LogPages | None = None
        self._log_end = 0
        self._target: int | None = None  # offset to show next
        self._wake = asyncio.Event()  # poll the log now
        self._previous_focus: Widget | None = None  # before the search line was opened

    def compose(self) -> ComposeResult:
        """Yield the lines and the search line."""
        yield self.lines
        yield self._input

    def on_mount(self) -> None:
        """Hide the search line."""
        self._input.display = False
        self._retitle()

    def open(self, name: str, log: str, all_logs: Mapping[str, Path], node: str | None = None) -> None:
        """Show a run's log from its end, or all logs if `merged`; do nothing if it is shown already.

        Args:
            name: Name of the run.
            log: Path of its log; "" if there is none yet.
            all_logs: Paths of all logs by name.
            node: The other machine that writes it; None for this one.
        """
        path = Path(log) if log and not self.merged else None
        name = ALL_RUNS if self.merged else name
        if (name, path) != (self._name, self._path):
            pending = "reading all logs…" if self.merged else "no log yet: the run has not started"
            self._empty = "no output yet" if node is None else f"no output of {node} is visible here yet"
            placeholder = self._empty if path else pending
            self._switch_to(name, path, placeholder, all_logs if self.merged else None)

    def _switch_to(self, name: str, path: Path | None, placeholder: str, logs: Mapping[str, Path] | None) -> None:
        self._name, self._path, self._log_end, self._target = name, path, 0, None
        self.lines.shorten = abbreviate if logs is None else abbreviate_prefixed
        self.lines.clear(placeholder)
        self._retitle()
        self.workers.cancel_group(self, "log")
        self.workers.cancel_group(self, "scan")
        if path is not None or logs is not None:
            self.run_worker(self._serve(path, logs), group="log")

    async def _serve(self, path: Path | None, logs: Mapping[str, Path] | None) -> None:
        pages: LogPages = PagedLog(path) if path is not None else await asyncio.to_thread(MergedLog, logs or {})
        self._pages, known, self.lines.placeholder = pages, 0, self._empty
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
            busy = await self._load_lines(pages, size, grown)
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S if busy or grown else QUIET_POLL_S):
                    await self._wake.wait()

    async def _load_lines(self, pages: LogPages, size: int, grown: int) -> bool:
        """Load the lines that come into view next, and return whether there may be more.

        Args:
            pages: The log.
            size: Its size.
            grown: Growth since the last call.
        """
        lines = self.lines
        if self._target is not None:
            target, self._target = self._target, None
            lines.replace(await asyncio.to_thread(pages.around, target))
            lines.go_to(target)
        if lines.follows:
            if lines.lacks_earlier:
                lines.prepend(await asyncio.to_thread(pages.before, lines.start))
                return True
            if lines.is_complete and not grown:
                return False
            if size - lines.end > PAGE:  # too fast to read; the reader can scroll up to what is skipped
                lines.replace(await asyncio.to_thread(pages.tail))
                return True
        else:
            if grown > 0:
                lines.unseen += await asyncio.to_thread(pages.count, size - grown, size)
                self._retitle()
            if lines.needs_earlier:
                self.lines.prepend(await asyncio.to_thread(pages.before, lines.start))
                return True
            lines.is_complete = False
            if not lines.needs_later:
                return False
        page = await asyncio.to_thread(pages.after, lines.end)
        lines.is_complete = not page.lines
        if page.lines:
            lines.append(page)
        return bool(page.lines)

    # Jumps

    @on(LineView.JumpRequested)
    def _on_jump(self, event: LineView.JumpRequested) -> None:
        self._go_to(self._log_end * event.tenths // 10)

    def _go_to(self, offset: int, *, centred: bool = False) -> None:
        if not self.lines.go_to(offset, centred=centred):
            self.lines.pause()
            self._target = offset
            self._wake.set()

    # Search

    def open_search(self) -> None:
        """Show the search line and focus it."""
        self._previous_focus = self.screen.focused
        self._input.display = True
        self.screen.set_focus(self._input)  # at once: the next keys are meant for it

    def find(self, pattern: str, name: str = "") -> None:
        """Search the whole log, upwards from the view and then below it, and go to the first match.

        Args:
            pattern: Regular expression.
            name: Name of the search in the title; the pattern by default.
        """
        self.lines.search = Search(pattern, name)
        self._scan(self.lines.search, jumps=True)

    def find_next(self, direction: int) -> str:
        """Go to the next match downwards (1) or upwards (-1); return the problem, or ""."""
        search = self.lines.search
        if search is None:
            return "no search yet: press / first"
        lines = self.lines
        at_match = search.current is None or lines.top <= search.current < lines.bottom or self._target is not None
        offset = search.step(direction, None if at_match else lines.top)
        if offset is not None:
            self._go_to(offset, centred=True)
        self._retitle()
        return "" if search.matches else search.describe()

    def find_error(self, direction: int) -> str:
        """Go to the next error downwards (1) or upwards (-1); return the problem, or ""."""
        if self.lines.search is not None and self.lines.search.query == ERRORS:
            return self.find_next(direction)
        self.find(ERRORS, "errors")
        return ""

    def _scan(self, search: Search, *, jumps: bool) -> None:
        self.run_worker(self._search_all(search, jumps=jumps), group="scan", exclusive=True)

    async def _search_all(self, search: Search, *, jumps: bool) -> None:
        """Find all matches: first above the view, then below it, then in lines that are added."""
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
                match = search.at_or_before(bottom - 1)
                assert match is not None
                self._go_to(match, centred=True)
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
    def _on_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value:
            self.find(event.value)
        else:
            self.workers.cancel_group(self, "scan")
            self.lines.search = None
            self.lines.refresh()
        self._close_search(self.lines)

    def key_escape(self) -> None:
        """Close the search line."""
        self._close_search(self._previous_focus or self.lines)

    def _close_search(self, focus: Widget) -> None:
        if self._input.display:
            self._input.display = False
            focus.focus()
            self._retitle()

    @on(LineView.Moved)
    def _on_moved(self) -> None:
        self._wake.set()
        self._retitle()

    def _retitle(self) -> None:
        spans: list[Span] = [(f"log of {self._name}" if self._name else "log", BOLD)]
        if self._log_end > LARGE:
            position = "" if self.lines.follows else f", {self.lines.bottom / self._log_end:.0%}"
            spans.append((f" ({memory(self._log_end / 2**20)}{position})", DIM))
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
