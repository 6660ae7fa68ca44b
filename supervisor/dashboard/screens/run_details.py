"""All about one run: why it is as it is, its attempts, command, environment, and what it takes."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from ...files import read_object
from ...plan.schema import RunPlan
from ...session.explain import signal_name
from ...session.snapshot import AttemptView, RunView, Snapshot
from ...session.state import ALIVE, RunState
from ..bindings import detail_bar_keys, detail_bindings
from ..data.resource_history import TimeSeries
from ..rendering.format import (
    BOLD,
    DIM,
    WARN,
    Span,
    cell_content,
    clock,
    duration,
    history_line,
    memory,
    percent,
    plain_text,
)
from ..rendering.run_columns import fraction_done, state_span
from ..widgets.key_bar import KeyBar
from ..widgets.run_summary import state_line

Line = list[Span]

_OWN_VARIABLES = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "OMP_NUM_THREADS")


@dataclass(frozen=True)
class RunContext:
    """A run with all that is known about it."""

    name: str
    run: RunView
    planned: RunPlan | None
    snapshot: Snapshot
    samples: TimeSeries


class _Box(VerticalScroll, can_focus=True, inherit_bindings=False):
    """The lines, which scroll by all the keys that scroll a log."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_down", "down"),
        Binding("up,k", "scroll_up", "up"),
        Binding("pagedown,ctrl+d,space", "page_down", "page down"),
        Binding("pageup,ctrl+u,b", "page_up", "page up"),
        Binding("home,g", "scroll_home", "top"),
        Binding("end,G", "scroll_end", "bottom"),
    ]


class RunDetailsScreen(ModalScreen[None]):
    """All about the selected run, kept fresh, with the keys that act on it."""

    BINDINGS: ClassVar[list[BindingType]] = detail_bindings()

    def __init__(
        self,
        look: Callable[[], RunContext | None],
        now: Callable[[], float],
        keys: Mapping[str, str],
        *,
        read_only: bool,
    ) -> None:
        super().__init__()
        self._look = look
        self._now = now
        self._variables: dict[tuple[str, int], Mapping[str, str]] = {}  # of each attempt that was looked at
        self._box = _Box(id="details")
        self._text = Static(id="detail-lines")
        self._bar = KeyBar(detail_bar_keys)
        self._bar.instead, self._bar.read_only = keys, read_only

    def compose(self) -> ComposeResult:
        with self._box:
            yield self._text
        yield self._bar

    def on_mount(self) -> None:
        self._box.focus()
        self._draw()
        self.set_interval(1.0, self._draw)

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    async def action_other(self, step: int) -> None:
        """Another run in place of this one."""
        await self.app.run_action(f"select({step})")
        self._box.scroll_home(animate=False)
        self._draw()

    def action_copy(self) -> None:
        """Copies what is marked with the mouse, or all of it."""
        self.app.copy_to_clipboard(self.get_selected_text() or str(self._text.content))
        self._bar.say("copied", bad=False)

    def _draw(self) -> None:
        subject = self._look()
        if subject is not None:
            attempt = subject.name, subject.run.attempt
            if attempt not in self._variables:
                self._variables[attempt] = variables(subject)
            width = max(20, self._text.size.width or 60)
            lines = detail_lines(subject, self._variables[attempt], self._now(), width)
            self._box.border_title = Content(f"run {subject.name}")
            self._text.update(Content("\n").join(cell_content(line) for line in lines))


def variables(subject: RunContext) -> dict[str, str]:
    """The environment variables that the supervisor and the plan gave to the latest attempt."""
    path = Path(subject.snapshot.folder) / subject.name / f"attempt_{subject.run.attempt}" / "spec.json"
    spec: dict[str, Any] = read_object(path) or {}
    given = spec.get("env")
    wanted = dict(subject.planned.env) if subject.planned else {}
    known = given if isinstance(given, dict) else wanted
    return {name: str(known[name]) for name in (*_OWN_VARIABLES, *wanted) if name in known}


