"""The GPUs: how busy, how full, and whose."""

from __future__ import annotations

from collections.abc import Callable

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from ..gpus import Gpu
from ..snapshot import Snapshot
from ..state import ALIVE
from .format import BAD, BOLD, BUSY, DIM, GOOD, UNKNOWN, WARN, Span, bar, content, duration, fit, memory, percent, plain

_IDLE_MIB = 700  # what drivers and display servers hold of a GPU that nobody uses
STALE_S = 10.0  # figures older than this are shown as old

Line = list[Span]


class GpuTable(VerticalScroll):
    """One line a GPU, or the reason why there is none."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._snapshot: Snapshot | None = None
        self._lines: list[Line] = []
        self._text = Static(Content("no figures yet"), id="gpu-lines")
        super().__init__(self._text, id="gpus")
        self.border_title = Content("GPUs")

    def on_mount(self) -> None:
        self.set_interval(1.0, self._draw)

    def show(self, snapshot: Snapshot) -> None:
        """Puts the GPUs of a new picture on the screen."""
        self._snapshot = snapshot
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        if self._snapshot is None:
            return
        lines = gpu_lines(self._snapshot, self.scrollable_content_region.width, self._clock())
        if lines != self._lines:
            self._lines = lines
            self._text.update(Content("\n").join(content(line) for line in lines))


def gpu_lines(snapshot: Snapshot, width: int, now: float) -> list[Line]:
    """What there is to say about the GPUs, in lines of at most `width` cells (reasons may be longer)."""
    lines: list[Line] = []
    age = now - snapshot.gpu_taken_at if snapshot.gpu_taken_at is not None else 0.0
    if age > STALE_S and snapshot.gpus:
        lines.append([(f"stale: these figures are {duration(age)} old", WARN)])
    if snapshot.gpu_error is not None:
        lines.append([("no GPU: ", BOLD), (plain(snapshot.gpu_error), "")])
    elif not snapshot.gpus:
        lines.append([("no GPU" if snapshot.gpu_taken_at is not None else "looking for GPUs…", DIM)])
    labels = max((len(_label(gpu)) for gpu in snapshot.gpus), default=0)
    users = [_users(gpu, snapshot) for gpu in snapshot.gpus]
    for gpu, using in zip(snapshot.gpus, users, strict=True):
        lines.append(_gpu_line(gpu, labels, width, using))
    return lines


def _label(gpu: Gpu) -> str:
    return str(gpu.index) if gpu.mig_index is None else f"{gpu.index}.{gpu.mig_index}"


def _users(gpu: Gpu, snapshot: Snapshot) -> str:
    """Who computes on the GPU: our runs by name, or how many processes of others."""
    ours = [
        name
        for name, run in snapshot.runs.items()
        if run.state in ALIVE and gpu.index in (run.gpu_actual or (() if run.gpu is None else (run.gpu,)))
    ]
    if ours:
        return ", ".join(ours)
    others = len(gpu.processes or ())
    if others:
        return f"{others} other process{'es' if others > 1 else ''}"
    busy = (gpu.utilization_percent or 0) > 0 or (gpu.memory_used_mib or 0) > _IDLE_MIB
    return "in use by others" if busy else "idle"


def _gpu_line(gpu: Gpu, labels: int, width: int, users: str) -> Line:
    label: Line = [(_label(gpu).rjust(labels), BOLD), (" ", "")]
    if gpu.error is not None:
        return [*label, (plain(gpu.error), BAD)]
    sensors = f" {_sensor(gpu.temperature_c, '°C'):>5} {_sensor(gpu.power_w, 'W'):>5}" if width >= 64 else ""
    name = f"{fit(plain(gpu.name), 22)} " if width >= 96 else ""
    figures = _memory_figures(gpu)
    room = width - labels - 1 - len(name) - 5 - len(figures) - len(sensors) - 2
    room_users = min(max(0, room - 20), 24) if width >= 44 else 0  # what is left after two bars of 10
    cells = min(40, max(0, room - room_users) // 2)
    spans: Line = [*label, (name, DIM), (bar(_part(gpu.utilization_percent, 100), cells), GOOD)]
    spans += [(f" {percent(gpu.utilization_percent):>4} ", "")]
    spans += [(bar(_part(gpu.memory_used_mib, gpu.memory_total_mib), cells), BUSY)]
    spans += [(figures, ""), (sensors, DIM)]
    if room_users > 4:
        spans.append((f" {fit(users, room_users - 1).rstrip()}", DIM if users == "idle" else ""))
    return spans


def _memory_figures(gpu: Gpu) -> str:
    if gpu.memory_used_mib is None and gpu.memory_total_mib is None:
        return f" {UNKNOWN:>11}"
    return f" {memory(gpu.memory_used_mib):>5}/{memory(gpu.memory_total_mib):<5}"


def _part(value: float | None, whole: float | None) -> float | None:
    return value / whole if value is not None and whole else None


def _sensor(value: float | None, unit: str) -> str:
    return UNKNOWN if value is None else f"{value:.0f}{unit}"
