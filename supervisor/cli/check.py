"""`pmssm-supervise check`: the GPUs, what would run where, whether that is in parallel, and the data."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ..gpus.models import Gpu, GpuReading
from ..gpus.poller import read_gpus
from ..gpus.slot_selection import SlotSelection, is_memory_held
from ..plan.loader import builtin_plan, load_plan
from ..session.allocation import Allocation
from .launcher_choice import choose_launchers, describe_job, keep_inside
from .new_session import choose_slots
from .output import echo, echo_error
from .session_options import PREPARE_OPTIONS, SessionOptions

_HEADINGS = ("GPU", "name", "uuid", "memory used / total", "use", "used by")


def report(
    reading: GpuReading,
    selection: SlotSelection,
    placements: Sequence[tuple[str, int | Literal["none"] | None]],
    jobs: Sequence[tuple[str, str]] = (),
) -> list[str]:
    """Return the lines to print; the last one is whether parallel training is possible, and if not, why.

    Args:
        reading: The GPUs as NVML reports them.
        selection: The slots of the plan on them.
        placements: Name of each run of this machine, and its slot in the plan.
        jobs: Name of each run of a batch system, and a description of its job.
    """
    lines = ["GPUs:", *_indented(_table([_HEADINGS, *map(_row, reading.gpus)]) if reading.gpus else ["none seen"])]
    where = [(run, _slot_text(slot, selection)) for run, slot in placements] + list(jobs)
    if where:
        lines += ["", "Runs:", *_indented(_table(where))]
    if selection.notes:
        lines += ["", "Notes:", *_indented(selection.notes)]
    if jobs and not any(slot != "none" for _, slot in placements):
        return [*lines, "", "No run needs a GPU of this machine."]
    return [*lines, "", _verdict(selection)]


def run_check(options: SessionOptions, logs: Path, histogram: Path | None) -> int:
    """Print the report, that of the cluster for jobs, and that of the trainers on the data if an option concerns these.

    Returns:
        Exit code: 0, or 2 for bad data and for jobs that the cluster refuses.

    Raises:
        UserError: There is no cluster, or it does not answer.
    """
    plan = load_plan(options.plan_file) if options.plan_file else builtin_plan()
    source = str(options.plan_file or "the built-in plan")
    plan, changed = keep_inside(choose_launchers(plan, options, source), Allocation.of(os.environ))
    if changed:
        echo_error(f"pmssm-supervise: {changed}")
    reading = read_gpus()
    selection = choose_slots(reading, options, plan, os.environ)
    placements = [(name, run.slot) for name, run in plan.runs.items() if run.is_local]
    jobs = [(name, describe_job(run.slurm)) for name, run in plan.runs.items() if not run.is_local]
    echo("\n".join(report(reading, selection, placements, jobs)))
    if jobs:
        from .slurm import query_cluster  # noqa: PLC0415 - only where a plan submits jobs

        cluster = query_cluster(plan, logs, probe=False)
        echo("\n".join(["", *cluster.lines()]))
        if any(job.error for job in cluster.jobs):
            return 2
    arguments = options.placeholders()[PREPARE_OPTIONS]
    if histogram is not None:
        arguments += ["--histogram", str(histogram.absolute())]
    return _check_data(arguments) if arguments else 0


def _check_data(arguments: Sequence[str]) -> int:
    """Run the trainers' own check of scan files, which prints its findings, and return its exit code."""
    echo("\nData:")
    command = [sys.executable, "-P", "-m", "pmssm.trainers", "check", *arguments]
    return subprocess.run(command, check=False).returncode


def _verdict(selection: SlotSelection) -> str:
    if selection.mode == "parallel":
        count = len(selection.slots)
        if selection.slots[0].gpu_index is None:
            return f"✓ {count} runs at a time on the CPU are possible!"
        return f"✓ Parallel training on {count} GPU{'s' if count > 1 else ''} is possible!"
    only = selection.slots[0]
    device = "the CPU" if only.gpu_index is None else only.name
    return f"No parallel training: {selection.reason}. The runs will train one after the other on {device}."


def _slot_text(slot: int | Literal["none"] | None, selection: SlotSelection) -> str:
    if slot == "none":
        return "takes no slot, sees no GPU"
    if slot is None and len(selection.slots) > 1:
        return f"any of {', '.join(one.name for one in selection.slots)}"
    return selection.slots[(slot or 0) % len(selection.slots)].name


def _row(gpu: Gpu) -> tuple[str, ...]:
    return (
        gpu.label.removeprefix("GPU "),
        gpu.name or "n/a",
        gpu.uuid[:12] or "n/a",
        f"{_value(gpu.memory_used_mib)} / {_value(gpu.memory_total_mib)} MiB",
        f"{_value(gpu.utilization_percent)} %",
        gpu.error or _gpu_users(gpu),
    )


def _gpu_users(gpu: Gpu) -> str:
    """Return the processes on `gpu`, as far as the driver reports them."""
    if gpu.processes:
        named = [f"pid {one.pid}" for one in gpu.processes[:3]]
        more = len(gpu.processes) - len(named)
        return ", ".join(named) + (f" and {more} more" if more else "")
    if is_memory_held(gpu):
        return "a hidden process"
    return "unknown" if gpu.processes is None else "none"


def _value(value: int | None) -> str:
    return "n/a" if value is None else str(value)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines, columns aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}" for line in lines]
