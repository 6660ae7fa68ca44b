"""Random faults on a real cluster: whatever dies, no attempt is lost, run twice or left over.

With an even seed, attempts that start together share jobs.

`PMSSM_SLURM_TRIALS=60` runs more trials than the few of CI, `PMSSM_SLURM_SEED=7` begins with that seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from pmssm.supervisor.launchers.base import NeverStarted, Outcome
from pmssm.supervisor.launchers.slurm import call_budget, conclusion
from pmssm.supervisor.launchers.slurm.attempt import SlurmAttempt
from pmssm.supervisor.session.events import Exit
from support.slurm_attempts import ClusterSession
from support.slurm_cluster import SlurmCluster, read_json

TRIALS = int(os.environ.get("PMSSM_SLURM_TRIALS", "2"))
FIRST_SEED = int(os.environ.get("PMSSM_SLURM_SEED", "1"))
RUNS = 4
FAULTS = 5
MAX_ATTEMPTS = 8
STATE_SAVED_S = 6.0  # a killed controller forgets what is newer
TRIAL_DEADLINE_S = 240.0


@dataclass
class Run:
    """One run: its attempts in order, and what they should do."""

    name: str
    seconds: float
    exit_code: int
    attempt: SlurmAttempt
    number: int = 1
    stopped: bool = False
    outcome: Outcome | None = None


class Trial:
    """Starts a few runs, does harm to everything that takes part, and follows the runs to their ends."""

    def __init__(self, session: ClusterSession, seed: int) -> None:
        self.session = session
        self.random = random.Random(seed)
        self.bundle = 1 if seed % 2 else 3
        self.history: list[str] = []
        self.runs = [self._new_run(f"r{number}") for number in range(RUNS)]

    def _new_run(self, name: str) -> Run:
        seconds, exit_code = self.random.uniform(0.2, 8.0), self.random.choice((0, 0, 7))
        return Run(name, seconds, exit_code, self._start(name, 1, seconds, exit_code))

    def _start(self, name: str, number: int, seconds: float, exit_code: int) -> SlurmAttempt:
        mark = f"echo $$ >> $here/{name}.{number}.started"
        script = f"{mark}; sleep {seconds:.1f}; echo > $here/{name}.{number}.done; exit {exit_code}"
        return self.session.start(script, run=name, attempt=number, bundle=self.bundle)

    def advance(self) -> bool:
        """Do what an engine does in a tick, and return whether all runs are over."""
        self.session.launcher.advance()
        for run in self.runs:
            outcome = run.attempt.outcome
            if run.outcome is not None or outcome is None:
                continue
            self.check(run, outcome)
            if self._goes_on(run, outcome):
                run.number += 1
                assert run.number <= MAX_ATTEMPTS, self.history
                run.attempt = self._start(run.name, run.number, run.seconds, run.exit_code)
            else:
                run.outcome = outcome
        return all(run.outcome is not None for run in self.runs)

    @staticmethod
    def _goes_on(run: Run, outcome: Outcome) -> bool:
        return not run.stopped and (isinstance(outcome, NeverStarted) or outcome.interrupted)

    def check(self, run: Run, outcome: Outcome) -> None:
        """Check one attempt: it ran at most once, and its outcome is true."""
        started = self.session.path / f"{run.name}.{run.number}.started"
        times = len(started.read_text().splitlines()) if started.exists() else 0
        self.history.append(f"{run.name}.{run.number}: {outcome}; ran {times} times")
        assert times <= 1, self.history
        if isinstance(outcome, NeverStarted):
            assert times == 0, self.history
        elif outcome.exit_code in (0, 7):
            assert (self.session.path / f"{run.name}.{run.number}.done").exists(), self.history
            assert outcome.exit_code == run.exit_code

    async def harm(self) -> None:
        """Do something bad."""
        faults: list[Callable[[], Coroutine[None, None, None]]] = [
            *(self.kill_engine, self.kill_engine, self.kill_shim, self.kill_command, self.kill_slurmd),
            *(self.restart_controller, self.kill_controller, self.stop_run, self.cancel_outside, self.fail_node),
        ]
        if self.bundle > 1:
            faults.append(self.kill_batch_process)
        fault = self.random.choice(faults)
        self.history.append(fault.__name__)
        await fault()

    async def kill_engine(self) -> None:
        self.session.restart()
        for run in self.runs:
            if run.outcome is None:
                run.attempt = self.session.launcher.adopt(run.attempt.folder)
                if run.stopped:
                    run.attempt.request_stop("stop", 5.0)

    async def kill_shim(self) -> None:
        self._kill("shim")

    async def kill_command(self) -> None:
        self._kill("command")

    async def kill_batch_process(self) -> None:
        record = read_json(self.random.choice(self.runs).attempt.folder / "process.json") or {}
        if "shim" in record:
            with contextlib.suppress(psutil.NoSuchProcess):
                parent = psutil.Process(int(record["shim"]["pid"])).parent()
                if parent is not None and any(part.endswith("bundle_runner.py") for part in parent.cmdline()):
                    parent.kill()

    def _kill(self, which: str) -> None:
        record = read_json(self.random.choice(self.runs).attempt.folder / "process.json") or {}
        if which in record:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(record[which]["pid"]), signal.SIGKILL)

    async def kill_slurmd(self) -> None:
        os.kill(self.session.cluster.daemon_pid(f"slurmd.{self.random.choice(('n1', 'n2'))}"), signal.SIGKILL)
        await self._follow(self.random.uniform(0.0, 2.0))
        await asyncio.to_thread(self.session.cluster.repair)

    async def restart_controller(self) -> None:
        os.kill(self.session.cluster.daemon_pid("slurmctld"), signal.SIGTERM)
        await self._follow(self.random.uniform(0.0, 3.0))
        await asyncio.to_thread(self.session.cluster.repair)

    async def kill_controller(self) -> None:
        await self._follow(self.random.choice((0.0, STATE_SAVED_S)))
        os.kill(self.session.cluster.daemon_pid("slurmctld"), signal.SIGKILL)
        await self._follow(self.random.uniform(0.0, 3.0))
        await asyncio.to_thread(self.session.cluster.repair)

    async def stop_run(self) -> None:
        run = self.random.choice(self.runs)
        if run.outcome is None:
            run.stopped = True
            run.attempt.request_stop(self.random.choice(("stop", "kill")), 5.0)

    async def cancel_outside(self) -> None:
        run = self.random.choice(self.runs)
        if run.attempt.job_id is not None and run.outcome is None:
            with contextlib.suppress(AssertionError):  # the controller may be away
                self.session.cluster.run("scancel", f"--name={run.attempt.token}")

    async def fail_node(self) -> None:
        with contextlib.suppress(AssertionError):
            self.session.cluster.set_node("n2", "down")
            await self._follow(1.0)
            self.session.cluster.set_node("n2", "resume")

    async def _follow(self, duration_s: float) -> None:
        end = time.monotonic() + duration_s
        while time.monotonic() < end:
            self.advance()
            await asyncio.sleep(0.05)


@pytest.mark.long(70)
@pytest.mark.timeout(TRIAL_DEADLINE_S + 120)
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + TRIALS))
async def test_no_fault_loses_doubles_or_leaves_an_attempt(
    cluster: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    for name, value in {"RECORD_WAIT_S": 2.0, "SILENT_S": 15.0, "EXPLANATION_WAIT_S": 10.0}.items():
        monkeypatch.setattr(conclusion, name, value)
    monkeypatch.setattr(call_budget, "MAX_PAUSE_S", 0.5)
    session = ClusterSession(cluster, tmp_path)
    trial = Trial(session, seed)
    for _ in range(FAULTS):
        await trial._follow(trial.random.uniform(0.0, 3.0))
        await trial.harm()
    cluster.repair()
    deadline = time.monotonic() + TRIAL_DEADLINE_S
    while not trial.advance():
        assert time.monotonic() < deadline, (trial.history, session.launcher.warnings())
        await asyncio.sleep(0.05)
    assert all(isinstance(run.outcome, Exit | NeverStarted) for run in trial.runs)
    session.launcher.close()
    for run in trial.runs:
        while {"PENDING", "RUNNING"} & set(session.jobs(run.name, run.number)):
            assert time.monotonic() < deadline, ("a job is left over", run, trial.history)
            await asyncio.sleep(0.2)
