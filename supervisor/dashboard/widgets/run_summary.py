"""The selected run in words: what it does, why it does nothing, how it ended, what it runs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping

from textual.content import Content
from textual.widgets import Static

from ...plan.schema import RunPlan
from ...session.snapshot import RunView
from ...session.state import ALIVE, RunState
from ..rendering.format import BAD, BOLD, DIM, WARN, Span, cell_content, duration, memory, plain_text
from ..rendering.run_columns import is_misplaced, state_span

Line = list[Span]


class RunSummary(Static):
    """Two lines on the selected run; a low screen shows the first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(id="detail")
        self._clock = clock
        self._shown: tuple[str, RunView, RunPlan | None] | None = None
        self._others: Mapping[str, RunView] = {}
        self._stopping: tuple[str, float] | None = None  # which run, and since when, as far as was seen
        self._lines: list[Line] = []

    def show(self, name: str, run: RunView, planned: RunPlan | None, others: Mapping[str, RunView]) -> None:
        """Shows a run; `planned` is what the plan says of it, None while that is not known; `others` are all runs."""
        if run.state is not RunState.STOPPING:
            self._stopping = None
        elif self._stopping is None or self._stopping[0] != name:
            self._stopping = name, self._clock()
        self._shown, self._others = (name, run, planned), others
        self.draw()

    def draw(self) -> None:
        """Puts what is known, by the clock of now, on the screen."""
        if self._shown is None:
            return
        name, run, planned = self._shown
        first = state_line(name, run, self._clock(), self._others)
        if self._stopping is not None and planned is not None:
            left = planned.stop_grace_s - (self._clock() - self._stopping[1])
            told = f"SIGKILL in {duration(left)}" if left > 0 else "SIGKILL sent"
            first.insert(3, (f" · SIGTERM sent, writes its checkpoint; {told}", WARN))
        lines = [first, plan_line(planned)]
        if lines != self._lines:
            self._lines = lines
            self.update(Content("\n").join(cell_content(line) for line in lines), layout=False)


def state_line(name: str, run: RunView, now: float, others: Mapping[str, RunView]) -> Line:
    """A run's state and the reason for it, with what is wrong before all else."""
    spans: Line = [(name, BOLD), (": ", ""), state_span(run)]
    if is_misplaced(run):
        actual = ", ".join(str(gpu) for gpu in run.gpu_actual or ())
        spans.append((f" · runs on GPU {actual}, not on GPU {run.gpu} as it should", BAD))
    if run.stalled:
        spans.append((" · running, but without progress for far longer than usual", WARN))
    spans += [(f" · {text}", "") for text in (*_facts(run, now), _since(run, others, now)) if text]
    return spans


def _since(run: RunView, others: Mapping[str, RunView], now: float) -> str:
    """How long ago that ended which blocks the run."""
    ends = [others[name].ended for name in run.blocked_by if name in others]
    newest = max((end for end in ends if end is not None), default=None)
    return "" if newest is None else f"{duration(now - newest)} ago"


def _facts(run: RunView, now: float) -> list[str]:
    facts = [plain_text(run.reason) if run.reason != run.state else ""]
    if run.state in ALIVE and run.started is not None:
        facts.append(f"for {duration(now - run.started)}")
    elif run.started is not None and run.ended is not None:
        facts.append(f"ran {duration(run.ended - run.started)}, ended {duration(now - run.ended)} ago")
    if run.state in ALIVE:
        facts.append("" if run.gpu is None else f"GPU {run.gpu}")
        facts.append("" if run.memory_mib is None else f"RAM {memory(run.memory_mib)}")
        facts.append("" if run.pid is None else f"pid {run.pid}")
    if run.attempt > 1:
        facts.append(f"attempt {run.attempt}")
    if run.state in (RunState.STOPPED, RunState.FAILED, RunState.LOST):
        facts.append("s resumes it")
    return facts


def plan_line(planned: RunPlan | None) -> Line:
    """What the plan says of a run: its command line, ready to be copied, and what it waits for."""
    if planned is None:
        return []
    after = f"after {', '.join(planned.waits_for)} · " if planned.waits_for else ""
    return [(after, DIM), (plain_text(shlex.join(planned.command)), DIM)]
