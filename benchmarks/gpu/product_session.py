"""Drive the installed supervisor from outside, as a user does: commands, `status --json`, files."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Json = dict[str, Any]

MODELS = ("transformer", "transformer_tabular", "mlp")
PROGRESS = (
    r"Training for (?P<epochs>\d+) epochs"
    r"|Epoch (?P<epoch>\d+) \| Train MSE = (?P<train_loss>\S+) \| Val MSE = (?P<val_loss>\S+)"
)
CPU_PATIENCE = 3
"""Times as long as on a GPU that a check waits on a CPU."""


class CheckFailed(Exception):
    """What the product did is not what was asked of it."""


class Skipped(Exception):
    """The check makes no sense here; the message says why."""


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


def has_reached(epoch: int, run: Json, name: str) -> bool:
    """Tell whether a run is past this epoch; raise CheckFailed where it has ended."""
    require(run["state"] in {"waiting", "queued", "running"}, f"{name} is {run['state']}: {run['reason']}")
    return bool(run["state"] == "running" and run["progress"].get("epoch", 0) >= epoch)


def has_succeeded(run: Json, name: str) -> bool:
    """Tell whether a run has succeeded; raise CheckFailed where it has ended otherwise."""
    require(run["state"] in {"waiting", "queued", "running", "succeeded"}, f"{name} is {run['state']}: {run['reason']}")
    return bool(run["state"] == "succeeded")


@dataclass
class Supervisor:
    """The command `pmssm-supervise` on one logs folder.

    Attributes:
        logs: The folder.
        patience: Factor of all deadlines.
    """

    logs: Path
    patience: float = 1.0

    def run(self, *arguments: str, seconds: float = 60) -> str:
        """Return what the command prints; raise CheckFailed where it fails or takes longer than `seconds`."""
        command = [sys.executable, "-m", "pmssm.supervisor", *arguments, *self._logs_option(arguments)]
        return run_command(command, seconds=self.patience * seconds)

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

        return wait_until(what, find, self.patience * seconds)

    def output(self, run: str) -> Path:
        """Return the newest session's folder of a run."""
        return Path(self.status()["folder"]) / run

    def log(self, run: str) -> str:
        """Return the log of a run of the newest session."""
        return Path(self.status()["runs"][run]["log"]).read_text()


@dataclass
class Context:
    """What the checks share.

    Attributes:
        folder: All files of the checks.
        on_gpu: Whether the trainings use a GPU.
        data: Prepared arrays, from `testing` on.
        screen: The dashboard as it was seen last.
        is_training: Whether all three models train, from `sharing` until `down`.
    """

    folder: Path
    on_gpu: bool
    data: Path | None = None
    screen: str = ""
    is_training: bool = False
    _supervisors: dict[str, Supervisor] = field(default_factory=dict)

    @property
    def device(self) -> str:
        """The value of `--device` for trainers."""
        return "cuda" if self.on_gpu else "cpu"

    @property
    def patience(self) -> float:
        """Factor of all deadlines."""
        return 1.0 if self.on_gpu else CPU_PATIENCE

    def supervisor(self, name: str) -> Supervisor:
        """Return the supervisor with the logs folder of this name."""
        return self._supervisors.setdefault(name, Supervisor(self.folder / name, self.patience))

    @property
    def shared(self) -> Supervisor:
        """The session in which all three models train at once.

        Raises:
            Skipped: They do not.
        """
        if not self.is_training:
            raise Skipped("the three trainings of `sharing` do not run")
        return self.supervisor("shared")

    def trainers(self, *arguments: str, seconds: float) -> str:
        """Return what a command of the trainers prints; raise CheckFailed where it fails."""
        return run_command([sys.executable, "-m", "pmssm.trainers", *arguments], seconds=self.patience * seconds)

    def prepared(self) -> Path:
        """Return the prepared arrays; make them where `testing` did not."""
        if self.data is None:
            self.data = self.folder / "data"
            self.trainers("prepare", "--output", str(self.data), seconds=40)
        return self.data

    def write_plan(self, name: str, options: dict[str, list[str]]) -> Path:
        """Write a plan of trainings that start at once; `options` are the trainers' own, by model."""
        lines = ["[session]", 'name = "gpu-check"']
        for model, own in options.items():
            command = ["{python}", "-P", "-m", "pmssm.trainers", model, "--data", str(self.prepared())]
            command += ["--output", "{output}", "--device", self.device, *own]
            lines += [
                f"[runs.{model}]", f"command = {json.dumps(command)}", f"progress = '{PROGRESS}'",
                "slot = 0" if self.on_gpu else 'slot = "none"', "gpu_memory_mib = 1500", "stop_grace_s = 30",
                'env = { PYTHONUNBUFFERED = "1" }',
            ]  # fmt: skip
        path = self.folder / f"{name}.toml"
        path.write_text("\n".join(lines) + "\n")
        return path


def run_command(command: Sequence[str], *, seconds: float) -> str:
    """Return what a command prints; raise CheckFailed where it fails or takes longer than `seconds`."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise CheckFailed(f"not within {seconds:g} s: {' '.join(command[1:])}") from error
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise CheckFailed(f"exit code {done.returncode}: {' '.join(command[1:])}: {''.join(last)[:300]}")
    return done.stdout


def query_nvidia_smi(query: str) -> list[list[str]]:
    """Return rows of `nvidia-smi --query-…`, each a list of its cells; a value may be `[N/A]` or `[Not Supported]`."""
    text = run_command(["nvidia-smi", f"--query-{query}", "--format=csv,noheader,nounits"], seconds=20)
    return [[cell.strip() for cell in line.split(",")] for line in text.splitlines() if line.strip()]
