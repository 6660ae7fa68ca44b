"""What the command line asks of Slurm: a check before a session, and the jobs of all sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from ..formatting import table
from ..gpus.node_slots import NodeShare
from ..launchers.slurm.commands import SlurmCommands
from ..launchers.slurm.errors import SlurmError
from ..launchers.slurm.preflight import ClusterReport, JobNeeds, check_cluster
from ..launchers.slurm.session_jobs import find_jobs
from ..launchers.slurm.settings import SlurmSettings
from ..plan.schema import Plan
from ..session.allocation import Allocation
from ..session.folder import list_sessions
from .output import echo, echo_error


def query_cluster(plan: Plan, logs: Path, *, probe: bool) -> ClusterReport:
    """Ask the cluster about the jobs of a plan, with their merged settings.

    Raises:
        PreflightError: There is no Slurm here, or it does not answer.
    """
    needs = {
        name: JobNeeds(SlurmSettings.model_validate(run.slurm), takes_gpu=run.wants_gpu)
        for name, run in plan.runs.items()
        if not run.is_local
    }
    return check_cluster(needs, logs, probe=probe)


def query_node_shares(allocation: Allocation, environment: Mapping[str, str]) -> tuple[NodeShare, ...]:
    """Return what an allocation has on each of its nodes; empty, with a warning, where Slurm does not answer."""
    try:
        return asyncio.run(SlurmCommands(environment).job_with_nodes(int(allocation.job_id)))[1]
    except SlurmError as error:
        echo_error(f"pmssm-supervise: the nodes of allocation {allocation.job_id} are not known: {error}")
        return ()


def print_jobs(logs: Path) -> None:
    """Print the pending and running jobs of all sessions of this user.

    Raises:
        JobListError: There is no Slurm here, or it does not answer.
    """
    stamps = {folder.token: folder.stamp for folder in list_sessions(logs)} if logs.is_dir() else {}
    jobs = find_jobs()
    if not jobs:
        echo("no session of yours has a job")
        return
    rows = [
        (stamps.get(job.token.session, job.token.session), job.token.run, str(job.job_id), job.state) for job in jobs
    ]
    echo("\n".join(table(("session", "run", "job", "state"), rows)))
    if any(job.token.session not in stamps for job in jobs):
        echo(f"sessions without a date are not in {logs}; `scancel JOB` ends one of their jobs")
