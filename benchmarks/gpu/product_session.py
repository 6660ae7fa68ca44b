"""Drive the installed supervisor from outside, as a user does: commands, `status --json`, processes by their id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Json = dict[str, Any]

MODELS = ("transformer", "transformer_tabular", "mlp")
PROGRESS = (
    r"Training for (?P<epochs>\d+) epochs"
    r"|Epoch (?P<epoch>\d+) \| Train MSE = (?P<train_loss>\S+) \| Val MSE = (?P<val_loss>\S+)"
)


class CheckFailed(Exception):
    """What the product did is not what was asked of it."""


def require(condition: object, message: str) -> None:
    """Raise CheckFailed with this message unless the condition holds."""
    if not condition:
        raise CheckFailed(message)


def wait_until(what: str, find: Callable[[], T | None], seconds: float) -> T:
    """Return the first true value that `find` returns; raise CheckFailed after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := find():
            return found
        time.sleep(0.1)
    raise CheckFailed(f"not within {seconds:g} s: {what}")


@dataclass
class Supervisor:
    """The command `pmssm-supervise` on one logs folder."""

    logs: Path

    def run(self, *arguments: str, seconds: float = 60, stdin: str | None = None) -> str:
        """Return what the command prints; raise CheckFailed where it fails or takes longer than `seconds`."""
        command = [sys.executable, "-m", "pmssm.supervisor", *arguments, *self._logs_option(arguments)]
        return run_command(command, seconds=seconds, stdin=stdin)

    def _logs_option(self, arguments: Sequence[str]) -> list[str]:
        return [] if arguments[:1] == ("check",) else ["--logs", str(self.logs)]

    def status(self) -> Json:
        """Return the snapshot that `status --json` prints."""
        snapshot: Json = json.loads(self.run("status", "--json"))
        return snapshot

    def wait_for(self, what: str, condition: Callable[[Json], bool], seconds: float) -> Json:
        """Return the first snapshot that meets the condition; raise CheckFailed after `seconds`."""

        def find() -> Json | None:
            snapshot = self.status()
            return snapshot if condition(snapshot) else None

        return wait_until(what, find, seconds)

    def output(self, run: str) -> Path:
        """Return the newest session's folder of a run."""
        return Path(self.status()["folder"]) / run

    def log(self, run: str) -> str:
        """Return the log of a run of the newest session."""
        return Path(self.status()["runs"][run]["log"]).read_text()


def end_processes(folder: Path) -> None:
    """End by their ids the processes whose runtime folder, which they inherit from the checks, is `folder`."""
    wanted = os.fsencode(f"XDG_RUNTIME_DIR={folder}")
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with suppress(OSError):  # it has gone by itself, or belongs to somebody else
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)


def run_command(command: Sequence[str], *, seconds: float, stdin: str | None = None) -> str:
    """Return what a command prints; raise CheckFailed where it fails or takes longer than `seconds`."""
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=seconds, check=False,
            stdin=None if stdin is not None else subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise CheckFailed(f"not within {seconds:g} s: {' '.join(command[1:])}") from error
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise CheckFailed(f"exit code {done.returncode}: {' '.join(command[1:])}: {''.join(last)[:300]}")
    return done.stdout


def write_plan(path: Path, data: Path, options: dict[str, list[str]], *, on_gpu: bool) -> Path:
    """Write a plan of trainings that start at once; `options` are the trainers' own, by model."""
    lines = ["[session]", 'name = "gpu-check"']
    for model, own in options.items():
        command = ["{python}", "-P", "-m", "pmssm.trainers", model, "--data", str(data), "--output", "{output}"]
        command += ["--device", "cuda" if on_gpu else "cpu", *own]
        lines += [
            f"[runs.{model}]", f"command = {json.dumps(command)}", f"progress = '{PROGRESS}'",
            "slot = 0" if on_gpu else 'slot = "none"', "gpu_memory_mib = 1500", "stop_grace_s = 30",
            'env = { PYTHONUNBUFFERED = "1" }',
        ]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    return path


def query_nvidia_smi(query: str) -> list[list[str]]:
    """Return rows of `nvidia-smi --query-…`, each a list of its cells."""
    text = run_command(["nvidia-smi", f"--query-{query}", "--format=csv,noheader,nounits"], seconds=20)
    return [[cell.strip() for cell in line.split(",")] for line in text.splitlines() if line.strip()]
