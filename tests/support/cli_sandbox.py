"""A shell in a folder of its own, for tests: runs the installed command, and leaves no process behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

COMMAND = Path(sys.executable).with_name("pmssm-supervise")
DEADLINE_S = 60.0
POLL_S = 0.05
ENGINE_TIMEOUT_S = 2.0


class CliSandbox:
    """A working folder with its own runtime folder, environment and logs folder.

    Attributes:
        folder: Where commands run.
        logs: The logs folder.
        env: Environment of the commands.
        prefix: Arguments before every command, such as `prlimit --nofile=64`.
    """

    def __init__(self, folder: Path, runtime: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.env = {**env, "XDG_RUNTIME_DIR": str(runtime), "COLUMNS": "200"}
        self.prefix: tuple[str, ...] = ()
        self._foreground: list[subprocess.Popen[str]] = []

    def plan(self, text: str) -> str:
        """Write a plan; return its name for `--plan`."""
        (self.folder / "plan.toml").write_text(text)
        return "plan.toml"

    def run(self, *arguments: str, timeout: float = DEADLINE_S) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*self.prefix, COMMAND, *arguments],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def ok(self, *arguments: str, timeout: float = DEADLINE_S) -> str:
        """Run a command that must succeed; return its output."""
        done = self.run(*arguments, timeout=timeout)
        assert done.returncode == 0, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command and return its process."""
        process = subprocess.Popen(
            [*self.prefix, COMMAND, *arguments],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._foreground.append(process)
        return process

    def status(self) -> dict[str, Any]:
        """Return what `status --json` prints."""
        answer: dict[str, Any] = json.loads(self.ok("status", "--json"))
        return answer

    def wait(self, condition: Callable[[dict[str, Any]], object], deadline: float = DEADLINE_S) -> dict[str, Any]:
        """Wait for a status that fulfils `condition`; return it."""
        end = time.monotonic() + deadline
        while True:
            status = self._snapshot()
            if status is None or condition(status):
                done = self.run("status", "--json")
                status = json.loads(done.stdout) if done.returncode == 0 else None
                if status is not None and condition(status):
                    return status
                assert status is not None or "no session here" in done.stderr, done.stderr
            assert time.monotonic() < end, f"still not so after {deadline} s: {json.dumps(status, indent=1)}"
            time.sleep(POLL_S)

    def _snapshot(self) -> dict[str, Any] | None:
        """Return what `status --json` would print, from a running engine, without a process; None without an engine."""
        try:
            holder = json.loads((self.logs / ".engine.lock").read_text())
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(ENGINE_TIMEOUT_S)
                client.connect(holder["socket"])
                client.sendall(b'{"verb": "look"}\n')
                with client.makefile("rb") as answer:
                    snapshot: dict[str, Any] = json.loads(answer.readline())
                    return snapshot
        except (OSError, ValueError, KeyError):
            return None

    def states(self) -> dict[str, str]:
        """Return the state of each run."""
        return {name: run["state"] for name, run in self.status()["runs"].items()}

    def log(self, run: str) -> str:
        """Return the whole log of a run."""
        (path,) = self.logs.glob(f"{run}_[0-9]*.log")
        return path.read_text()

    def journal(self) -> list[dict[str, Any]]:
        """Return every event of the newest session."""
        path = max(self.logs.glob("session_*/journal.jsonl"))
        return [json.loads(line) for line in path.read_text().splitlines()]

    def living(self) -> list[int]:
        """Return the processes of all attempts, found by a variable of their environment."""
        variable = f"PMSSM_SUPERVISE_ATTEMPT={self.logs}".encode()
        return [pid for pid in _pids() if variable in _read(pid, "environ")]

    def engines(self) -> list[int]:
        """Return the processes of all detached engines."""
        return [
            pid
            for pid in _pids()
            if os.fsencode(self.logs) in (words := _read(pid, "cmdline")) and b"pmssm.supervisor.engine" in words
        ]

    def close(self) -> None:
        """Kill every process that is left, by its id."""
        for process in self._foreground:
            if process.poll() is None:
                process.kill()
            process.communicate()
        engines = self.engines()
        spares = [child for engine in engines for child in _children(engine)]  # one may be about to start an attempt
        _kill([*engines, *spares, *self._shims()])
        _kill(self.living())

    def _shims(self) -> list[int]:
        return [pid for pid in _pids() if os.fsencode(self.logs) in (w := _read(pid, "cmdline")) and b"shim.py" in w]


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    """Return all descendants of a process."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
