"""The attempts that an engine watches, whoever started them, and what it has asked of them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from .events import Exit, StopKind
from .launchers.local import AttemptSpec, Command, LocalAttempt
from .launchers.warm import ShimSupply

OVERDUE_S = 5.0  # after a SIGKILL; a process that lives longer is stuck in the kernel, or not ours to kill


class LivingAttempts:
    """One attempt per run at most. `wake` is called in the event loop whenever there is news to collect."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._shims = ShimSupply()
        self._attempts: dict[str, LocalAttempt] = {}
        self._told: dict[str, StopKind] = {}
        self._dead_by: dict[str, float] = {}  # monotonic time by which SIGKILL should have ended a run

    def __contains__(self, run: str) -> bool:
        return run in self._attempts

    def __len__(self) -> int:
        return len(self._attempts)

    def prepare(self) -> None:
        """Has a shim at hand for the next start.

        Raises:
            OSError: no process can be made.
        """
        self._shims.refill()

    def start(self, run: str, folder: Path, spec: AttemptSpec) -> None:
        """Starts an attempt in its folder, under a new shim.

        Raises:
            OSError: the folder cannot be written, or no process can be made.
        """
        attempt, ready = LocalAttempt.start(folder, spec, self._shims)
        self.watch(run, attempt)
        asyncio.get_running_loop().add_reader(ready, self._on_ready, ready)

    def watch(self, run: str, attempt: LocalAttempt) -> None:
        """Watches an attempt that lives already."""
        self._attempts[run] = attempt
        self._told.pop(run, None)
        self._dead_by.pop(run, None)
        self._listen(attempt)

    def tell(self, run: str, how: StopKind, grace_s: float) -> None:
        """Has the run's attempt end, gently within `grace_s` or at once."""
        self._told[run] = how
        self._dead_by[run] = time.monotonic() + OVERDUE_S + (grace_s if how == "stop" else 0)
        self._attempts[run].send(how, grace_s)

    def knows(self, run: str, how: StopKind) -> bool:
        """Whether the run's attempt has been told that already, or worse."""
        return self._told.get(run) in (how, "kill")

    def overdue(self) -> list[str]:
        """The runs that not even SIGKILL has ended: they wait for a disk or driver, or may not be signalled."""
        now = time.monotonic()
        return [run for run, moment in self._dead_by.items() if run in self._attempts and now > moment]

    def command(self, run: str) -> Command | None:
        """The process of the run's command, once it exists."""
        return self._attempts[run].command()

    def poll(self, run: str) -> Exit | None:
        """How the run's attempt ended, again and again until it is forgotten; None while anything of it lives."""
        attempt = self._attempts[run]
        attempt.tick()
        watched = attempt.descriptor
        outcome = attempt.poll()
        if attempt.descriptor != watched:
            asyncio.get_running_loop().remove_reader(watched)
            if outcome is None:
                self._listen(attempt)
        return outcome

    def forget(self, run: str) -> None:
        """Watches the run no more, now that its end is on record."""
        self._attempts.pop(run, None)

    def is_without_shim(self, run: str) -> bool:
        """Whether the shim of the run's attempt was killed, so that what it left is watched without it."""
        return self._attempts[run].is_without_shim

    def close(self) -> None:
        """Lets go of all attempts, which live on."""
        self._shims.close()
        loop = asyncio.get_running_loop()
        for attempt in self._attempts.values():
            loop.remove_reader(attempt.descriptor)
            attempt.close()

    def _listen(self, attempt: LocalAttempt) -> None:
        asyncio.get_running_loop().add_reader(attempt.descriptor, self._on_news, attempt.descriptor)

    def _on_news(self, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)  # it stays readable; `poll` asks what happened
        self._wake()

    def _on_ready(self, descriptor: int) -> None:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        self._wake()
