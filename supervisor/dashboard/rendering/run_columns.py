"""The columns of the table of runs: what each shows of a run, and which of them a width has room for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len

from ...logs.metric_history import MetricHistory
from ...session.snapshot import RunView
from ...session.state import ALIVE, RunState
from .format import (
    BAD,
    BOLD,
    BUSY,
    DIM,
    GOOD,
    NONE,
    WARN,
    Span,
    bar,
    duration,
    fit,
    loss,
    memory,
    percent,
    plain_text,
    sparkline,
)

MAX_NAME = 32
MAX_PROGRESS = 40

STATE_SIGNS: dict[RunState, Span] = {
    RunState.WAITING: ("○", DIM),
    RunState.BLOCKED: ("⊘", WARN),
    RunState.QUEUED: ("◇", ""),
    RunState.RUNNING: ("▶", BUSY),
    RunState.STOPPING: ("▼", WARN),
    RunState.SUCCEEDED: ("✓", GOOD),
    RunState.FAILED: ("✗", BAD),
    RunState.STOPPED: ("■", WARN),
    RunState.LOST: ("?", BAD),
}
_TELLS_WHY = frozenset({RunState.FAILED, RunState.LOST, RunState.BLOCKED, RunState.WAITING, RunState.QUEUED})
_BAR_STYLES = {RunState.SUCCEEDED: GOOD, RunState.RUNNING: BUSY}


@dataclass(frozen=True)
class Row:
    """A run as the table needs it."""

    name: str
    run: RunView
    history: MetricHistory | None = None


@dataclass(frozen=True)
class Column:
    """One column; `cell` gives its text and style, `width` is in cells."""

    key: str
    label: str
    width: int
    cell: Callable[[Row, int], Span]
    right: bool = False


def state_span(run: RunView) -> Span:
    """The state as glyph and word; a run that is stalled or on another GPU than given says so instead of `running`."""
    if run.state is RunState.RUNNING and is_misplaced(run):
        return "! wrong GPU", BAD
    if run.state is RunState.RUNNING and run.stalled:
        return "! stalled", WARN
    glyph, style = STATE_SIGNS[run.state]
    return f"{glyph} {run.state}", style


def is_misplaced(run: RunView) -> bool:
    """Whether NVML sees the run's processes, and not on the GPU that the run was given."""
    return run.gpu is not None and bool(run.gpu_actual) and run.gpu not in (run.gpu_actual or ())


def fraction_done(run: RunView) -> float | None:
    """How far the run is, 0 to 1; None where it does not tell."""
    epoch, epochs = run.progress.get("epoch"), run.progress.get("epochs")
    return epoch / epochs if epoch is not None and epochs else None


def _gpu(row: Row, _: int) -> Span:
    run = row.run
    if run.gpu is None:
        return (NONE, DIM) if run.cuda_visible_devices is None else ("cpu", "")
    return (f"{run.gpu}!", BAD) if is_misplaced(run) else (str(run.gpu), "")


def _progress(row: Row, width: int) -> Span:
    epoch, epochs = row.run.progress.get("epoch"), row.run.progress.get("epochs")
    if epoch is None:
        return (f"{'of ' + str(epochs) if epochs else NONE}", DIM)
    told = f"{epoch:>{len(str(epochs))}}/{epochs}" if epochs else f"epoch {epoch}"
    room = width - len(told) - 1
    if not epochs or room < 3:
        return told, ""
    return f"{bar(epoch / epochs, room)} {told}", _BAR_STYLES.get(row.run.state, "")


def _eta(row: Row, _: int) -> Span:
    alive = row.run.state in ALIVE
    return (duration(row.run.eta_s), "") if alive and row.run.eta_s is not None else (NONE, DIM)


def _metric(name: str) -> Callable[[Row, int], Span]:
    def cell(row: Row, _: int) -> Span:
        value = row.run.progress.get(name)
        return (NONE, DIM) if value is None else (loss(value), "")

    return cell


def _gpu_memory(row: Row, _: int) -> Span:
    run = row.run
    if run.state not in ALIVE or run.gpu is None:
        return NONE, DIM
    expected, used = run.gpu_memory_expected_mib, run.gpu_memory_mib
    return memory(used), WARN if used and expected and used > 1.5 * expected else ""


def _cpu(row: Row, _: int) -> Span:
    return (percent(row.run.cpu_percent), "") if row.run.state in ALIVE else (NONE, DIM)


def _ram(row: Row, _: int) -> Span:
    return (memory(row.run.memory_mib), "") if row.run.state in ALIVE else (NONE, DIM)


