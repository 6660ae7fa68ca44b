"""Real attempts for tests: shims, the commands below them, and their certain end."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pmssm.supervisor.launchers import shim
from pmssm.supervisor.launchers.attempt_files import ATTEMPT_VARIABLE, AttemptSpec
from pmssm.supervisor.launchers.local import LocalAttempt
from pmssm.supervisor.launchers.process_identity import ProcessIdentity, find_by_environment
from pmssm.supervisor.launchers.shim_pool import ShimPool
from pmssm.supervisor.session.events import Exit

from support.waiting import wait_until

HEADER = "header of the attempt\n"


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
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
    """Where one attempt happens, and the promise that nothing of it outlives the test."""

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
        """What to start; a text is a shell script, `$here` is a folder for its notes."""
        words = ("/bin/sh", "-c", command) if isinstance(command, str) else tuple(command)
        environment = {"PATH": os.environ["PATH"], "here": str(self.path), **(env or {})}
        return AttemptSpec(words, cwd or str(self.path), environment, str(self.log), HEADER, grace_s)

    def shim(self, spec: AttemptSpec) -> "ShimProcess":
        """A shim started as launchers/local.py starts it, without that file's help."""
        self.folder.mkdir(exist_ok=True)
        env = {**spec.env, ATTEMPT_VARIABLE: str(self.folder)}
        record = {**{name: getattr(spec, name) for name in AttemptSpec.__dataclass_fields__}, "env": env}
        path, text = self.folder / "spec.json", json.dumps(record)
        if not path.exists() or path.read_text() != text:  # another shim of this folder may be reading it
            path.write_text(text)
        ready, theirs = os.pipe()
        standard_input, words = os.pipe2(os.O_CLOEXEC)
        os.write(words, os.fsencode(self.folder))
        os.close(words)
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", shim.__file__],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, standard_input, 0),
                (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 1, 2),
                (os.POSIX_SPAWN_DUP2, theirs, shim.READY),
            ],
            setsid=True,
            setsigmask=shim.OBEYED,
        )
        os.close(theirs)
        os.close(standard_input)
        self.pids.append(pid)
        self.pidfds[pid] = os.pidfd_open(pid)
        return ShimProcess(self, pid, ready)

    def attempt(self, spec: AttemptSpec) -> "Attempt":
        """An attempt as the engine starts it."""
        attempt, ready = LocalAttempt.start(self.folder, spec, ShimPool())
        assert attempt._child is not None
        self.pids.append(attempt._child)
        self.pidfds[attempt._child] = os.dup(attempt.descriptor)
        return Attempt(self, attempt, ready)

    def note(self, name: str) -> str:
        """What a command wrote into `$here/name`, once it is there."""
        path = self.path / name
        wait_until(lambda: path.exists() and path.read_text().endswith("\n"), what=f"a word in {path}")
        return path.read_text().strip()

    def pid(self, name: str) -> int:
        return int(self.note(name))

    def log_lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def end(self) -> None:
        """Ends every process of the attempt, by its own pid."""
        for pid in self.pids:
            if self.pidfds[pid] >= 0:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self.pidfds[pid], signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
                os.close(self.pidfds[pid])
        wait_until(lambda: not self._kill_marked(), what="the end of what a test started")

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
    """A shim and what it has written down."""

    place: Workplace
    number: int
    ready: int

    def send(self, number: signal.Signals) -> None:
        signal.pidfd_send_signal(self.place.pidfds[self.number], number)

    def is_ready(self) -> None:
        """Waits until the command has been started, or never will be."""
        wait_until(lambda: has_ended(self.ready), what="a shim that is ready")
        assert os.read(self.ready, 1) == b""
        os.close(self.ready)
        self.ready = -1

    def process(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.place.folder / "process.json").read_text())
        return record

    def exit(self) -> dict[str, Any]:
        """The exit record, once the shim has ended."""
        assert self.wait() == 0, (self.place.folder / "shim.log").read_text()
        record: dict[str, Any] = json.loads((self.place.folder / "exit.json").read_text())
        return record

    def wait(self) -> int:
        """The shim's own exit code."""
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
        """SIGKILL to the shim alone; returns once it is dead."""
        identity = ProcessIdentity.of(self.shim_pid)
        assert identity is not None
        os.kill(identity.pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(identity.pid))

    def outcome(self) -> Exit:
        return outcome_of(self.local)


def outcome_of(attempt: LocalAttempt) -> Exit:
    """How the attempt ends."""

    def poll() -> Exit | None:
        attempt.tick()
        return attempt.poll()

    return wait_until(poll, what="the end of an attempt")


@contextlib.contextmanager
def bystander() -> Any:  # noqa: ANN401
    """A process that has nothing to do with any attempt, and must be left alone."""
    process = subprocess.Popen(["sleep", "600"])
    try:
        yield process
        assert process.poll() is None, "a bystander was harmed"
    finally:
        process.kill()
        process.wait()
