"""Cells of the runs table: text and style of one fact about a run. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...logs.metric_history import MetricHistory
from ...session.snapshot import RunView
from ...session.state import ALIVE, RunState
from .format import (
    BAD,
    BUSY,
    DIM,
    GOOD,
    NONE,
    WARN,
    Span,
    bar,
    duration,
    loss,
    memory,
    percent,
    plain_text,
    sparkline,
)
from .rounds_line import RoundsLine

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


def gpu_cell(row: Row, _: int) -> Span:
    """Return the assigned GPU, marked if NVML finds the run on others."""
    run = row.run
    if run.gpu is None:
        return (NONE, DIM) if run.cuda_visible_devices is None else ("cpu", "")
    return (f"{run.gpu}!", BAD) if is_misplaced(run) else (str(run.gpu), "")


def node_cell(row: Row, _: int) -> Span:
    """Return the node of the run's job."""
    return (NONE, DIM) if row.run.node is None else (plain_text(row.run.node), "")


def job_cell(row: Row, _: int) -> Span:
    """Return the number of the run's job."""
    return (NONE, DIM) if row.run.job_id is None else (plain_text(row.run.job_id), "")


def progress_cell(row: Row, width: int) -> Span:
    """Return how far the run is, as a bar and numbers where `width` has room for both."""
    epoch, epochs = row.run.progress.get("epoch"), row.run.progress.get("epochs")
    if epoch is None:
        return (f"{'of ' + str(epochs) if epochs else NONE}", DIM)
    text = f"{epoch:>{len(str(epochs))}}/{epochs}" if epochs else str(epoch)
    room = width - len(text) - 1
    if not epochs or room < 3:
        return text, ""
    return f"{bar(epoch / epochs, room)} {text}", _BAR_STYLES.get(row.run.state, "")


def eta_cell(row: Row, _: int) -> Span:
    """Return the time to go."""
    alive = row.run.state in ALIVE
    return (duration(row.run.eta_s), "") if alive and row.run.eta_s is not None else (NONE, DIM)


def metric_cell(name: str) -> Callable[[Row, int], Span]:
    """Return the cell of a number that runs report in their logs."""

    def cell(row: Row, _: int) -> Span:
        value = row.run.progress.get(name)
        return (NONE, DIM) if value is None else (loss(value), "")

    return cell


def gpu_memory_cell(row: Row, _: int) -> Span:
    """Return the GPU memory in use; a warning if it is far above what the plan expects."""
    run = row.run
    if run.state not in ALIVE or run.gpu is None:
        return NONE, DIM
    expected, used = run.gpu_memory_expected_mib, run.gpu_memory_mib
    return memory(used), WARN if used and expected and used > 1.5 * expected else ""


def cpu_cell(row: Row, _: int) -> Span:
    """Return the use of CPU cores in percent."""
    return (percent(row.run.cpu_percent), "") if row.run.state in ALIVE else (NONE, DIM)


def ram_cell(row: Row, _: int) -> Span:
    """Return the memory in use."""
    return (memory(row.run.memory_mib), "") if row.run.state in ALIVE else (NONE, DIM)


def trend_cell(row: Row, width: int) -> Span:
    """Return the last reported loss by epoch, or a result by round, as a sparkline."""
    if row.rounds is not None:
        return (sparkline(row.rounds.curve, width), "") if row.rounds.curve else ("", "")
    history = row.history
    if history is None or not history.names:
        return "", ""
    return sparkline([value for _, value in history.points(history.names[-1])], width), ""


def best_cell(row: Row, _: int) -> Span:
    """Return the best validation loss and its epoch, or the best result and its round."""
    if row.rounds is not None:
        found = row.rounds.best
        return (NONE, DIM) if found is None else (f"{loss(found[0])} @ r{found[1]}", "")
    best = row.history.best() if row.history is not None else None
    return (NONE, DIM) if best is None else (f"{loss(best[1])} @ {best[0]:.0f}", "")


def pid_cell(row: Row, _: int) -> Span:
    """Return the pid of the command."""
    return (str(row.run.pid), "") if row.run.pid is not None else (NONE, DIM)


def attempt_cell(row: Row, _: int) -> Span:
    """Return the number of the attempt."""
    return (str(row.run.attempt), WARN if row.run.attempt > 1 else "") if row.run.attempt else (NONE, DIM)
