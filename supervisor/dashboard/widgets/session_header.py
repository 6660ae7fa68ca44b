"""Top of the screen: the session, its states and its notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from rich.cells import cell_len
from textual.content import Content
from textual.widgets import Static

from ...session.snapshot import Snapshot
from ...session.state import ALIVE, ENDED_BADLY, RunState
from ..rendering.format import BAD, BOLD, DIM, GOOD, WARN, Line, cell_content, plain_text, stopwatch
from ..rendering.run_cells import STATE_SIGNS

_COUNT_ORDER = (
    *(RunState.FAILED, RunState.LOST, RunState.BLOCKED, RunState.STOPPED),
    *(RunState.STOPPING, RunState.RUNNING, RunState.PENDING, RunState.QUEUED, RunState.WAITING, RunState.SUCCEEDED),
    RunState.SKIPPED,
)


class SessionHeader(Static):
    """One line on the session, and a second one for a note or a problem."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(Content("pmssm-supervise · contacting the engine…"), id="session")
        self._clock = clock
        self._snapshot: Snapshot | None = None
        self._unreachable: str | None = None
        self._lines: list[Line] = []

    def show(self, snapshot: Snapshot | None, unreachable: str | None) -> None:
        """Show the newest snapshot.

        Args:
            snapshot: The newest snapshot; None if there has been none.
            unreachable: Why the engine does not answer; None while it does.
        """
        self._snapshot, self._unreachable = snapshot, unreachable
        self.draw()

    def on_resize(self) -> None:
        """Adapt the lines to the new width."""
        self.draw()

    def draw(self) -> None:
        """Update the lines to the current time."""
        lines = header_lines(self._snapshot, self._unreachable, self._clock(), self.size.width)
        if lines != self._lines:
            taller = len(lines) != len(self._lines)
            self._lines = lines
            self.update(Content("\n").join(cell_content(line) for line in lines), layout=taller)


def header_lines(snapshot: Snapshot | None, unreachable: str | None, now: float, width: int) -> list[Line]:
    """Return one or two lines on the session.

    Args:
        snapshot: The newest snapshot; None if there has been none.
        unreachable: Why the engine does not answer; None while it does.
        now: Current time, unix seconds.
        width: Room in cells.
    """
    if snapshot is None:
        status = "contacting the engine…"
        if unreachable is not None:
            status = f"cannot reach the engine, retrying… ({plain_text(unreachable)})"
        return [[("pmssm-supervise", BOLD), (f" · {status}", "")]]
    end = snapshot.ended if snapshot.state == "finished" and snapshot.ended else now
    facts: Line = [(plain_text(snapshot.name), BOLD), (f" {plain_text(snapshot.session)}", "")]
    mode = "jobs" if snapshot.has_jobs else snapshot.mode or "selecting slots"
    allocation = [snapshot.allocation.describe(now)] if snapshot.allocation is not None else []
    for fact in (mode, stopwatch(end - (snapshot.started or end)), *map(plain_text, allocation)):
        facts.append((f" · {fact}", ""))
    facts += [(" · ", "")]
    counted = counts(snapshot)
    facts += counted if _width(facts + counted) <= width else counts_as_symbols(snapshot)
    notes = [note for note in snapshot.notes if snapshot.gpu_error is None or snapshot.gpu_error not in note]
    note = f" · {plain_text(notes[0])}" if notes else ""  # the pane of the GPUs shows why there is none
    banner = _banner(snapshot, unreachable, width)
    if note and _width(facts) + cell_len(note) <= width:
        facts.append((note, DIM))
    elif note and not banner:
        banner = [(note.removeprefix(" · "), DIM)]
    return [facts, banner] if banner else [facts]


def counts(snapshot: Snapshot) -> Line:
    """Return the number of runs in each state, problems first: `1 failed, 2 running, 1 waiting`."""
    spans: Line = []
    for state, number in _count_states(snapshot):
        style = BAD if state in (RunState.FAILED, RunState.LOST) else BOLD if state in ALIVE else ""
        spans += [(", ", ""), (f"{number} {state}", style)]
    return spans[1:]


def counts_as_symbols(snapshot: Snapshot) -> Line:
    """Return the counts for a narrow screen, with the glyphs of the table: `✗ 1  ▶ 2  ○ 1`."""
    spans: Line = []
    for state, number in _count_states(snapshot):
        glyph, style = STATE_SIGNS[state]
        spans += [("  ", ""), (f"{glyph} {number}", style)]
    return spans[1:]


def _count_states(snapshot: Snapshot) -> list[tuple[RunState, int]]:
    number = Counter(run.state for run in snapshot.runs.values())
    return [(state, number[state]) for state in _COUNT_ORDER if number[state]]


def _width(line: Line) -> int:
    return sum(cell_len(text) for text, _ in line)


def _banner(snapshot: Snapshot, unreachable: str | None, width: int) -> Line:
    if snapshot.state == "finished":
        bad = any(run.state in ENDED_BADLY for run in snapshot.runs.values())
        outcome = "finished; not every run succeeded" if bad else "finished; every run succeeded"
        return [(f"The session has {outcome}. ", WARN if bad else GOOD), ("r restarts a run, q leaves.", "")]
    if unreachable is not None:
        reason = f" ({plain_text(unreachable)})" if width >= 100 else ""
        return [
            ("engine unreachable, reconnecting…", WARN),
            (f" The runs continue; this data is out of date.{reason}", ""),
        ]
    return []
