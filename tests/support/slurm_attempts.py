"""Attempts of a SlurmLauncher on the loopback cluster, as an engine would drive them."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from pmssm.supervisor.launchers.attempt_files import AttemptSpec
from pmssm.supervisor.launchers.base import Outcome
from pmssm.supervisor.launchers.slurm.attempt import SlurmAttempt
from pmssm.supervisor.launchers.slurm.call_budget import CallBudget
from pmssm.supervisor.launchers.slurm.call_plan import Pace
from pmssm.supervisor.launchers.slurm.launcher import SlurmLauncher
from pmssm.supervisor.launchers.slurm.tokens import JobToken
from pmssm.supervisor.session.events import Exit

from support.slurm_cluster import SlurmCluster

T = TypeVar("T")
TICK_S = 0.05
FAST = Pace(urgent_s=0.3, waiting_s=0.3, quiet_s=0.5)


class ClusterSession:
    """A launcher and the folders of its attempts.

    Attributes:
        token: Token of the session.
        launcher: The present launcher; `restart` replaces it, as a new engine does.
    """

    def __init__(self, cluster: SlurmCluster, path: Path) -> None:
        self.cluster = cluster
        self.path = path
        self.token = secrets.token_hex(6)
        self.launcher = self._new_launcher()

    def _new_launcher(self, python: Path | None = None, programs: Path | None = None) -> SlurmLauncher:
        environment = {**os.environ, **self.cluster.environment}
        if programs is not None:
            environment["PATH"] = f"{programs}:{environment['PATH']}"
        budget = CallBudget(calls=100_000, poll_s=0.0)
        return SlurmLauncher(lambda: None, environment=environment, budget=budget, pace=FAST, python=python)

    def spec(
        self,
        command: str,
        *,
        run: str = "mlp",
        attempt: int = 1,
        grace_s: float = 10.0,
        inherited: Mapping[str, str] | None = None,
        **slurm: object,
    ) -> AttemptSpec:
        """Return what to start: a shell script, with `$here` for the files that it writes."""
        return AttemptSpec(
            command=("/bin/sh", "-c", command),
            cwd=str(self.path),
            given={"here": str(self.path)},
            log=str(self.path / f"{run}.log"),
            header="header\n",
            stop_grace_s=grace_s,
            inherited={"PATH": os.environ["PATH"], **(inherited or {})},
            run=run,
            session=self.token,
            attempt=attempt,
            slurm=slurm,
        )

    def folder(self, run: str = "mlp", attempt: int = 1) -> Path:
        return self.path / run / f"attempt_{attempt}"

    def start(self, command: str, *, run: str = "mlp", attempt: int = 1, **values: object) -> SlurmAttempt:
        """Start an attempt."""
        spec = self.spec(command, run=run, attempt=attempt, **values)  # type: ignore[arg-type]
        return self.launcher.start(self.folder(run, attempt), spec)

    def restart(self, python: Path | None = None, programs: Path | None = None) -> None:
        """Let the launcher go as a dying engine does, and take a new one.

        Args:
            python: Interpreter on the nodes, by default ours.
            programs: Folder of programs that hide those of Slurm.
        """
        self.launcher.close()
        self.launcher = self._new_launcher(python, programs)

    async def until(self, condition: Callable[[], T | None], deadline_s: float = 30.0) -> T:
        """Advance the launcher until a condition holds, and return its value."""
        deadline = time.monotonic() + deadline_s
        while True:
            self.launcher.advance()
            if value := condition():
                return value
            assert time.monotonic() < deadline, f"waited {deadline_s:g} s in vain; {self.launcher.warnings()}"
            await asyncio.sleep(TICK_S)

    async def outcome(self, attempt: SlurmAttempt, deadline_s: float = 45.0) -> Outcome:
        return await self.until(lambda: attempt.outcome, deadline_s)

    async def exit(self, attempt: SlurmAttempt, deadline_s: float = 45.0) -> Exit:
        outcome = await self.outcome(attempt, deadline_s)
        assert isinstance(outcome, Exit), outcome
        return outcome

    async def running(self, attempt: SlurmAttempt) -> int:
        """Wait until the command runs, and return the job's number."""
        await self.until(lambda: attempt.started)
        assert attempt.job_id is not None
        return attempt.job_id

    async def text(self, name: str) -> str:
        """Return what a command wrote into `$here/name`."""
        path = self.path / name
        await self.until(lambda: path.exists() and path.read_text().endswith("\n"))
        return path.read_text()

    def jobs(self, run: str = "mlp", attempt: int = 1) -> list[str]:
        """Return the states of all jobs that were submitted for an attempt."""
        name = str(JobToken(self.token, run, attempt))
        lines = self.cluster.run("squeue", "-h", "-t", "all", "-o", "%T %j").splitlines()
        return [line.split(" ", 1)[0] for line in lines if line.partition(" ")[2] == name]