def detail_lines(subject: RunContext, environment: Mapping[str, str], now: float, width: int) -> list[Line]:
    """Everything about a run, line by line; long texts are wrapped by whoever shows them."""
    run, planned = subject.run, subject.planned
    lines = [state_line(subject.name, run, now, subject.snapshot.runs), *_dependencies(subject)]
    if run.state in ALIVE or run.attempts:
        lines += [[], [("What it takes", BOLD)], *_resources(subject, width)]
    if run.attempts:
        lines += [[], [("Attempts", BOLD)], *(_attempt(attempt, now) for attempt in reversed(run.attempts))]
    if planned is not None:
        lines += [[], [("Command", BOLD)], [(plain_text(shlex.join(planned.command)), "")]]
        lines += [[("in ", DIM), (plain_text(planned.cwd), "")]] if planned.cwd else []
    lines += [[], [("Environment", BOLD), (" beside that of the shell that began the session", DIM)]]
    lines += [[(plain_text(f"{name}={value}"), "")] for name, value in environment.items()] or [[("nothing", DIM)]]
    return [*lines, [], [("Log  ", BOLD), (plain_text(run.log), "")]]


def _dependencies(subject: RunContext) -> list[Line]:
    """What the run waits for, and how far that is."""
    after = subject.planned.after if subject.planned else ()
    lines: list[Line] = []
    for name in after:
        run = subject.snapshot.runs.get(name)
        if run is None:
            continue
        spans: Line = [("  after ", DIM), (name, ""), (": ", DIM), state_span(run)]
        done = fraction_done(run)
        if run.state in ALIVE and done is not None:
            left = f", about {duration(run.eta_s)} left" if run.eta_s is not None else ""
            spans.append((f", {done:.0%} done{left}", ""))
        elif run.state is not RunState.SUCCEEDED and run.reason:
            spans.append((f": {plain_text(run.reason)}", ""))
        lines.append(spans)
    return lines


def _resources(subject: RunContext, width: int) -> list[Line]:
    run, samples = subject.run, subject.samples
    room = max(10, width - 40)
    lines: list[Line] = []
    figures = (
        ("CPU", "cpu", percent(run.cpu_percent), None, ""),
        ("RAM", "ram", memory(run.memory_mib), None, ""),
        ("GPU memory", "gpu_memory", memory(run.gpu_memory_mib), run.gpu_memory_expected_mib, "expected"),
    )
    for label, name, now, expected, word in figures:
        past = samples.course(subject.name, name)
        most = max(past, default=0.0)
        told = f" of {memory(expected)} {word}" if expected else ""
        spans: Line = [(f"  {label:<11}", DIM), (f"{now if run.state in ALIVE else '':>6}", ""), (f"{told:<18} ", DIM)]
        lines.append([*spans, (history_line(past, room, 0, most), "")])
    return lines


def _attempt(attempt: AttemptView, now: float) -> Line:
    """When and where an attempt ran, and how it ended."""
    began = time.strftime("%d %b %H:%M:%S", time.localtime(attempt.started))
    took = clock((attempt.ended if attempt.ended is not None else now) - attempt.started)
    if attempt.error is not None:
        how, style = plain_text(attempt.error), WARN
    elif attempt.exit_code is not None:
        how, style = f"exit code {attempt.exit_code}", "" if attempt.exit_code == 0 else WARN
    elif attempt.signal is not None:
        how, style = signal_name(attempt.signal), WARN
    else:
        how, style = ("running", "") if attempt.ended is None else ("nobody saw it end", WARN)
    where = "" if attempt.gpu is None else f" on GPU {attempt.gpu}"
    fresh = " from scratch" if attempt.fresh else ""
    return [(f"  {attempt.number:>3}  {began}{where}{fresh}, for {took}: ", ""), (how, style)]
