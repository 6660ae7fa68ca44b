"""The log of the selected run: follows the file, and searches it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input

from ..logs import LogFollower
from .format import BOLD, DIM, WARN, Span, content, plain
from .lines_view import LinesView

POLL_S = 0.1
QUIET_POLL_S = 0.25  # while nothing comes
MAX_LINES_PER_POLL = 2000  # more than that can't be read by anybody, and would slow the keys down


class LogView(Vertical):
    """A log's newest lines. Every line on the screen has been through `logs.clean_line`."""

    def __init__(self) -> None:
        super().__init__(id="log")
        self.lines = LinesView()
        self._input = Input(placeholder="regular expression; Enter searches, Escape leaves", id="search")
        self._input.cursor_blink = False  # each blink would be traffic on a slow line
        self._name = ""
        self._path: Path | None = None

    def compose(self) -> ComposeResult:
        yield self.lines
        yield self._input

    def on_mount(self) -> None:
        self._input.display = False
        self._retitle()

    def open(self, name: str, log: str) -> None:
        """Shows a run's log from near its end; `log` is "" where there is none yet."""
        path = Path(log) if log else None
        if (name, path) == (self._name, self._path):
            return
        self._name, self._path = name, path
        self.lines.clear("no output yet" if path else "no log yet: the run has not started")
        self._retitle()
        self.workers.cancel_group(self, "log")
        if path is not None:
            self.run_worker(self._follow(path), group="log")

    async def _follow(self, path: Path) -> None:
        follower = await asyncio.to_thread(LogFollower.near_end, path)
        if follower.offset:
            self.lines.extend([f"⋯ earlier lines are in {plain(str(path))}"])
        lines = await asyncio.to_thread(follower.read)
        self.lines.extend(lines)
        while True:
            await asyncio.sleep(POLL_S if lines else QUIET_POLL_S)
            lines = await asyncio.to_thread(follower.read)
            skipped = len(lines) - MAX_LINES_PER_POLL
            if skipped > 0:
                lines = [f"⋯ {skipped} lines not shown: too many at once", *lines[skipped:]]
            self.lines.extend(lines)

    def ask(self) -> None:
        """Opens the line in which to type what to search for."""
        self._input.display = True
        self._input.focus()

    def find_next(self, direction: int) -> str:
        """Goes to the next match, about which the title tells; what is in the way, where there is none."""
        if self.lines.search is None:
            return "nothing searched for yet: press / first"
        self.lines.find_next(direction)
        self._retitle()
        return "" if self.lines.search.matches else self.lines.search.describe()

    @on(Input.Submitted)
    def _search(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value:
            self.lines.find(event.value)
        else:
            self.lines.search = None
            self.lines.refresh()
        self._leave_input()

    def key_escape(self) -> None:
        """Leaves the search line."""
        self._leave_input()

    def _leave_input(self) -> None:
        self._input.display = False
        self.lines.focus()
        self._retitle()

    @on(LinesView.Moved)
    def _retitle(self) -> None:
        spans: list[Span] = [(f"log of {self._name}" if self._name else "log", BOLD)]
        if self.lines.follows:
            spans.append((" · following", DIM))
        elif self.lines.unseen:
            spans.append((f" · paused, +{self.lines.unseen} new lines (f follows)", WARN))
        else:
            spans.append((" · paused (f follows)", WARN))
        if self.lines.search is not None:
            spans.append((f" · {self.lines.search.describe()}", ""))
        self.border_title = content(spans)
