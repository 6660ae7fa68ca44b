"""`pmssm-supervise status` and `sessions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..formatting import duration, filled_columns, number, printable_line, table
from ..gpus.models import Gpu
from ..ipc.engine_lock import EngineLock
from ..plan.errors import PlanError
from ..plan.loader import load_plan
from ..session.folder import SessionFolder
from ..session.lookup import find_session, is_finished
from ..session.offline import read_snapshot, session_table
from ..session.round_lines import fold, lines_of_rounds
from ..session.snapshot import RunView, Snapshot
from ..session.summary import read_summary
from ..session.summary_tables import page_lines, results_table
from .command import CommandError
from .output import ascii_json, echo, warn_of_incomplete_session


def print_status(logs: Path, stamp: str | None, *, as_json: bool, all_rounds: bool) -> None:
    """Print state, progress and results of a session, from its engine or else from its files.

    Args:
        logs: The logs folder.
        stamp: The session; None for the newest.
        as_json: Whether to print the whole snapshot as JSON.
        all_rounds: Whether each round of a run is listed, instead of its current one.

    Raises:
        UserError: There is no such session, or its files are damaged.
    """
    warn_of_incomplete_session(logs)
    snapshot = _snapshot_without_engine(logs, stamp) or _snapshot_from_engine(logs, stamp)
    if as_json:
        echo(ascii_json(snapshot.model_dump_json(indent=2)))
        return
    folder = SessionFolder(logs, snapshot.session)
    summary = read_summary(folder)
    results = results_table(summary)
    lines = [
        *status_lines(snapshot, {} if all_rounds else _rounds(folder)),
        *page_lines(summary, folder.path.absolute()),
        *(["", *results] if results else []),
    ]
    echo("\n".join(lines))


def _rounds(folder: SessionFolder) -> Mapping[str, Sequence[str]]:
    """Return the lines of rounds of a session; none where its plan cannot be read, as nothing else needs that."""
    try:
        return lines_of_rounds(load_plan(folder.plan))
    except PlanError:
        return {}


def _snapshot_without_engine(logs: Path, stamp: str | None) -> Snapshot | None:
    """Return the snapshot of a finished session whose engine has exited; None for any other.

    It needs no event loop, which would cost as much as a sixth of the rest.
    """
    folder = find_session(logs, stamp)
    owner = EngineLock(logs).owner()
    has_exited = owner is not None and not owner.is_on_other_host and not Path(f"/proc/{owner.pid}").exists()
    return read_snapshot(folder) if folder is not None and has_exited and is_finished(folder) else None


def _snapshot_from_engine(logs: Path, stamp: str | None) -> Snapshot:
    import asyncio  # noqa: PLC0415 - only where there is an engine

    from ..ipc.connection import NoActiveSession  # noqa: PLC0415
    from .engine_requests import fetch_snapshot  # noqa: PLC0415

    try:
        return asyncio.run(fetch_snapshot(logs, stamp=stamp))
    except NoActiveSession:
        folder = find_session(logs, stamp)
        if folder is None:
            raise
        return read_snapshot(folder)


def print_sessions(logs: Path) -> None:
    """Print a table of the sessions of a logs folder.

    Raises:
        CommandError: There is none.
    """
    rows = session_table(logs)
    if not rows:
        raise CommandError(f"{logs}: no session here; start one with `pmssm-supervise`, or name its folder with --logs")
    echo("\n".join(table(("session", "name", "state", "result", "size"), rows)))


def status_lines(snapshot: Snapshot, rounds: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """Return the session, its runs and its GPUs as tables; columns that no run fills are left out.

    Args:
        snapshot: What to show.
        rounds: Lines of rounds, see `lines_of_rounds`, of which the current round alone is listed.
    """
    owner = f"engine {snapshot.engine_pid}" if snapshot.engine_pid else "no engine"
    mode = "jobs of a batch system" if snapshot.has_jobs else snapshot.mode or "slots not chosen yet"
    facts = [snapshot.state, mode, *_allocation(snapshot), owner]
    lines = [f"session {snapshot.session} ({printable_line(snapshot.name)}): {', '.join(facts)}"]
    lines += [f"note: {printable_line(note)}" for note in snapshot.notes]
    lines += ["", *table(*filled_columns(_HEAD, _run_rows(snapshot, rounds or {})))]
    if snapshot.gpus:
        lines += ["", *table(_GPU_HEAD, [_gpu_row(gpu) for gpu in snapshot.gpus])]
    elif snapshot.engine_pid and snapshot.gpu_error and not any(snapshot.gpu_error in note for note in snapshot.notes):
        lines += ["", f"no GPU readings{' here' if snapshot.has_jobs else ''}: {snapshot.gpu_error}"]
    return [*lines, "", f"files: {snapshot.folder}"]


def _allocation(snapshot: Snapshot) -> list[str]:
    return [snapshot.allocation.describe(snapshot.taken_at)] if snapshot.allocation is not None else []


_HEAD = ("run", "round", "state", "job", "node", "gpu", "progress", "train", "val", "elapsed", "to go", "why")
_GPU_HEAD = ("gpu", "name", "use", "memory", "temperature", "power", "")


def _run_rows(snapshot: Snapshot, rounds: Mapping[str, Sequence[str]]) -> list[list[str]]:
    names, folded = fold(list(snapshot.runs), snapshot.runs, rounds, frozenset())
    rows = []
    for name in names:
        line = rounds[folded[name]] if name in folded else ()
        position = f"{line.index(name) + 1}/{len(line)}" if line else ""
        rows.append(_run_row(name, position, snapshot.runs[name], snapshot.taken_at))
    return rows


def _run_row(name: str, position: str, run: RunView, now: float) -> list[str]:
    epoch, epochs = run.progress.get("epoch"), run.progress.get("epochs")
    return [
        name,
        position,
        run.state + (" (stalled)" if run.stalled else ""),
        run.job_id or "",
        run.node or "",
        "" if run.gpu is None else str(run.gpu),
        "" if epoch is None else f"{epoch}/{epochs}" if epochs is not None else str(epoch),
        _loss(run, "train_loss"),
        _loss(run, "val_loss"),
        duration((run.ended or now) - run.started) if run.started else "",
        duration(run.eta_s),
        run.reason,
    ]


def _loss(run: RunView, name: str) -> str:
    value = run.progress.get(name)
    return "" if value is None else f"{value:.6g}"


def _gpu_row(gpu: Gpu) -> list[str]:
    return [
        gpu.label.removeprefix("GPU "),
        gpu.name,
        number(gpu.utilization_percent, " %"),
        f"{number(gpu.memory_used_mib)} / {number(gpu.memory_total_mib, ' MiB')}",
        number(gpu.temperature_c, " °C"),
        number(gpu.power_w, " W"),
        gpu.error or "",
    ]
