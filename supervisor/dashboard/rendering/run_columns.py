"""Columns of the runs table: which there are, and which fit a width. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len

from ...plan.schema import LOCAL, Plan
from ...session.snapshot import RunView
from ...session.state import RunState
from .format import BOLD, DIM, Span, fit, fit_middle, plain_text
from .run_cells import (
    STATE_SIGNS,
    Row,
    attempt_cell,
    best_cell,
    cpu_cell,
    eta_cell,
    gpu_cell,
    gpu_memory_cell,
    job_cell,
    metric_cell,
    node_cell,
    pid_cell,
    progress_cell,
    ram_cell,
    state_span,
    trend_cell,
)

MAX_NAME = 32
MIN_PROGRESS, MAX_PROGRESS = 9, 40  # `2000/2000` without a bar

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


COLUMNS = (  # from left to right
    Column("name", "run", 4, lambda row, _: (row.label, BOLD), rank=0),
    Column("state", "state", 11, lambda row, _: state_span(row.run), rank=0),
    Column("gpu", "GPU", 3, gpu_cell, rank=3, right=True),
    Column("node", "node", 8, node_cell, rank=4),
    Column("progress", "progress", 16, progress_cell, rank=0),
    Column("eta", "ETA", 6, eta_cell, rank=2, right=True),
    Column("train_loss", "train", 8, metric_cell("train_loss"), rank=6, right=True),
    Column("val_loss", "val loss", 8, metric_cell("val_loss"), rank=1, right=True),
    Column("trend", "trend", 8, trend_cell, rank=5, reads_history=True),
    Column("best", "best val", 15, best_cell, rank=9, reads_history=True),
    Column("gpu_memory", "GPU mem", 7, gpu_memory_cell, rank=7, right=True),
    Column("cpu", "CPU", 5, cpu_cell, rank=8, right=True),
    Column("memory", "RAM", 5, ram_cell, rank=11, right=True),
    Column("attempt", "try", 3, attempt_cell, rank=10, right=True),
    Column("job", "job", 8, job_cell, rank=12, right=True),
    Column("pid", "pid", 7, pid_cell, rank=13, right=True),
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
    if all(run.launcher == LOCAL and run.node is None for run in runs.values()):
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
    if "progress" in chosen:  # names that cannot be told apart are worse than a missing bar
        name, progress = chosen["name"].width, chosen["progress"].width
        moved = max(0, min(longest - name, progress - MIN_PROGRESS))
        chosen["name"] = replace(chosen["name"], width=name + moved)
        chosen["progress"] = replace(chosen["progress"], width=progress - moved)
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
