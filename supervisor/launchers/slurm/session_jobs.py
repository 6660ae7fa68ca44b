"""The jobs of all sessions of this user, found by their tokens: also those whose engine and login node are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import UserError
from .call_budget import CallBudget
from .commands import SlurmCommands
from .errors import SlurmError
from .states import Phase, explain
from .tokens import JobToken


class JobListError(UserError):
    """Slurm cannot be asked for the jobs."""


@dataclass(frozen=True)
class SessionJob:
    """A pending or running job of a session.

    Attributes:
        token: Session, run and attempt.
        job_id: Its number.
        state: What it does, in words.
    """

    token: JobToken
    job_id: int
    state: str


def find_jobs(environment: Mapping[str, str] | None = None) -> tuple[SessionJob, ...]:
    """Return all pending and running jobs of sessions, by session and number.

    Args:
        environment: Variables for Slurm's programs, by default our own.

    Raises:
        JobListError: There is no Slurm here, or it does not answer.
    """
    commands = SlurmCommands(environment, budget=CallBudget())
    try:
        jobs = asyncio.run(commands.queue())
    except SlurmError as error:
        raise JobListError(str(error)) from None
    found = []
    for job in jobs:
        meaning = explain(job)
        if job.token is not None and meaning.phase in (Phase.PENDING, Phase.RUNNING):
            found.append(SessionJob(job.token, job.job_id, meaning.sentence))
    return tuple(sorted(found, key=lambda job: (job.token.session, job.job_id)))
