"""A job of a second that finds out whether the nodes see the logs folder, have our Python, and can start the shim."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from ...files import read_object, write_atomic
from ..attempt_files import AttemptSpec
from ..base import NeverStarted
from .attempt import SlurmAttempt
from .call_budget import CallBudget
from .call_plan import Pace
from .launcher import SlurmLauncher
from .settings import SlurmSettings

PROBE_S = 90.0  # until it has ended; a longer queue proves nothing
END_S = 30.0  # for the end of a job that is cancelled
PROBE_PACE = Pace(urgent_s=5.0, waiting_s=5.0, quiet_s=5.0)


class ProbeRecord:
    """A note in the user's cache folder that a probe job has passed, so that it runs once per cluster."""

    def __init__(self, cluster: str, logs: Path) -> None:
        base = os.environ.get("XDG_CACHE_HOME", "")
        folder = Path(base) if base.startswith("/") else Path.home() / ".cache"
        self._path = folder / "pmssm-supervise" / "slurm_probes.json"
        self._key = "|".join((cluster, str(logs.resolve()), sys.executable))

    def has_passed(self) -> bool:
        """Return whether a probe job has passed on this cluster, for this logs folder and this Python."""
        return self._key in (read_object(self._path) or {})

    def note_passed(self) -> None:
        """Note that it has; without a writable cache folder it runs again next time."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomic(self._path, json.dumps({**(read_object(self._path) or {}), self._key: time.time()}))
        except OSError:
            return


async def run_probe(
    settings: SlurmSettings, logs: Path, environment: Mapping[str, str] | None, budget: CallBudget
) -> str:
    """Run a job of a second through the launcher, and return what went wrong; empty if nothing did.

    Args:
        settings: Those of a run; the probe takes one core and no GPU.
        logs: The logs folder, which is created and removed again where it does not exist.
        environment: Variables for Slurm's programs, by default our own.
        budget: How often Slurm may be called.
    """
    launcher = SlurmLauncher(lambda: None, environment=environment, budget=budget, pace=PROBE_PACE)
    created = [folder for folder in (logs, *logs.parents) if not folder.exists()]
    folder = logs / f".slurm_probe_{secrets.token_hex(4)}"
    settings = settings.model_copy(update={"gres": "none", "time": "2", "cpus": 1, "signal_s": 0, "bundle": 1})
    spec = AttemptSpec(
        command=("/bin/sh", "-c", "exit 0"),
        cwd=str(folder),
        given={},
        log=str(folder / "probe.log"),
        header="",
        stop_grace_s=1.0,
        inherited=dict(os.environ),
        run="probe",
        session=secrets.token_hex(6),
        slurm=settings.model_dump(exclude_none=True),
    )
    try:
        folder.mkdir(parents=True, mode=0o700)
        attempt = launcher.start(folder / "attempt_1", spec)
        return await _watch(launcher, attempt, logs)
    except asyncio.CancelledError:  # Ctrl-C: the job must not outlive us
        await _end(launcher, attempt)
        raise
    except OSError as error:
        return f"{error.filename or logs}: cannot be written: {error.strerror}"
    finally:
        launcher.close()
        shutil.rmtree(folder, ignore_errors=True)
        for each in created:
            if each.exists() and not any(each.iterdir()):
                each.rmdir()


async def _until_over(launcher: SlurmLauncher, attempt: SlurmAttempt, deadline_s: float) -> None:
    deadline = time.monotonic() + deadline_s
    while attempt.outcome is None and time.monotonic() < deadline:
        launcher.advance()
        await asyncio.sleep(0.1)


async def _end(launcher: SlurmLauncher, attempt: SlurmAttempt) -> None:
    attempt.request_stop("kill", 0.0)
    await _until_over(launcher, attempt, END_S)


async def _watch(launcher: SlurmLauncher, attempt: SlurmAttempt, logs: Path) -> str:
    await _until_over(launcher, attempt, PROBE_S)
    if attempt.outcome is None:
        await _end(launcher, attempt)
    outcome = attempt.outcome
    if outcome is None or isinstance(outcome, NeverStarted) or outcome.stop is not None:
        waiting = attempt.placement.waiting
        reason = f" ({waiting.reason})" if waiting is not None and waiting.reason else ""
        return f"the probe job did not end in {PROBE_S:g} s{reason}; --no-probe starts without it"
    if outcome.exit_code == 0:
        return ""
    reason = outcome.error or outcome.unseen or f"it ended with exit code {outcome.exit_code}"
    return f"the probe job failed: {reason} (logs folder: {logs})"
