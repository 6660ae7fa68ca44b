"""What a plan would ask of a cluster, and whether the cluster can do it; before anything is written.

Slurm itself is asked (`sbatch --test-only`), once for each kind of job. A probe job then tells whether the nodes see
the logs folder, have our Python, and can start the shim. It runs once per cluster, logs folder and interpreter.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import UserError
from . import job_shim
from .batch_script import JobRequest, batch_script, sbatch_options, time_limit_minutes
from .bundles import NoBundle, bundled
from .call_budget import CallBudget
from .cluster_info import Partition, PlannedStart
from .commands import SlurmCommands
from .errors import RefusalKind, SlurmError, SubmissionRefused
from .probe import ProbeRecord, run_probe
from .settings import SlurmSettings
from .tokens import JobToken

TOO_LARGE = (RefusalKind.RESOURCES, RefusalKind.GRES, RefusalKind.MEMORY, RefusalKind.CPUS)
_ABOUT_FOLDERS = ("--export-file=", "--output=", "--chdir=")  # options that name files which do not exist yet


class PreflightError(UserError):
    """The cluster cannot run the plan; the message names the run, the setting and the remedy."""


@dataclass(frozen=True)
class JobNeeds:
    """What one run asks of Slurm.

    Attributes:
        settings: Its merged settings.
        cpus: Cores, where the settings name none.
        takes_gpu: Whether it gets one GPU, where the settings name no `gres`.
    """

    settings: SlurmSettings
    cpus: int | None = None
    takes_gpu: bool = True

    @property
    def final_settings(self) -> SlurmSettings:
        """The settings with the cores."""
        cpus = self.cpus if self.settings.cpus is None else self.settings.cpus
        return self.settings.model_copy(update={"cpus": cpus})


@dataclass(frozen=True)
class JobAnswer:
    """What Slurm says of one kind of job.

    Attributes:
        runs: The runs that ask for it.
        options: Options of sbatch that the settings make.
        start: When it would start; None if it would not.
        error: Why it would not start, with the remedy.
        bundle: How many of the runs share one job at most.
    """

    runs: tuple[str, ...]
    options: tuple[str, ...]
    start: PlannedStart | None = None
    error: str = ""
    bundle: int = 1


@dataclass(frozen=True)
class ClusterReport:
    """What a cluster has, and what it says of a plan.

    Attributes:
        cluster: Its name; empty if it has none.
        partitions: Its partitions.
        jobs: Its answers, one for each kind of job.
        probe: What the probe job found; empty if none ran.
        probe_error: Why runs would fail on the nodes.
    """

    cluster: str
    partitions: tuple[Partition, ...]
    jobs: tuple[JobAnswer, ...]
    probe: str = ""
    probe_error: str = ""

    def require_usable(self) -> None:
        """Raise the first problem.

        Raises:
            PreflightError: The cluster cannot run the plan.
        """
        for job in self.jobs:
            if job.error:
                raise PreflightError(f"{job.runs[0]}: {job.error}")
        if self.probe_error:
            raise PreflightError(self.probe_error)

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        lines = [f"Slurm cluster {self.cluster}".rstrip() + ":"]
        lines += [f"  {_partition_line(partition)}" for partition in self.partitions] or ["  no partition"]
        lines += ["", "Jobs:"]
        for job in self.jobs:
            lines.append(f"  {', '.join(job.runs)}: sbatch {' '.join(job.options)}".rstrip())
            if job.bundle > 1:
                lines.append(f"    up to {job.bundle} runs that start at the same time share one job")
            lines.append(f"    {'✗ ' + job.error if job.error else _start_line(job.start)}")
        if self.probe or self.probe_error:
            lines += ["", "Nodes:", f"  {'✗ ' + self.probe_error if self.probe_error else self.probe}"]
        return lines


def check_cluster(
    needs: Mapping[str, JobNeeds],
    logs: Path,
    *,
    probe: bool = True,
    environment: Mapping[str, str] | None = None,
) -> ClusterReport:
    """Ask a cluster about a plan.

    Args:
        needs: What each run asks for, by its name.
        logs: The logs folder, which the nodes must see.
        probe: Whether a probe job may run.
        environment: Variables for Slurm's programs, by default our own.

    Raises:
        PreflightError: There is no Slurm here, or it does not answer.
    """
    try:
        return asyncio.run(_check(needs, logs.absolute(), probe=probe, environment=environment))
    except SlurmError as error:
        raise PreflightError(str(error)) from None


async def _check(
    needs: Mapping[str, JobNeeds], logs: Path, *, probe: bool, environment: Mapping[str, str] | None
) -> ClusterReport:
    budget = CallBudget(calls=100)  # once, while the user waits
    commands = SlurmCommands(environment, budget=budget)
    cluster, partitions = await commands.cluster_name(), await commands.partitions()
    jobs = [await _query(commands, runs, need, logs, partitions) for runs, need in _kinds(needs)]
    report = ClusterReport(cluster, partitions, tuple(jobs))
    if not probe or not jobs or any(job.error for job in jobs):
        return report
    known = ProbeRecord(cluster, logs)
    if known.has_passed():
        return report
    error = await run_probe(next(iter(needs.values())).final_settings, logs, environment, budget)
    if error:
        return ClusterReport(cluster, partitions, tuple(jobs), probe_error=error)
    known.note_passed()
    found = "a probe job saw the logs folder and could start Python"
    return ClusterReport(cluster, partitions, tuple(jobs), probe=found)


def _kinds(needs: Mapping[str, JobNeeds]) -> list[tuple[tuple[str, ...], JobNeeds]]:
    """Return the distinct needs, each with the runs that have them."""
    kinds: list[tuple[list[str], JobNeeds]] = []
    for run, need in needs.items():
        alike = next((runs for runs, other in kinds if other == need), None)
        if alike is None:
            kinds.append(([run], need))
        else:
            alike.append(run)
    return [(tuple(runs), need) for runs, need in kinds]


async def _query(
    commands: SlurmCommands, runs: tuple[str, ...], need: JobNeeds, logs: Path, partitions: Sequence[Partition]
) -> JobAnswer:
    size = min(need.settings.bundle or 1, len(runs))
    request = JobRequest(
        token=JobToken("0" * 12, runs[0], 1),
        folder=logs,
        python=Path(sys.executable),
        job_shim=Path(job_shim.__file__).resolve(),
        settings=need.final_settings,
        takes_gpu=need.takes_gpu,
    )
    try:
        job = bundled([request] * size)
    except NoBundle as problem:
        return JobAnswer(runs, (), error=str(problem), bundle=size)
    options = [option for option in sbatch_options(job) if not option.startswith(_ABOUT_FOLDERS)]
    shown = tuple(option for option in options[: options.index(f"--job-name={job.token}")] if option != "--ntasks=1")
    answer = JobAnswer(runs, shown, bundle=size)
    error = time_error(need.settings, partitions)
    if error:
        return replace(answer, error=error)
    try:
        return replace(answer, start=await commands.try_submission(options, batch_script(job)))
    except SubmissionRefused as refused:
        if refused.passes:
            return answer
        is_too_large = size > 1 and refused.kind in TOO_LARGE
        return replace(answer, error=f"{refused}{', or a smaller `bundle`' if is_too_large else ''}")


def time_error(settings: SlurmSettings, partitions: Sequence[Partition]) -> str:
    """Return a complaint about a time that the partition never allows; Slurm itself would let the job wait for ever."""
    asked = time_limit_minutes(settings.time)
    names = (settings.partition or "").split(",")
    allowed = [each for each in partitions if (each.name in names if settings.partition else each.is_default)]
    limits = [time_limit_minutes(each.time_limit) for each in allowed]
    if asked is None or not limits or None in limits or asked <= max(limit for limit in limits if limit is not None):
        return ""
    known = ", ".join(f"{each.name} {each.time_limit}" for each in allowed)
    return f"time {settings.time} is longer than the partition allows ({known}); ask for less `time`"


def _partition_line(partition: Partition) -> str:
    default = " (default)" if partition.is_default else ""
    state = "" if partition.is_up else ", not in service"
    gpus = f", {partition.gres}" if partition.gres else ", no GPUs"
    size = f"{partition.nodes} nodes of {partition.cpus} CPUs, {partition.memory_mib} MiB{gpus}"
    return f"{partition.name}{default}: {size}, time limit {partition.time_limit}{state}"


def _start_line(start: PlannedStart | None) -> str:
    if start is None or start.at is None:
        return "✓ Slurm accepts it"
    at = time.strftime("%Y-%m-%d %H:%M", time.localtime(start.at))
    return f"✓ Slurm accepts it; it would start at {at} on {start.nodes}"
