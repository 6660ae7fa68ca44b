"""Attempts as processes of this machine, each under a shim of its own."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from ..files import read_object, write_atomic
from ..session.events import Exit, StopKind
from . import shim
from .process_identity import Identity, processes_with, session_of
from .shim_pool import ShimSupply

MARK = "PMSSM_SUPERVISE_ATTEMPT"  # names the attempt's folder in the environment of all its processes
SIGNALS: Mapping[StopKind, signal.Signals] = {"stop": signal.SIGTERM, "kill": signal.SIGQUIT}


@dataclass(frozen=True)
class AttemptSpec:
    """What the shim is told to start."""

    command: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    log: str
    header: str
    stop_grace_s: float


@dataclass(frozen=True)
class Command:
    """The command's own process."""

    identity: Identity
    started: float  # unix time, s


class LocalAttempt:
    """A living attempt. `descriptor` becomes readable when `poll` has news."""

    def __init__(self, folder: Path, shim_fd: int, child: int | None = None) -> None:
        self.folder = folder
        self.descriptor = shim_fd
        self._child = child  # the shim's pid while it is ours to reap
        self._orphans: _Orphans | None = None  # the command, once its shim is dead
        self._asked: tuple[StopKind, float] | None = None  # what a shim may not have lived to carry out

    @classmethod
    def start(cls, folder: Path, spec: AttemptSpec, shims: ShimSupply) -> tuple[Self, int]:
        """The attempt under a new shim, and a descriptor that ends once its command has been started.

        Raises:
            OSError: the folder cannot be written, or no process can be made.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        env = {**spec.env, MARK: str(folder)}
        # Not synced: after a power cut there is no process that this file could be about.
        write_atomic(folder / "spec.json", json.dumps({**asdict(spec), "env": env}), sync=False)
        started = shims.send(folder)
        return cls(folder, started.pidfd, child=started.pid), started.ready

    @classmethod
    def recover(cls, folder: Path) -> Self | Exit | None:
        """The attempt as another engine left it: alive, ended, or (None) never started, and now never will be."""
        _claim_if_unclaimed(folder)
        record = read_object(folder / "process.json")
        if record is not None and record.get("void"):
            return None
        shim_identity = _identity(record, "shim")
        descriptor = shim_identity.open() if shim_identity else None
        if descriptor is not None:
            return cls(folder, descriptor)
        attempt = cls(folder, -1)
        return attempt.poll() or attempt

    def command(self) -> Command | None:
        """The command's process, once it exists."""
        record = read_object(self.folder / "process.json")
        identity = _identity(record, "command")
        if record is None or identity is None:
            return None
        return Command(identity, float(record["started"]))

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
        outcome = _exit_record(self.folder) or self._failed_start()
        if outcome is None:
            self._take_over()
            assert self._orphans is not None
            survivor = self._orphans.survivor_fd()
            if survivor is not None:
                self._replace_descriptor(survivor)
                return None
            # The shim may have died between writing its record and our first look.
            outcome = _exit_record(self.folder) or self._unseen_end()
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
            self._orphans = _Orphans(self.folder, self.command())
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
        who = _identity(read_object(self.folder / "process.json"), "shim")
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


class _Orphans:
    """What is left of an attempt whose shim was killed: found by its mark, ended by us."""

    def __init__(self, folder: Path, command: Command | None) -> None:
        self._folder = folder
        self._command = command
        self._kill_at: float | None = None

    def survivor_fd(self) -> int | None:
        """A pidfd of something that still lives."""
        for identity in self._survivors():
            descriptor = identity.open()
            if descriptor is not None:
                return descriptor
        return None

    def end(self, how: StopKind, grace_s: float) -> None:
        """SIGTERM now and SIGKILL after the grace, or SIGKILL now."""
        if how == "kill":
            self._kill_at = time.monotonic()
        elif self._kill_at is None:
            self._kill_at = time.monotonic() + grace_s
            self._send(signal.SIGTERM)
            self._send(signal.SIGCONT)
        self.tick()

    def tick(self) -> None:
        """SIGKILL once the grace is over."""
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._send(signal.SIGKILL)

    def _survivors(self) -> list[Identity]:
        found = list(processes_with(MARK, str(self._folder)))
        if self._command is not None:
            found += [self._command.identity, *session_of(self._command.identity)]  # a child may have dropped the mark
        return list(dict.fromkeys(found))

    def _send(self, number: signal.Signals) -> None:
        for identity in self._survivors():
            descriptor = identity.open()
            if descriptor is not None:
                try:
                    signal.pidfd_send_signal(descriptor, number)
                except OSError:
                    pass  # ended meanwhile
                finally:
                    os.close(descriptor)


def _claim_if_unclaimed(folder: Path) -> None:
    """Makes sure that a shim which has not claimed its attempt by now never will."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / "process.json").exists():
        with contextlib.suppress(FileExistsError):  # the shim was quicker
            write_atomic(folder / "process.json", json.dumps({"void": True}), place=os.link)


def _identity(record: Mapping[str, object] | None, who: str) -> Identity | None:
    try:
        return Identity.model_validate(record[who]) if record and who in record else None
    except ValidationError:
        return None


def _exit_record(folder: Path) -> Exit | None:
    """What the shim wrote down; before it died, it may have found no way to put that in its place."""
    who = _identity(read_object(folder / "process.json"), "shim")
    record = read_object(folder / "exit.json") or (read_object(folder / f"exit.json.{who.pid}") if who else None)
    try:
        return Exit.model_validate(record) if record is not None else None
    except ValidationError:
        return None