def _trend(row: Row, width: int) -> Span:
    history = row.history
    if history is None or not history.names:
        return "", ""
    return sparkline([value for _, value in history.points(history.names[-1])], width), ""


def _best(row: Row, _: int) -> Span:
    best = row.history.best() if row.history is not None else None
    return (NONE, DIM) if best is None else (f"{loss(best[1])} @ {best[0]:.0f}", "")


def _pid(row: Row, _: int) -> Span:
    return (str(row.run.pid), "") if row.run.pid is not None else (NONE, DIM)


def _attempt(row: Row, _: int) -> Span:
    return (str(row.run.attempt), WARN if row.run.attempt > 1 else "") if row.run.attempt else (NONE, DIM)


_NAME = Column("name", "run", 4, lambda row, _: (row.name, BOLD))
_STATE = Column("state", "state", 11, lambda row, _: state_span(row.run))
_PROGRESS = Column("progress", "epoch", 16, _progress)
_OPTIONAL = (  # the most needed first
    Column("val_loss", "val loss", 8, _metric("val_loss"), right=True),
    Column("eta", "ETA", 6, _eta, right=True),
    Column("gpu", "GPU", 3, _gpu, right=True),
    Column("trend", "trend", 8, _trend),
    Column("train_loss", "train", 8, _metric("train_loss"), right=True),
    Column("gpu_memory", "GPU mem", 7, _gpu_memory, right=True),
    Column("cpu", "CPU", 5, _cpu, right=True),
    Column("best", "best val", 15, _best),
    Column("attempt", "try", 3, _attempt, right=True),
    Column("memory", "RAM", 5, _ram, right=True),
    Column("pid", "pid", 7, _pid, right=True),
)
_LEFT_TO_RIGHT = (
    *("name", "state", "gpu", "progress", "eta", "train_loss", "val_loss", "trend", "best"),
    *("gpu_memory", "cpu", "memory", "attempt", "pid"),
)
FROM_HISTORY = frozenset({"trend", "best"})


def choose_columns(width: int, names: Iterable[str]) -> tuple[Column, ...]:
    """The columns for a table `width` cells wide, from left to right; the bar of the epochs gets what is left over."""
    longest = min(MAX_NAME, max((len(name) for name in names), default=0))
    name = replace(_NAME, width=max(4, min(longest, width // 4)))
    chosen = {column.key: column for column in (name, _STATE, _PROGRESS)}
    left = width - _taken(chosen.values())
    for column in _OPTIONAL:
        if column.width + 1 > left:
            break
        chosen[column.key] = column
        left -= column.width + 1
    for key, most in (("progress", 30), ("trend", 24), ("name", longest), ("progress", MAX_PROGRESS)):
        if key in chosen:
            wider = max(0, min(left, most - chosen[key].width))
            chosen[key] = replace(chosen[key], width=chosen[key].width + wider)
            left -= wider
    return tuple(chosen[key] for key in _LEFT_TO_RIGHT if key in chosen)


def _taken(columns: Iterable[Column]) -> int:
    return sum(column.width + 1 for column in columns)


def header(columns: Iterable[Column]) -> str:
    """The line of the columns' labels."""
    return " ".join(fit(column.label, column.width, column.right) for column in columns)


def line(columns: Sequence[Column], row: Row) -> tuple[Span, ...]:
    """A run's line of the table, as spans that compare equal as long as nothing visible changed.

    What keeps a run from running is told in words, in place of figures that it does not have or that matter less.
    """
    why = plain_text(row.run.reason) if row.run.state in _TELLS_WHY else ""
    figures = columns if not why else columns[: _fit_words(columns, row.run, cell_len(why))]
    spans: list[Span] = []
    for column in figures:
        text, style = column.cell(row, column.width)
        spans += [(fit(text, column.width, column.right), style), (" ", "")]
    left = _taken(columns[len(figures) :]) - 1
    return (*spans, (fit(why, left), STATE_SIGNS[row.run.state][1] or DIM)) if left > 0 else tuple(spans[:-1])


def _fit_words(columns: Sequence[Column], run: RunView, length: int) -> int:
    """How many columns keep their figures: of a run that has any, as many as leave room for `length` cells of words."""
    first = next((place for place, column in enumerate(columns) if column.key == "progress"), len(columns) - 1) + 1
    if "epoch" not in run.progress:
        return first - 1
    fitting = [place for place in range(first, len(columns)) if _taken(columns[place:]) > length]
    return max(fitting, default=first)
