"""The state of a session without its engine: the journal on disk, and the kernel's tables."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.cli_sandbox import CliSandbox
from support.waiting import wait_until

LONG_S = 60.0

# Exits like a trainer on SIGTERM: a checkpoint, then exit code 143.
POLITE = "trap 'echo checkpoint; exit 143' TERM; echo ready; while :; do sleep 0.2; done"
# Waits for the file `go`, then succeeds.
UNTIL_GO = "until test -e go; do sleep 0.1; done"


def shell_run(name: str, script: str, **settings: object) -> str:
    """Return a run of a plan as TOML: a shell script that takes no slot, unless `settings` specify one."""
    keys = {"command": ["sh", "-c", script], "slot": "none", **settings}
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items() if value is not None]
    return "\n".join([f"[runs.{name}]", *lines, ""])


def events(box: CliSandbox, kind: str, run: str | None = None) -> list[dict[str, Any]]:
    """Return the events in the newest session's journal, without an incomplete last line."""
    journals = sorted(box.logs.glob("session_*/journal.jsonl"))
    lines = journals[-1].read_bytes().split(b"\n")[:-1] if journals else []
    found = (json.loads(line) for line in lines)
    return [event for event in found if event["kind"] == kind and (run is None or event["run"] == run)]


def pid_of(box: CliSandbox, run: str, attempt: int = 1) -> int:
    """Return the pid of an attempt's command, as soon as the journal contains it."""

    def recorded() -> int | None:
        starts = events(box, "attempt_started", run)
        return next((event["pid"] for event in starts if event["attempt"] == attempt), None)

    return int(wait_until(recorded, LONG_S, f"{run} to run for the {attempt}. time"))


def exit_of(box: CliSandbox, run: str, attempt: int = 1) -> dict[str, Any]:
    """Return how an attempt ended, as soon as the journal contains it."""

    def recorded() -> dict[str, Any] | None:
        ends = events(box, "attempt_ended", run)
        return next((event["exit"] for event in ends if event["attempt"] == attempt), None)

    return wait_until(recorded, LONG_S, f"attempt {attempt} of {run} to end")


def wait_until_printed(box: CliSandbox, run: str, line: str) -> None:
    """Wait until the run has printed the line."""

    def printed() -> bool:
        return any(line in path.read_text(errors="replace").split("\n") for path in box.logs.glob(f"{run}_[0-9]*.log"))

    wait_until(printed, LONG_S, f"{run} to print {line}")


def wait_until_finished(box: CliSandbox) -> None:
    """Wait until the session has finished and its end is in the journal."""
    wait_until(lambda: events(box, "session_finished"), LONG_S, "the end of the session")


def engine_of(box: CliSandbox) -> int:
    """Return the pid of the only engine of the box, as soon as there is exactly one."""
    return wait_until(lambda: box.engines() if len(box.engines()) == 1 else None, LONG_S, "one engine")[0]


def kill_engine(box: CliSandbox) -> None:
    """Send SIGKILL to the engine, and wait until it has ended."""
    pid = engine_of(box)
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)


def is_alive(pid: int) -> bool:
    """Return whether the process exists and is no zombie, or has threads that hold its files open still."""
    return state_of(pid) not in ("", "Z", "X") or len(_threads(pid)) > 1


def wait_until_gone(pid: int) -> None:
    """Wait until the process has ended."""
    wait_until(lambda: not is_alive(pid), LONG_S, f"the end of {pid}")


def state_of(pid: int) -> str:
    """Return the kernel's letter for the state of a process; "" where there is none."""
    return (_stat(pid) or [""])[0]


def _threads(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def parent_of(pid: int) -> int:
    """Return the pid of a process's parent: the shim, for a command."""
    return int(_stat(pid)[1])


def children_of(pid: int) -> dict[int, bytes]:
    """Return the command lines of a process's children, by pid."""
    lines = {}
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                lines[int(child)] = Path(f"/proc/{child}/cmdline").read_bytes()
    return lines


def cpu_ticks(pid: int) -> int:
    """Return the clock ticks that a process has used, user and system; 0 once it has ended."""
    return sum(map(int, _stat(pid)[11:13]))


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Freeze a process by SIGSTOP meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: state_of(pid) in ("T", ""), LONG_S, f"{pid} to stop")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
