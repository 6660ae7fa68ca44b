"""Real attempts for tests: shims and the commands below them, all ended after the test."""

import contextlib
import json
import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pmssm.supervisor.launchers.attempt_files import ATTEMPT_VARIABLE, AttemptSpec
from pmssm.supervisor.launchers.base import Outcome
from pmssm.supervisor.launchers.local_attempt import LocalAttempt
from pmssm.supervisor.launchers.process_identity import ProcessIdentity, find_by_environment
from pmssm.supervisor.launchers.shim_pool import IdleShim, ShimPool
from pmssm.supervisor.session.events import Exit

from support.waiting import wait_until

HEADER = "header of the attempt\n"


def is_alive(pid: int) -> bool:
    """Return whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def has_ended(descriptor: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(0))


@dataclass
class Workplace:
    """The folder of one attempt, and the means to end all its processes."""

    path: Path
    pids: list[int] = field(default_factory=list)  # shims that are ours to reap
    pidfds: dict[int, int] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The attempt's folder."""
        return self.path / "attempt_1"

    @property
    def log(self) -> Path:
        return self.path / "run.log"

    def spec(
        self,
        command: Sequence[str] | str,
        env: Mapping[str, str] | None = None,
        *,
        cwd: str = "",
        grace_s: float = 60.0,
    ) -> AttemptSpec:
        """Return what to start; a text is a shell script, and `$here` is a folder for the files it writes."""
        arguments = ("/bin/sh", "-c", command) if isinstance(command, str) else tuple(command)
        environment = {"PATH": os.environ["PATH"], "here": str(self.path), **(env or {})}
        return AttemptSpec(arguments, cwd or str(self.path), environment, str(self.log), HEADER, grace_s)

    def shim(self, spec: AttemptSpec) -> "ShimProcess":
        """Start a shim as LocalAttempt.start does, without that class."""
        self.folder.mkdir(exist_ok=True)
        env = {**spec.env, ATTEMPT_VARIABLE: str(self.folder)}
        path, text = self.folder / "spec.json", json.dumps(spec.record(env))
        if not path.exists() or path.read_text() != text:  # another shim of this folder may be reading it
            path.write_text(text)
        idle = IdleShim.spawn()
        self.pids.append(idle.pid)
        self.pidfds[idle.pid] = idle.pidfd
        idle.assign(self.folder)
        return ShimProcess(self, idle.pid, idle.ready)

    def attempt(self, spec: AttemptSpec) -> "Attempt":
        """Start an attempt as the engine does, and wait until its command has been started."""
        attempt, ready = LocalAttempt.start(self.folder, spec, ShimPool())
        assert attempt._child is not None
        self.pids.append(attempt._child)
        self.pidfds[attempt._child] = os.dup(attempt.descriptor)
        return Attempt(self, attempt, ready)

    def note(self, name: str) -> str:
        """Return what a command wrote into `$here/name`, once it is there."""
        path = self.path / name
        wait_until(lambda: path.exists() and path.read_text().endswith("\n"), what=f"a line in {path}")
        return path.read_text().strip()

    def pid(self, name: str) -> int:
        return int(self.note(name))

    def log_lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def end(self) -> None:
        """End every process of the attempt, by its own pid."""
        for pid in self.pids:
            if self.pidfds[pid] >= 0:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self.pidfds[pid], signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
                os.close(self.pidfds[pid])
        wait_until(lambda: not self._kill_marked(), what="the end of all processes of a test")

    def _kill_marked(self) -> bool:
        found = False
        for identity in find_by_environment(ATTEMPT_VARIABLE, str(self.folder)):
            found = True
            descriptor = identity.open()
            if descriptor is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                os.close(descriptor)
        return found


@dataclass
class ShimProcess:
    """A shim and the files that it has written."""

    place: Workplace
    number: int
    ready: int

    def send(self, number: signal.Signals) -> None:
        signal.pidfd_send_signal(self.place.pidfds[self.number], number)

    def is_ready(self) -> None:
        """Wait until the command has been started, or never will be."""
        wait_until(lambda: has_ended(self.ready), what="a shim that is ready")
        assert os.read(self.ready, 1) == b""
        os.close(self.ready)
        self.ready = -1

    def process(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.place.folder / "process.json").read_text())
        return record

    def exit(self) -> dict[str, Any]:
        """Return the exit record, once the shim has ended."""
        assert self.wait() == 0, (self.place.folder / "shim.log").read_text()
        record: dict[str, Any] = json.loads((self.place.folder / "exit.json").read_text())
        return record

    def wait(self) -> int:
        """Return the shim's own exit code, once it has ended."""
        descriptor = self.place.pidfds[self.number]
        wait_until(lambda: has_ended(descriptor), what="the end of a shim")
        _, status = os.waitpid(self.number, 0)
        os.close(descriptor)
        self.place.pidfds[self.number] = -1
        if self.ready >= 0:
            os.close(self.ready)
        return os.waitstatus_to_exitcode(status)


@dataclass
class Attempt:
    """A LocalAttempt whose command has been started, or never will be."""

    place: Workplace
    local: LocalAttempt
    ready: int

    def __post_init__(self) -> None:
        wait_until(lambda: has_ended(self.ready), what="an attempt that is ready")
        os.close(self.ready)

    @property
    def shim_pid(self) -> int:
        return int(json.loads((self.place.folder / "process.json").read_text())["shim"]["pid"])

    def kill_shim(self) -> None:
        """Send SIGKILL to the shim alone, and wait until it is dead."""
        identity = ProcessIdentity.of(self.shim_pid)
        assert identity is not None
        os.kill(identity.pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(identity.pid))

    def outcome(self) -> Exit:
        """Return how the attempt ends."""
        return outcome_of(self.local)


def outcome_of(attempt: LocalAttempt) -> Exit:
    """Return how the attempt ends."""
    outcome = wait_until(lambda: poll(attempt), what="the end of an attempt")
    assert isinstance(outcome, Exit)
    return outcome


def poll(attempt: LocalAttempt) -> Outcome | None:
    """Bring an attempt up to date and return how it ended, or None while it is alive."""
    attempt.advance()
    return attempt.outcome


@contextlib.contextmanager
def bystander() -> Any:  # noqa: ANN401
    """Run a process that has nothing to do with any attempt, and must be left alone."""
    process = subprocess.Popen(["sleep", "600"])
    try:
        yield process
        assert process.poll() is None, "a bystander was harmed"
    finally:
        process.kill()
        process.wait()
