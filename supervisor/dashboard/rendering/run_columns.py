"""Columns of the runs table: their cells, and the selection of columns for a width. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len

from ...logs.metric_history import MetricHistory
from ...plan.schema import LOCAL, Plan
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
    fit_middle,
    loss,
    memory,
    percent,
    plain_text,
    sparkline,
)
from .rounds_line import RoundsLine

MAX_NAME = 32
MAX_PROGRESS = 40

STATE_SIGNS: dict[RunState, Span] = {
    RunState.WAITING: ("○", DIM),
    RunState.BLOCKED: ("⊘", WARN),
    RunState.QUEUED: ("◇", ""),
    RunState.PENDING: ("◌", BUSY),
    RunState.RUNNING: ("▶", BUSY),
    RunState.STOPPING: ("▼", WARN),
    RunState.SUCCEEDED: ("✓", GOOD),
    RunState.FAILED: ("✗", BAD),
    RunState.STOPPED: ("■", WARN),
    RunState.LOST: ("?", BAD),
    RunState.SKIPPED: ("↷", DIM),
}
_STATES_WITH_REASON = frozenset(
    (
        RunState.FAILED,
        RunState.LOST,
        RunState.BLOCKED,
        RunState.WAITING,
        RunState.QUEUED,
        RunState.PENDING,
        RunState.SKIPPED,
    )
)
_BAR_STYLES = {RunState.SUCCEEDED: GOOD, RunState.RUNNING: BUSY}


@dataclass(frozen=True)
class Row:
    """A run as the table needs it.

    Attributes:
        name: Name of the run.
        run: Its state.
        history: Losses read from its log.
        rounds: Rounds that the line stands for; None for a single run.
    """

    name: str
    run: RunView
    history: MetricHistory | None = None
    rounds: RoundsLine | None = None

    @property
    def label(self) -> str:
        """Text in the first column."""
        return self.name if self.rounds is None else self.rounds.label


@dataclass(frozen=True)
class Column:
    """One column of the table.

    Attributes:
        key: Name of the column in the code.
        label: Text in the header line.
        width: Width in cells.
        cell: Returns text and style for a row and a width.
        rank: Importance: 0 is always shown, then lower ranks are shown first.
        right: Align to the right.
        reads_history: The cell needs the losses read from the log.
    """

    key: str
    label: str
    width: int
    cell: Callable[[Row, int], Span]
    rank: int
    right: bool = False
    reads_history: bool = False


def state_span(run: RunView) -> Span:
    """Return glyph and state; `stalled` or `wrong GPU` instead of `running` if the run has such a problem."""
    if run.state is RunState.RUNNING and is_misplaced(run):
        return "! wrong GPU", BAD
    if run.state is RunState.RUNNING and run.stalled:
        return "! stalled", WARN
    glyph, style = STATE_SIGNS[run.state]
    return f"{glyph} {run.state}", style


def is_misplaced(run: RunView) -> bool:
    """Return whether NVML finds the run's processes on other GPUs than the assigned one."""
    return run.gpu is not None and bool(run.gpu_actual) and run.gpu not in (run.gpu_actual or ())


def fraction_done(run: RunView) -> float | None:
    """Return the run's progress, 0 to 1, or None if the run does not report it."""
    epoch, epochs = run.progress.get("epoch"), run.progress.get("epochs")
    return epoch / epochs if epoch is not None and epochs else None


def _gpu(row: Row, _: int) -> Span:
    run = row.run
    if run.gpu is None:
        return (NONE, DIM) if run.cuda_visible_devices is None else ("cpu", "")
    return (f"{run.gpu}!", BAD) if is_misplaced(run) else (str(run.gpu), "")


def _node(row: Row, _: int) -> Span:
    return (NONE, DIM) if row.run.node is None else (plain_text(row.run.node), "")


def _job(row: Row, _: int) -> Span:
    return (NONE, DIM) if row.run.job_id is None else (plain_text(row.run.job_id), "")


def _progress(row: Row, width: int) -> Span:
    epoch, epochs = row.run.progress.get("epoch"), row.run.progress.get("epochs")
    if epoch is None:
        return (f"{'of ' + str(epochs) if epochs else NONE}", DIM)
    text = f"{epoch:>{len(str(epochs))}}/{epochs}" if epochs else f"epoch {epoch}"
    room = width - len(text) - 1
    if not epochs or room < 3:
        return text, ""
    return f"{bar(epoch / epochs, room)} {text}", _BAR_STYLES.get(row.run.state, "")


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
    if row.rounds is not None:
        return (sparkline(row.rounds.curve, width), "") if row.rounds.curve else ("", "")
    history = row.history
    if history is None or not history.names:
        return "", ""
    return sparkline([value for _, value in history.points(history.names[-1])], width), ""


def _best(row: Row, _: int) -> Span:
    if row.rounds is not None:
        found = row.rounds.best
        return (NONE, DIM) if found is None else (f"{loss(found[0])} @ r{found[1]}", "")
    best = row.history.best() if row.history is not None else None
    return (NONE, DIM) if best is None else (f"{loss(best[1])} @ {best[0]:.0f}", "")


def _pid(row: Row, _: int) -> Span:
    return (str(row.run.pid), "") if row.run.pid is not None else (NONE, DIM)


def _attempt(row: Row, _: int) -> Span:
    return (str(row.run.attempt), WARN if row.run.attempt > 1 else "") if row.run.attempt else (NONE, DIM)


