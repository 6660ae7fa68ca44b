"""Attempts as processes of this machine, each under a shim of its own."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Self

from ..files import read_object, write_atomic
from ..session.events import Exit, StopKind
from . import shim
from .attempt_files import (
    ATTEMPT_VARIABLE,
    AttemptSpec,
    CommandProcess,
    claim_if_unclaimed,
    read_exit_record,
    read_identity,
)
from .orphans import Orphans
from .shim_pool import ShimPool

SIGNALS: Mapping[StopKind, signal.Signals] = {"stop": signal.SIGTERM, "kill": signal.SIGQUIT}


class LocalAttempt:
    """A living attempt. `descriptor` becomes readable when `poll` has news."""

    def __init__(self, folder: Path, shim_fd: int, child: int | None = None) -> None:
        self.folder = folder
        self.descriptor = shim_fd
        self._child = child  # the shim's pid while it is ours to reap
        self._orphans: Orphans | None = None  # the command, once its shim is dead
        self._asked: tuple[StopKind, float] | None = None  # what a shim may not have lived to carry out

    @classmethod
    def start(cls, folder: Path, spec: AttemptSpec, shims: ShimPool) -> tuple[Self, int]:
        """The attempt under a new shim, and a descriptor that ends once its command has been started.

        Raises:
            OSError: the folder cannot be written, or no process can be made.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        env = {**spec.env, ATTEMPT_VARIABLE: str(folder)}
        # Not synced: after a power cut there is no process that this file could be about.
        write_atomic(folder / "spec.json", json.dumps({**asdict(spec), "env": env}), sync=False)
        started = shims.send(folder)
        return cls(folder, started.pidfd, child=started.pid), started.ready

    @classmethod
    def recover(cls, folder: Path) -> Self | Exit | None:
        """The attempt as another engine left it: alive, ended, or (None) never started, and now never will be."""
        claim_if_unclaimed(folder)
        record = read_object(folder / "process.json")
        if record is not None and record.get("void"):
            return None
        shim_identity = read_identity(record, "shim")
        descriptor = shim_identity.open() if shim_identity else None
        if descriptor is not None:
            return cls(folder, descriptor)
        attempt = cls(folder, -1)
        return attempt.poll() or attempt

    def command(self) -> CommandProcess | None:
        """The command's process, once it exists."""
        record = read_object(self.folder / "process.json")
        identity = read_identity(record, "command")
        if record is None or identity is None:
            return None
        return CommandProcess(identity, float(record["started"]))

    @property
    def is_without_shim(self) -> bool:
        """Whether its shim was killed and left something behind."""
        return self._orphans is not None

    def send(self, how: StopKind, grace_s: float) -> None:
        """Has the attempt ended, gently or at once."""
        self._asked = how, grace_s
        if self._orphans is not None:
            self._orphans.end(how, grace_s)
        else:
            with contextlib.suppress(ProcessLookupError):  # ended meanwhile; poll will tell
                signal.pidfd_send_signal(self.descriptor, SIGNALS[how])
                signal.pidfd_send_signal(self.descriptor, signal.SIGCONT)  # somebody may have frozen it

    def poll(self) -> Exit | None:
        """How the attempt ended, or None while anything of it lives."""
        if not self._watched_ended():
            return None
        outcome = read_exit_record(self.folder) or self._failed_start()
        if outcome is None:
            self._take_over()
            assert self._orphans is not None
            survivor = self._orphans.survivor_fd()
            if survivor is not None:
                self._replace_descriptor(survivor)
                return None
            # The shim may have died between writing its record and our first look.
            outcome = read_exit_record(self.folder) or self._unseen_end()
        self._replace_descriptor(-1)
        return outcome

    def tick(self) -> None:
        """Goes on with ending a command that has no shim to do it."""
        if self._orphans is not None:
            self._orphans.tick()

    def close(self) -> None:
        """Lets go of the attempt, which lives on."""
        self._replace_descriptor(-1)

    def _take_over(self) -> None:
        """The shim's work, now that it is dead; a stop that it was told of begins anew."""
        if self._orphans is None:
            self._orphans = Orphans(self.folder, self.command())
            if self._asked is not None:
                self._orphans.end(*self._asked)

    def _watched_ended(self) -> bool:
        """Whether the process that we watch has ended: the shim, or later one that it left behind."""
        if self.descriptor < 0:
            return True
        poller = select.poll()
        poller.register(self.descriptor, select.POLLIN)
        if not poller.poll(0):
            return False
        if self._child is not None:
            os.waitpid(self._child, 0)
            self._child = None
        return True

    def _failed_start(self) -> Exit | None:
        if (self.folder / "process.json").exists():
            return None
        error = f"its shim ended before it could start the command; see {self.folder / 'shim.log'}"
        return Exit(ended=time.time(), exit_code=shim.NOT_STARTED, error=error)

    def _unseen_end(self) -> Exit:
        """What is known of an end that nobody saw: after a reboot, that it came after the last word in the log."""
        who = read_identity(read_object(self.folder / "process.json"), "shim")
        if who is None or who.boot_id == shim.boot_id():
            return Exit(ended=time.time())
        spec = read_object(self.folder / "spec.json") or {}
        try:
            ended = Path(str(spec.get("log"))).stat().st_mtime
        except OSError:
            ended = time.time()
        return Exit(ended=ended, unseen="the machine was restarted while it ran")

    def _replace_descriptor(self, descriptor: int) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = descriptor
