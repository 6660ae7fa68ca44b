"""Details of one run: state and its reason, attempts, command, environment, resources."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from ...files import read_object
from ...plan.schema import RunPlan
from ...session.explain import signal_name
from ...session.snapshot import AttemptView, RunView, Snapshot
from ...session.state import ALIVE, DONE, RunState
from ..bindings import details_bar_keys, details_bindings, pane_bindings
from ..data.resource_history import TimeSeries
from ..rendering.format import (
    BOLD,
    DIM,
    WARN,
    Line,
    cell_content,
    duration,
    history_line,
    memory,
    percent,
    plain_text,
    stopwatch,
)
from ..rendering.run_cells import fraction_done, state_span
from ..widgets.key_bar import KeyBar
from ..widgets.run_summary import state_line

_OWN_VARIABLES = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "OMP_NUM_THREADS")


@dataclass(frozen=True)
class RunContext:
    """A run with the data that its details are made of.

    Attributes:
        name: Name of the run.
        run: Its state.
        run_plan: Its part of the plan, if known.
        snapshot: Snapshot of the session.
        samples: History of the resource use of all runs.
    """

    name: str
    run: RunView
    run_plan: RunPlan | None
    snapshot: Snapshot
    samples: TimeSeries


class _DetailsBox(VerticalScroll, can_focus=True, inherit_bindings=False):
    """Scrollable text with the keys that also scroll a log."""

    BINDINGS: ClassVar[list[BindingType]] = pane_bindings("details")


class RunDetailsScreen(ModalScreen[None]):
    """Details of the selected run, updated every second, with the keys that control it.

    Args:
        get_context: Returns the selected run and its data; None if there is none.
        clock: Returns the current time, unix seconds.
        remapped: The user's keymap: default key to key.
        read_only: Leave out the keys that control runs.
    """

    BINDINGS: ClassVar[list[BindingType]] = details_bindings()

    def __init__(
        self,
        get_context: Callable[[], RunContext | None],
        clock: Callable[[], float],
        remapped: Mapping[str, str],
        *,
        read_only: bool,
    ) -> None:
        super().__init__()
        self._get_context = get_context
        self._clock = clock
        self._variables: dict[tuple[str, int], Mapping[str, str]] = {}  # of each attempt that was shown
        self._box = _DetailsBox(id="details")
        self._text = Static(id="detail-lines")
        self._bar = KeyBar(details_bar_keys)
        self._bar.remapped, self._bar.read_only = remapped, read_only

    def compose(self) -> ComposeResult:
        """Yield the text and the key bar."""
        with self._box:
            yield self._text
        yield self._bar

    def on_mount(self) -> None:
        """Show the details, and update them every second."""
        self._box.focus()
        self._draw()
        self.set_interval(1.0, self._draw)

    def on_resize(self) -> None:
        """Adapt the details to the new width."""
        self.call_after_refresh(self._draw)

    async def action_other(self, step: int) -> None:
        """Show the run `step` lines further down in the table."""
        await self.app.run_action(f"select({step})")
        self._box.scroll_home(animate=False)
        self._draw()

    def action_copy(self) -> None:
        """Copy the text selected with the mouse, or all of it."""
        self.app.copy_to_clipboard(self.get_selected_text() or str(self._text.content))
        self._bar.show_message("copied", bad=False)

    def _draw(self) -> None:
        context = self._get_context()
        if context is not None:
            attempt = context.name, context.run.attempt
            if attempt not in self._variables:
                self._variables[attempt] = attempt_variables(context)
            width = max(20, self._text.size.width or 60)
            lines = details_lines(context, self._variables[attempt], self._clock(), width)
            self._box.border_title = Content(f"run {context.name}")
            self._text.update(Content("\n").join(cell_content(line) for line in lines))


def attempt_variables(context: RunContext) -> dict[str, str]:
    """Return the environment variables that supervisor and plan set for the latest attempt."""
    path = Path(context.snapshot.folder) / context.name / f"attempt_{context.run.attempt}" / "spec.json"
    spec: dict[str, Any] = read_object(path) or {}
    given = spec.get("env")
    planned = dict(context.run_plan.env) if context.run_plan else {}
    known = given if isinstance(given, dict) else planned
    return {name: str(known[name]) for name in (*_OWN_VARIABLES, *planned) if name in known}


def details_lines(context: RunContext, environment: Mapping[str, str], now: float, width: int) -> list[Line]:
    """Return the details of a run; long lines are not wrapped.

    Args:
        context: The run and its data.
        environment: Variables of the latest attempt.
        now: Current time, unix seconds.
        width: Width in cells, used for the history of the resource use.
    """
    run, run_plan = context.run, context.run_plan
    lines = [state_line(context.name, run, now, context.snapshot.runs), *_dependencies(context)]
    if run.state in ALIVE or run.attempts:
        lines += [[], [("Resources", BOLD)], *_resources(context, width)]
    if run.attempts:
        lines += [[], [("Attempts", BOLD)], *_attempts(run, now)]
    if run_plan is not None:
        lines += [[], [("Command", BOLD)], [(plain_text(shlex.join(run_plan.command)), "")]]
        lines += [[("in ", DIM), (plain_text(run_plan.cwd), "")]] if run_plan.cwd else []
    lines += [[], [("Environment", BOLD), (" added to that of the shell that started the session", DIM)]]
    lines += [[(plain_text(f"{name}={value}"), "")] for name, value in environment.items()] or [[("none", DIM)]]
    return [*lines, [], [("Log  ", BOLD), (plain_text(run.log), "")]]


def _dependencies(context: RunContext) -> list[Line]:
    """Return the runs that must end before this one, with their progress."""
    after = context.run_plan.after if context.run_plan else ()
    lines: list[Line] = []
    for name in after:
        run = context.snapshot.runs.get(name)
        if run is None:
            continue
        spans: Line = [("  after ", DIM), (name, ""), (": ", DIM), state_span(run)]
        done = fraction_done(run)
        if run.state in ALIVE and done is not None:
            left = f", about {duration(run.eta_s)} left" if run.eta_s is not None else ""
            spans.append((f", {done:.0%} done{left}", ""))
        elif run.state not in DONE and run.reason:
            spans.append((f": {plain_text(run.reason)}", ""))
        lines.append(spans)
    return lines


def _resources(context: RunContext, width: int) -> list[Line]:
    run, samples = context.run, context.samples
    room = max(10, width - 40)
    lines: list[Line] = []
    quantities: list[tuple[str, str, str, float | None]] = [
        ("CPU", "cpu", percent(run.cpu_percent), None),
        ("RAM", "ram", memory(run.memory_mib), None),
    ]
    if run.gpu is not None:
        expected = run.gpu_memory_expected_mib
        quantities.append(("GPU memory", "gpu_memory", memory(run.gpu_memory_mib), expected))
    for label, name, now, reference in quantities:
        values = samples.values(context.name, name)
        highest = max(values, default=0.0)
        note = f" of {memory(reference)} expected" if reference else ""
        spans: Line = [(f"  {label:<11}", DIM), (f"{now if run.state in ALIVE else '':>6}", ""), (f"{note:<18} ", DIM)]
        lines.append([*spans, (history_line(values, room, 0, highest), "")])
    return lines


def _attempts(run: RunView, now: float) -> Iterator[Line]:
    """Yield a line for each attempt, the newest first."""
    for attempt in reversed(run.attempts):
        is_pending = run.state is RunState.PENDING and attempt.number == run.attempt
        yield _attempt(attempt, now, "pending" if is_pending else "running")


def _attempt(attempt: AttemptView, now: float, present: str) -> Line:
    """Return the number of an attempt, when and where it ran, and how it ended, or its present state."""
    started = time.strftime("%d %b %H:%M:%S", time.localtime(attempt.started))
    elapsed = stopwatch((attempt.ended if attempt.ended is not None else now) - attempt.started)
    if attempt.error is not None:
        outcome, style = ("interrupted: " if attempt.interrupted else "") + plain_text(attempt.error), WARN
    elif attempt.exit_code is not None:
        outcome, style = f"exit code {attempt.exit_code}", "" if attempt.exit_code == 0 else WARN
    elif attempt.signal is not None:
        outcome, style = signal_name(attempt.signal), WARN
    else:
        outcome, style = (present, "") if attempt.ended is None else ("exit status unknown", WARN)
    where = "" if attempt.gpu is None else f" on GPU {attempt.gpu}"
    where += "" if attempt.node is None else f" on {plain_text(attempt.node)}"
    where += "" if attempt.job_id is None else f", job {plain_text(attempt.job_id)}"
    fresh = " from scratch" if attempt.fresh else ""
    return [(f"  {attempt.number:>3}  {started}{where}{fresh}, for {elapsed}: ", ""), (outcome, style)]
