"""Table of GPUs: utilization, memory, users."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from ...gpus.models import Gpu, GpuProcess
from ...session.snapshot import RunView, Snapshot
from ...session.state import ALIVE
from ..data.resource_history import TimeSeries, gpu_key
from ..rendering.format import (
    BAD,
    BOLD,
    BUSY,
    DIM,
    GOOD,
    UNKNOWN,
    WARN,
    Line,
    bar,
    cell_content,
    duration,
    fit,
    history_rows,
    memory,
    percent,
    plain_text,
)

_IDLE_MIB = 700  # memory that drivers and display servers hold on an unused GPU
MAX_ROWS = 6  # of a GPU's history
STALE_S = 10.0  # older data is shown as stale
STALE_JOB_S = 30.0  # likewise, of another machine, whose readings come through a shared disk


class GpuTable(VerticalScroll):
    """One line per GPU, or the reason why there is none; history and processes if there is room."""

    def __init__(self, clock: Callable[[], float], samples: TimeSeries) -> None:
        self._clock = clock
        self._samples = samples
        self._snapshot: Snapshot | None = None
        self._lines: list[Line] = []
        self._text = Static(Content("no GPU data yet"), id="gpu-lines")
        super().__init__(self._text, id="gpus")
        self.border_title = Content("GPUs")

    def show(self, snapshot: Snapshot) -> None:
        """Show the GPUs of a new snapshot."""
        self._snapshot = snapshot
        self.draw()

    def on_resize(self) -> None:
        """Adapt the lines to the new size."""
        self.draw()

    def draw(self) -> None:
        """Update the lines to the current time."""
        if self._snapshot is None or not self.is_attached:  # the timer may still fire while the app exits
            return
        width, now = self.scrollable_content_region.width, self._clock()
        lines = gpu_lines(self._snapshot, width, now, self._samples)
        if len(lines) > self.size.height and not self.screen.has_class("zoom-gpus"):
            lines = gpu_lines(self._snapshot, width, now, None)
        elif (spare := (self.size.height - len(lines)) // max(1, len(self._snapshot.gpus))) > 0:
            lines = gpu_lines(self._snapshot, width, now, self._samples, rows=min(MAX_ROWS, 1 + spare))
        if lines != self._lines:
            self._lines = lines
            self._text.update(Content("\n").join(cell_content(line) for line in lines))


def gpu_lines(snapshot: Snapshot, width: int, now: float, samples: TimeSeries | None, rows: int = 1) -> list[Line]:
    """Return the lines of the table.

    Args:
        snapshot: The GPUs and the runs on them.
        width: Width in cells; only errors may be longer.
        now: Current time, unix seconds.
        samples: History of the GPUs; with it, each GPU also has its history and its processes.
        rows: Height of the history.
    """
    lines: list[Line] = []
    age = now - snapshot.gpu_taken_at if snapshot.gpu_taken_at is not None else 0.0
    if age > STALE_S and any(not gpu.node for gpu in snapshot.gpus):
        lines.append([(f"stale: this data is {duration(age)} old", WARN)])
    if snapshot.gpu_error is not None:
        where = " here" if snapshot.has_jobs else ""  # the GPUs of jobs are on their nodes
        lines.append([(f"no GPU{where}: ", BOLD), (plain_text(snapshot.gpu_error), "")])
    elif not snapshot.gpus and snapshot.has_jobs:
        lines.append([("no reading of a job's GPUs", DIM)])
    elif not snapshot.gpus:
        lines.append([("no GPU" if snapshot.gpu_taken_at is not None else "searching for GPUs…", DIM)])
    labels = max((len(_label(gpu)) for gpu in snapshot.gpus), default=0)
    for name, run in snapshot.runs.items():
        if run.gpu_error is not None:
            lines.append([(f"{name}: ", BOLD), (plain_text(run.gpu_error), "")])
    users = [_gpu_users(gpu, snapshot, now) for gpu in snapshot.gpus]
    room = max((sum(len(text) for text, _ in spans) for spans in users), default=0) + 1
    for gpu, using in zip(snapshot.gpus, users, strict=True):
        lines.append(_gpu_line(gpu, labels, width, using, room))
        if samples is not None and gpu.error is None:
            lines += [[(" " * (labels + 1), ""), *line] for line in _details(gpu, snapshot, samples, width, rows)]
    return lines


def _label(gpu: Gpu) -> str:
    place = f"{plain_text(gpu.node)} " if gpu.node else ""
    return f"{place}{gpu.index}" if gpu.mig_index is None else f"{place}{gpu.index}.{gpu.mig_index}"


def _gpu_users(gpu: Gpu, snapshot: Snapshot, now: float) -> Line:
    """Return the users of a GPU: our runs by name, then other users, or `idle`; the run of a job's GPU."""
    if gpu.node:
        age = 0.0 if gpu.read_at is None else now - gpu.read_at
        return [(gpu.run, ""), *([(f", {duration(age)} ago", WARN)] if age > STALE_JOB_S else [])]
    ours = [name for name, run in snapshot.runs.items() if run.state in ALIVE and _is_on(run, name, gpu)]
    others = Counter(process.user for process in gpu.processes or () if not process.run)
    named = [
        f"{plain_text(user)} ×{count}" if count > 1 else plain_text(user) for user, count in others.items() if user
    ]
    if others[""] and not ours:  # unknown processes may be ours, as in a container
        named.append(f"{others['']} other process{'es' if others[''] > 1 else ''}")
    spans: Line = [(", ".join(ours), "")] if ours else []
    if named:
        spans.append((f"{'; ' if ours else ''}{', '.join(named)}", DIM if ours else WARN))
    if spans:
        return spans
    busy = (gpu.utilization_percent or 0) > 0 or (gpu.memory_used_mib or 0) > _IDLE_MIB
    return [("in use by others", WARN)] if busy else [("idle", DIM)]


