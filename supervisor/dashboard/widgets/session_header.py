"""The session at the top of the screen: what it is, how it goes, and what there is to say about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from rich.cells import cell_len
from textual.content import Content
from textual.widgets import Static

from ...session.snapshot import Snapshot
from ...session.state import ALIVE, ENDED_BADLY, RunState
from ..rendering.format import BAD, BOLD, DIM, GOOD, WARN, Span, cell_content, clock, plain_text
from ..rendering.run_columns import STATE_SIGNS

Line = list[Span]

_COUNT_ORDER = (
    *(RunState.FAILED, RunState.LOST, RunState.BLOCKED, RunState.STOPPED),
    *(RunState.STOPPING, RunState.RUNNING, RunState.QUEUED, RunState.WAITING, RunState.SUCCEEDED),
)


class SessionHeader(Static):
    """One line of facts, and a second one when there is something to say."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(Content("pmssm-supervise · contacting the engine…"), id="session")
        self._clock = clock
        self._snapshot: Snapshot | None = None
        self._gone: str | None = None
        self._lines: list[Line] = []

    def show(self, snapshot: Snapshot | None, gone: str | None) -> None:
        """Shows the newest picture; `gone` says why there is no newer one."""
        self._snapshot, self._gone = snapshot, gone
        self.draw()

    def on_resize(self) -> None:
        self.draw()

    def draw(self) -> None:
        """Puts what is known, by the clock of now, on the screen."""
        lines = header_lines(self._snapshot, self._gone, self._clock(), self.size.width)
        if lines != self._lines:
            taller = len(lines) != len(self._lines)
            self._lines = lines
            self.update(Content("\n").join(cell_content(line) for line in lines), layout=taller)


def header_lines(snapshot: Snapshot | None, gone: str | None, now: float, width: int) -> list[Line]:
    """What the top of the screen says, in one or two lines."""
    if snapshot is None:
        words = "contacting the engine…" if gone is None else f"no engine yet, trying again… ({plain_text(gone)})"
        return [[("pmssm-supervise", BOLD), (f" · {words}", "")]]
    end = snapshot.ended if snapshot.state == "finished" and snapshot.ended else now
    facts: Line = [(plain_text(snapshot.name), BOLD), (f" {plain_text(snapshot.session)}", "")]
    for fact in (snapshot.mode or "choosing slots", clock(end - (snapshot.started or end))):
        facts.append((f" · {fact}", ""))
    facts += [(" · ", "")]
    counted = counts(snapshot)
    facts += counted if _width(facts + counted) <= width else counts_as_symbols(snapshot)
    note = f" · {plain_text(snapshot.notes[0])}" if snapshot.notes else ""
    banner = _banner(snapshot, gone, width)
    if note and _width(facts) + cell_len(note) <= width:
        facts.append((note, DIM))
    elif note and not banner:
        banner = [(note.removeprefix(" · "), DIM)]
    return [facts, banner] if banner else [facts]


def counts(snapshot: Snapshot) -> Line:
    """How many runs are in which state, the bad ones first: `1 failed, 2 running, 1 waiting`."""
    spans: Line = []
    for state, number in _numbers(snapshot):
        style = BAD if state in (RunState.FAILED, RunState.LOST) else BOLD if state in ALIVE else ""
        spans += [(", ", ""), (f"{number} {state}", style)]
    return spans[1:]


def counts_as_symbols(snapshot: Snapshot) -> Line:
    """The same for a narrow screen, by the signs that the table explains: `✗ 1  ▶ 2  ○ 1`."""
    spans: Line = []
    for state, number in _numbers(snapshot):
        sign, style = STATE_SIGNS[state]
        spans += [("  ", ""), (f"{sign} {number}", style)]
    return spans[1:]


def _numbers(snapshot: Snapshot) -> list[tuple[RunState, int]]:
    number = Counter(run.state for run in snapshot.runs.values())
    return [(state, number[state]) for state in _COUNT_ORDER if number[state]]


def _width(line: Line) -> int:
    return sum(cell_len(text) for text, _ in line)


def _banner(snapshot: Snapshot, gone: str | None, width: int) -> Line:
    if snapshot.state == "finished":
        bad = any(run.state in ENDED_BADLY for run in snapshot.runs.values())
        told = "finished; not every run succeeded" if bad else "finished; every run succeeded"
        return [(f"The session has {told}. ", WARN if bad else GOOD), ("r restarts a run, q leaves.", "")]
    if gone is not None:
        why = f" ({plain_text(gone)})" if width >= 100 else ""
        return [("engine gone, reconnecting…", WARN), (f" The runs go on; this picture is stale.{why}", "")]
    return []