COLUMNS = (  # from left to right
    Column("name", "run", 4, lambda row, _: (row.label, BOLD), rank=0),
    Column("state", "state", 11, lambda row, _: state_span(row.run), rank=0),
    Column("gpu", "GPU", 3, _gpu, rank=3, right=True),
    Column("node", "node", 8, _node, rank=4),
    Column("progress", "epoch", 16, _progress, rank=0),
    Column("eta", "ETA", 6, _eta, rank=2, right=True),
    Column("train_loss", "train", 8, _metric("train_loss"), rank=6, right=True),
    Column("val_loss", "val loss", 8, _metric("val_loss"), rank=1, right=True),
    Column("trend", "trend", 8, _trend, rank=5, reads_history=True),
    Column("best", "best val", 15, _best, rank=9, reads_history=True),
    Column("gpu_memory", "GPU mem", 7, _gpu_memory, rank=7, right=True),
    Column("cpu", "CPU", 5, _cpu, rank=8, right=True),
    Column("memory", "RAM", 5, _ram, rank=11, right=True),
    Column("attempt", "try", 3, _attempt, rank=10, right=True),
    Column("job", "job", 8, _job, rank=12, right=True),
    Column("pid", "pid", 7, _pid, rank=13, right=True),
)


_REPORTED_BY: dict[str, frozenset[str]] = {  # columns that stay empty without one of these groups of `progress`
    **dict.fromkeys(("progress", "eta"), frozenset({"epoch", "epochs"})),
    "train_loss": frozenset({"train_loss"}),
    **dict.fromkeys(("val_loss", "best"), frozenset({"val_loss"})),
}


def unused_columns(plan: Plan | None, runs: Mapping[str, RunView]) -> frozenset[str]:
    """Return the keys of the columns that no run can fill.

    Args:
        plan: Plan of the session; None if it is unknown, so that any column may be filled.
        runs: All runs by name.
    """
    if plan is None:
        return frozenset()
    groups = {group for run in plan.runs.values() for group in run.progress_groups}
    unused = {key for key, reported in _REPORTED_BY.items() if not groups & reported}
    if groups <= {"epoch", "epochs"}:
        unused.add("trend")
    if all(run.launcher == LOCAL for run in runs.values()):
        unused |= {"node", "job"}
    if all(run.gpu is None for run in runs.values()):
        unused.add("gpu_memory")
        if not any(run.takes_slot for run in plan.runs.values()):
            unused.add("gpu")
    return frozenset(unused)


def choose_columns(width: int, names: Iterable[str], unused: Collection[str] = ()) -> tuple[Column, ...]:
    """Return the columns that fit, from left to right, with their widths.

    Args:
        width: Width of the table in cells.
        names: Names of all runs.
        unused: Keys of columns to leave out.
    """
    longest = min(MAX_NAME, max((len(name) for name in names), default=0))
    columns = [column for column in COLUMNS if column.key not in unused]
    chosen = {column.key: column for column in columns if column.rank == 0}
    chosen["name"] = replace(chosen["name"], width=max(4, min(longest, width // 4)))
    left = width - _total_width(chosen.values())
    for column in sorted((column for column in columns if column.rank), key=lambda column: column.rank):
        if column.width + 1 > left:
            break
        chosen[column.key] = column
        left -= column.width + 1
    for key, max_width in (("name", longest), ("progress", 30), ("trend", 24), ("progress", MAX_PROGRESS)):
        if key in chosen:
            extra = max(0, min(left, max_width - chosen[key].width))
            chosen[key] = replace(chosen[key], width=chosen[key].width + extra)
            left -= extra
    return tuple(chosen[column.key] for column in COLUMNS if column.key in chosen)


def _total_width(columns: Iterable[Column]) -> int:
    return sum(column.width + 1 for column in columns)


def format_header(columns: Iterable[Column]) -> str:
    """Return the header line."""
    return " ".join(fit(column.label, column.width, column.right) for column in columns)


def format_row(columns: Sequence[Column], row: Row) -> tuple[Span, ...]:
    """Return a run's line as spans, which compare equal as long as nothing visible changed.

    The reason why a run does not run replaces the columns that are empty or matter less.
    """
    reason = plain_text(row.run.reason) if row.run.state in _STATES_WITH_REASON else ""
    shown = columns if not reason else columns[: _columns_before_reason(columns, row.run, cell_len(reason))]
    spans: list[Span] = []
    for column in shown:
        text, style = column.cell(row, column.width)
        fitted = fit_middle(text, column.width) if column.key == "name" else fit(text, column.width, column.right)
        spans += [(fitted, style), (" ", "")]
    left = _total_width(columns[len(shown) :]) - 1
    return (*spans, (fit(reason, left), STATE_SIGNS[row.run.state][1] or DIM)) if left > 0 else tuple(spans[:-1])


def _columns_before_reason(columns: Sequence[Column], run: RunView, length: int) -> int:
    """Return how many columns stay before a reason of `length` cells.

    A run without progress keeps the columns before its progress. Other runs keep their progress, and as many columns
    after it as leave room for the reason.
    """
    before = sum(column.key in ("name", "state", "gpu", "node") for column in columns)
    if "epoch" not in run.progress:
        return before
    first = before + 1
    fitting = [index for index in range(first, len(columns)) if _total_width(columns[index:]) > length]
    return max(fitting, default=first)
