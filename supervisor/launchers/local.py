"""Launcher for processes of this machine, each under a shim of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..gpus.models import GpuReading
from ..session.observation import ResourceUsage
from .attempt_files import AttemptSpec
from .base import RunningAttempt
from .local_attempt import LocalAttempt
from .process_usage import UsageMeter
from .shim_pool import ShimPool


class LocalLauncher:
    """Starts attempts on this machine and watches them by pidfds."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._shims = ShimPool()
        self._meter = UsageMeter()
        self._attempts: list[LocalAttempt] = []
        self._starting: set[int] = set()  # descriptors that end once a command has been started

    def prepare(self) -> None:
        """Start a spare shim, so that the next command starts at once.

        Raises:
            OSError: No process can be created.
        """
        self._shims.refill()

    def start(self, folder: Path, spec: AttemptSpec) -> LocalAttempt:
        """Start an attempt.

        Raises:
            OSError: The folder cannot be written, or no process can be created.
        """
        attempt, ready = LocalAttempt.start(folder, spec, self._shims)
        self._watch(attempt)
        self._await_start(ready)
        return attempt

    def was_started(self, folder: Path) -> bool:
        """Return whether a shim has claimed the folder."""
        return (folder / "process.json").exists()

    def adopt(self, folder: Path) -> LocalAttempt:
        """Return the attempt that an earlier engine started, or decided to start, in the folder.

        Raises:
            OSError: The folder cannot be written.
        """
        attempt = LocalAttempt.adopt(folder)
        if attempt.outcome is None:
            self._watch(attempt)
        return attempt

    def advance(self) -> None:
        """Bring all attempts up to date, and watch the processes that keep them alive now."""
        loop = asyncio.get_running_loop()
        for attempt in self._attempts:
            watched, channel = attempt.descriptor, attempt.channel
            attempt.advance()
            if attempt.descriptor != watched:
                if watched >= 0:
                    loop.remove_reader(watched)
                self._listen(attempt)
            if attempt.channel != channel:
                if channel >= 0:
                    loop.remove_reader(channel)
                self._hear(attempt)
            for ready in attempt.take_ready():
                self._await_start(ready)
        # A shim may outlive its record a little.
        self._attempts = [each for each in self._attempts if each.outcome is None or each.descriptor >= 0]

    def measure_usage(self, attempts: Mapping[str, RunningAttempt]) -> dict[str, ResourceUsage]:
        """Return the usage of the processes of all attempts whose commands have started; record who they are."""
        started = {run: attempt for run, attempt in attempts.items() if attempt.started is not None}
        return self._meter.measure(
            {run: attempt.find_processes() for run, attempt in started.items() if isinstance(attempt, LocalAttempt)}
        )

    def read_gpus(self, _attempts: Mapping[str, RunningAttempt]) -> dict[str, GpuReading]:
        """Return nothing: the engine reads the GPUs of this machine itself."""
        return {}

    def avoided_nodes(self) -> frozenset[str]:
        """Return nothing: its slots are on this machine."""
        return frozenset()

    def warnings(self) -> Sequence[str]:
        """Return nothing: a machine always answers."""
        return ()

    def close(self) -> None:
        """Release all descriptors and the spare shim; the attempts go on."""
        self._shims.close()
        loop = asyncio.get_running_loop()
        for attempt in self._attempts:
            for descriptor in (attempt.descriptor, attempt.channel):
                if descriptor >= 0:
                    loop.remove_reader(descriptor)
            attempt.close()
        for descriptor in self._starting:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        self._attempts, self._starting = [], set()

    def _watch(self, attempt: LocalAttempt) -> None:
        self._attempts.append(attempt)
        self._listen(attempt)
        self._hear(attempt)

    def _await_start(self, ready: int) -> None:
        self._starting.add(ready)
        asyncio.get_running_loop().add_reader(ready, self._on_started, ready)

    def _listen(self, attempt: LocalAttempt) -> None:
        if attempt.descriptor >= 0:
            asyncio.get_running_loop().add_reader(attempt.descriptor, self._on_end, attempt)

    def _hear(self, attempt: LocalAttempt) -> None:
        if attempt.channel >= 0:
            asyncio.get_running_loop().add_reader(attempt.channel, self._on_message, attempt)

    def _on_end(self, attempt: LocalAttempt) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(attempt.descriptor)  # it stays readable; `advance` finds out what happened
        if attempt.outcome is None:
            self._on_change()
            return
        if attempt.channel >= 0:
            loop.remove_reader(attempt.channel)
        attempt.advance()
        self._attempts.remove(attempt)

    def _on_message(self, attempt: LocalAttempt) -> None:
        asyncio.get_running_loop().remove_reader(attempt.channel)
        attempt.receive()
        self._on_change()

    def _on_started(self, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        self._starting.discard(descriptor)
        self._on_change()
