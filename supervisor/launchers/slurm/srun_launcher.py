"""Launcher for the other nodes of the allocation in which the engine runs: each attempt is a step, started by srun."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from ...gpus.models import GpuReading
from ...session.allocation import Allocation
from ...session.observation import ResourceUsage
from ..attempt_files import AttemptSpec
from ..base import RunningAttempt
from . import bundle_runner
from .bundle_runner import OUTPUT
from .samples import sampled_gpus, sampled_usage
from .srun_command import srun_command, srun_environment
from .step_attempt import StepAttempt
from .step_note import StepNote

STARTS_PER_MINUTE = 10  # each is a call to Slurm's controller, which gets two questions a minute, too
AVOID_S = 120.0  # after a step that its node has failed, until the next run starts there


class SrunLauncher:
    """Starts attempts on other nodes, and follows them by their files and by the end of srun.

    Args:
        on_change: Called in the event loop when an attempt may have changed.
        environment: Variables of the session, by default our own.
    """

    def __init__(self, on_change: Callable[[], None], *, environment: Mapping[str, str] | None = None) -> None:
        self._on_change = on_change
        self._environment = os.environ if environment is None else environment
        allocation = Allocation.around(self._environment)
        self._job_id = "" if allocation is None else allocation.job_id
        self._attempts: list[StepAttempt] = []
        self._waiting: dict[StepAttempt, AttemptSpec] = {}
        self._watched: dict[StepAttempt, int] = {}  # the descriptor that the event loop reads
        self._started_at: deque[float] = deque(maxlen=STARTS_PER_MINUTE)  # monotonic times
        self._failed: dict[str, float] = {}  # monotonic time of the last failure of each node

    def prepare(self) -> None:
        """Do nothing: a step needs nothing that could be acquired before."""

    def start(self, folder: Path, spec: AttemptSpec) -> StepAttempt:
        """Start an attempt on the node that its slot names, in the next `advance`.

        Raises:
            OSError: The folder cannot be written.
        """
        attempt = StepAttempt.prepare(folder.absolute(), spec, self._job_id)
        self._attempts.append(attempt)
        self._waiting[attempt] = spec
        self._on_change()
        return attempt

    def was_started(self, folder: Path) -> bool:
        """Return whether srun was called for the folder, or its attempt was made void."""
        return StepNote.read(folder) is not None or (folder / "process.json").exists()

    def adopt(self, folder: Path) -> StepAttempt:
        """Return the attempt of an earlier engine; one of another allocation has ended with that.

        Raises:
            OSError: The folder cannot be written.
        """
        attempt = StepAttempt.adopt(folder.absolute(), self._job_id)
        if attempt.outcome is None:
            self._attempts.append(attempt)
        self._watch(attempt)
        return attempt

    def advance(self) -> None:
        """Bring all attempts up to date, and start those that wait for it."""
        now = time.monotonic()
        for attempt in self._attempts:
            attempt.advance(now)
            if attempt.has_failed_node:
                self._failed[attempt.note.node] = now
        self._attempts = [attempt for attempt in self._attempts if attempt.outcome is None]
        self._start_waiting(now)

    def measure_usage(self, attempts: Mapping[str, RunningAttempt]) -> dict[str, ResourceUsage]:
        """Return what the samplers in the steps have measured last."""
        return sampled_usage(attempts)

    def read_gpus(self, attempts: Mapping[str, RunningAttempt]) -> dict[str, GpuReading]:
        """Return the GPUs of the steps as their samplers have read them last; `taken_at` tells the age."""
        return sampled_gpus(attempts)

    def avoided_nodes(self) -> frozenset[str]:
        """Return the nodes where steps have failed lately through no fault of their own."""
        now = time.monotonic()
        return frozenset(node for node, failed in self._failed.items() if now - failed < AVOID_S)

    def warnings(self) -> Sequence[str]:
        """Return which nodes are avoided."""
        return tuple(
            f"{node}: a step has failed there; no run starts there for {AVOID_S / 60:g} minutes"
            for node in sorted(self.avoided_nodes())
        )

    def close(self) -> None:
        """Release all descriptors; the attempts go on."""
        for descriptor in self._watched.values():
            asyncio.get_running_loop().remove_reader(descriptor)
        for attempt in {*self._attempts, *self._watched}:
            attempt.close()
        self._attempts, self._waiting, self._watched = [], {}, {}

    def _start_waiting(self, now: float) -> None:
        """Start srun for the attempts that wait, as many as a minute allows.

        Raises:
            OSError: A folder cannot be written; the next call tries again.
        """
        for attempt, spec in tuple(self._waiting.items()):
            if attempt.is_waiting:  # not stopped meanwhile
                if len(self._started_at) == STARTS_PER_MINUTE and now - self._started_at[0] < 60.0:
                    return
                attempt.run_srun(partial(self._run_srun, attempt, spec))
                self._started_at.append(now)
                self._watch(attempt)
            del self._waiting[attempt]

    def _run_srun(self, attempt: StepAttempt, spec: AttemptSpec) -> subprocess.Popen[bytes]:
        command = srun_command(
            self._job_id,
            spec.node,
            spec.run,
            attempt.folder,
            granted=spec.granted,
            python=Path(sys.executable),
            runner=Path(bundle_runner.__file__).resolve(),
        )
        output = os.open(attempt.folder / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=srun_environment(spec.inherited),
                start_new_session=True,  # a signal to the engine's terminal or group does not concern it
            )
        finally:
            os.close(output)

    def _watch(self, attempt: StepAttempt) -> None:
        if attempt.descriptor >= 0:
            self._watched[attempt] = attempt.descriptor
            asyncio.get_running_loop().add_reader(attempt.descriptor, self._on_end, attempt)

    def _on_end(self, attempt: StepAttempt) -> None:
        asyncio.get_running_loop().remove_reader(self._watched.pop(attempt))
        attempt.has_srun_ended()  # reaps it, also where its exit record was read before
        attempt.close()
        self._on_change()