def _is_on(run: RunView, name: str, gpu: Gpu) -> bool:
    """Return whether a live run uses the GPU: by NVML, or by its slot until NVML lists its processes."""
    if any(process.run == name for process in gpu.processes or ()):
        return True
    if run.gpu_actual:
        return gpu.mig_index is None and gpu.index in run.gpu_actual
    return bool(gpu.uuid) and run.cuda_visible_devices == gpu.uuid


def _gpu_line(gpu: Gpu, labels: int, width: int, users: Line, users_width: int) -> Line:
    label: Line = [(_label(gpu).rjust(labels), BOLD), (" ", "")]
    if gpu.error is not None:
        return [*label, (plain_text(gpu.error), BAD)]
    sensors = f" {_sensor(gpu.temperature_c, '°C'):>5} {_sensor(gpu.power_w, 'W'):>5}" if width >= 64 else ""
    name = f"{fit(plain_text(gpu.name), 22)} " if width >= 96 else ""
    memory_text = _memory_text(gpu)
    room = width - labels - 1 - len(name) - 5 - len(memory_text) - len(sensors) - 2
    room_users = max(0, min(users_width, room - (20 if width >= 64 else 6)))
    bars = 2 if width >= 52 else 1
    cells = min(40, max(0, room - room_users) // bars)
    spans: Line = [*label, (name, DIM)]
    spans += [(bar(_fraction(gpu.utilization_percent, 100), cells), GOOD)] if bars == 2 else []
    spans += [(f" {percent(gpu.utilization_percent):>4} ", "")]
    spans += [(bar(_fraction(gpu.memory_used_mib, gpu.memory_total_mib), cells), BUSY)]
    spans += [(memory_text, ""), (sensors, DIM)]
    return [*spans, (" ", ""), *_truncate(users, room_users - 1)] if room_users > 4 else spans


def _truncate(spans: Line, width: int) -> Line:
    """Return the spans in at most `width` cells."""
    cut: Line = []
    for text, style in spans:
        cut.append((fit(text, min(len(text), width)).rstrip(), style))
        width -= len(cut[-1][0])
    return cut


def _details(gpu: Gpu, snapshot: Snapshot, samples: TimeSeries, width: int, rows: int) -> list[Line]:
    """Return the history of a GPU and its processes."""
    key = gpu_key(gpu)
    half = max(8, (width - 24) // 2)
    use = history_rows(samples.values(key, "use"), half, 0, 100, rows)
    held = history_rows(samples.values(key, "memory"), half, 0, gpu.memory_total_mib or 0, rows)
    labels = [("use ", " memory "), *[(" " * 4, " " * 8)] * (rows - 1)]
    lines: list[Line] = [
        [(one, DIM), (fit(left, half), GOOD), (other, DIM), (right, BUSY)]
        for (one, other), left, right in zip(labels, use, held, strict=True)
    ]
    return lines + [_process_line(process, snapshot) for process in gpu.processes or ()]


def _process_line(process: GpuProcess, snapshot: Snapshot) -> Line:
    run = snapshot.runs.get(process.run)
    owner = process.run or plain_text(process.user) or "unknown user"
    text = f"{owner}: pid {process.pid}, {memory(process.memory_mib)}"
    if run is None:
        return [(text, DIM)]
    expected = run.gpu_memory_expected_mib
    return [(text, ""), (f" of {memory(expected)} expected" if expected else "", DIM)]


def _memory_text(gpu: Gpu) -> str:
    if gpu.memory_used_mib is None and gpu.memory_total_mib is None:
        return f" {UNKNOWN:>11}"
    return f" {memory(gpu.memory_used_mib):>5}/{memory(gpu.memory_total_mib):<5}"


def _fraction(value: float | None, whole: float | None) -> float | None:
    return value / whole if value is not None and whole else None


def _sensor(value: float | None, unit: str) -> str:
    return UNKNOWN if value is None else f"{value:.0f}{unit}"
