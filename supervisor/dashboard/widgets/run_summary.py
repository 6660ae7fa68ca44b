"""Two lines on the selected run: state, problems, resources, command."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping

from textual.content import Content
from textual.widgets import Static

from ...plan.schema import LOCAL, RunPlan
from ...session.snapshot import RunView
from ...session.state import ALIVE, RunState
from ..rendering.format import BAD, BOLD, DIM, WARN, Line, cell_content, duration, memory, plain_text
from ..rendering.run_cells import is_misplaced, state_span


class RunSummary(Static):
    """Two lines on the selected run; a low screen shows only the first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(id="detail")
        self._clock = clock
        self._shown: tuple[str, RunView, RunPlan | None] | None = None
        self._others: Mapping[str, RunView] = {}
        self._stopping: tuple[str, float] | None = None  # the run that stops, and when that was first seen
        self._lines: list[Line] = []

    def show(self, name: str, run: RunView, run_plan: RunPlan | None, others: Mapping[str, RunView]) -> None:
        """Show a run.

        Args:
            name: Name of the run.
            run: Its state.
            run_plan: Its part of the plan, if known.
            others: All runs of the session.
        """
        if run.state is not RunState.STOPPING:
            self._stopping = None
        elif self._stopping is None or self._stopping[0] != name:
            self._stopping = name, self._clock()
        self._shown, self._others = (name, run, run_plan), others
        self.draw()

    def draw(self) -> None:
        """Update the lines to the current time."""
        if self._shown is None:
            return
        name, run, run_plan = self._shown
        first = state_line(name, run, self._clock(), self._others)
        if self._stopping is not None and run.launcher != LOCAL and run.pid is None:
            first.insert(3, (" · its job is cancelled", WARN))
        elif self._stopping is not None and run_plan is not None:
            left = run_plan.stop_grace_s - (self._clock() - self._stopping[1])
            kill = f"SIGKILL in {duration(left)}" if left > 0 else "SIGKILL sent"
            saving = ", saving checkpoint" if run_plan.can_resume else ""
            first.insert(3, (f" · SIGTERM sent{saving}; {kill}", WARN))
        lines = [first, plan_line(run_plan)]
        if lines != self._lines:
            self._lines = lines
            self.update(Content("\n").join(cell_content(line) for line in lines), layout=False)


def state_line(name: str, run: RunView, now: float, others: Mapping[str, RunView]) -> Line:
    """Return a run's state, its problems, the reason for the state, and its resources.

    Args:
        name: Name of the run.
        run: Its state.
        now: Current time, unix seconds.
        others: All runs of the session.
    """
    spans: Line = [(name, BOLD), (": ", ""), state_span(run)]
    if is_misplaced(run):
        actual = ", ".join(str(gpu) for gpu in run.gpu_actual or ())
        spans.append((f" · runs on GPU {actual}, not on GPU {run.gpu}", BAD))
    if run.stalled:
        spans.append((" · without progress for much longer than usual", WARN))
    spans += [(f" · {text}", "") for text in (*_facts(run, now), _time_since_block(run, others, now)) if text]
    return spans


def _time_since_block(run: RunView, others: Mapping[str, RunView], now: float) -> str:
    """Return how long ago the run ended that blocks this one."""
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
        facts.append("" if run.job_id is None else f"job {plain_text(run.job_id)}")
        node = "" if run.node is None else f"on {plain_text(run.node)}"
        facts.append(node if run.pid is None else f"pid {run.pid} {node}".rstrip())
    if run.attempt > 1:
        facts.append(f"attempt {run.attempt}")
    if run.state in (RunState.STOPPED, RunState.FAILED, RunState.LOST):
        facts.append("s starts it")
    return facts


def plan_line(run_plan: RunPlan | None) -> Line:
    """Return a run's dependencies and its command line, quoted for a shell."""
    if run_plan is None:
        return []
    after = f"after {', '.join(run_plan.waits_for)} · " if run_plan.waits_for else ""
    return [(after, DIM), (plain_text(shlex.join(run_plan.command)), DIM)]
