"""Fake engine with a fixed session, and helpers that read the screen as text."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from pmssm.supervisor.dashboard.app import Dashboard
from pmssm.supervisor.dashboard.config import DashboardConfig
from pmssm.supervisor.dashboard.data.session_source import Connection
from pmssm.supervisor.gpus.models import Gpu, GpuProcess
from pmssm.supervisor.ipc.client import EngineUnavailable
from pmssm.supervisor.ipc.connection import NoActiveSession
from pmssm.supervisor.ipc.messages import Command, Reply
from pmssm.supervisor.session.snapshot import RunView, Snapshot
from textual.app import App
from textual.pilot import Pilot

NOW = 1_769_100_000.0  # the tests' time, unix seconds
DEADLINE_S = 15.0

PROGRESS = r"Epoch (?P<epoch>\d+)/(?P<epochs>\d+) \| train (?P<train_loss>\S+) \| val (?P<val_loss>\S+)"
PLAN = f"""
[session]
name = "pmssm"
[runs.prepare]
command = ["prepare", "--output", "data"]
slot = "none"
[runs.transformer]
command = ["train", "transformer", "--data", "a b"]
after = ["prepare"]
stop_grace_s = 45
progress = '{PROGRESS}'
[runs.transformer_tabular]
command = ["train", "tabular"]
after = ["prepare"]
progress = '{PROGRESS}'
[runs.mlp]
command = ["train", "mlp"]
after = ["transformer", "transformer_tabular"]
progress = '{PROGRESS}'
"""


def epoch_line(epoch: int, train: float, val: float) -> str:
    """Return the log line of an epoch."""
    return f"Epoch {epoch}/2000 | train {train:.6f} | val {val:.6f}"


def losses(epochs: int) -> list[tuple[float, float]]:
    """Return decreasing losses of training and validation, by epoch."""
    return [(0.8 * math.exp(-epoch / 60) + 0.02, 0.9 * math.exp(-epoch / 80) + 0.03) for epoch in range(1, epochs + 1)]


def training_log(epochs: int) -> str:
    """Return the log of a training with decreasing losses."""
    return "".join(f"{epoch_line(epoch, *pair)}\n" for epoch, pair in enumerate(losses(epochs), 1))


class FakeEngine:
    """Fake engine: a `SessionSource` and its `Connection`, controlled by the test.

    Attributes:
        commands: Commands received, oldest first.
        reopened: The `reopen` argument of each connection attempt.
        reply: Answer to every command.
        snapshot: Snapshot sent to the dashboard; None while there is none.
        recorded_snapshot: Session as read from its files.
        unavailable: Error that every connection attempt raises; None while the engine is reachable.
        now: Time shown by the dashboard's clock, unix seconds.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "plan.toml").write_text(PLAN)
        self.log("transformer").write_text(training_log(300))
        self.log("transformer_tabular").write_text(training_log(200))
        self.log("prepare").write_text("read 3 files\nwrote 1000 points\n")
        self.commands: list[Command] = []
        self.reopened: list[bool] = []
        self.reply = Reply(ok=True, message="done as asked")
        self.snapshot: Snapshot | None = self.make_snapshot()
        self.recorded_snapshot: Snapshot | None = None
        self.unavailable: EngineUnavailable | None = None
        self.now = NOW
        self._changed = asyncio.Event()

    def log(self, run: str) -> Path:
        """Return the path of a run's log."""
        return self.folder / f"{run}.log"

    def app(self, **settings: Any) -> Dashboard:  # noqa: ANN401 - any field of the settings
        """Return a dashboard of this session."""
        return Dashboard(self, clock=lambda: self.now, settings=DashboardConfig(**settings))

    def publish(self, snapshot: Snapshot | None = None) -> None:
        """Send a snapshot, by default the current one again."""
        self.snapshot = snapshot or self.snapshot
        self._changed.set()

    def disconnect(self, reason: EngineUnavailable | None = None) -> None:
        """Close all connections and refuse new ones."""
        self.unavailable = reason or EngineUnavailable("the engine closed the connection")
        self._changed.set()

    def reconnect(self) -> None:
        """Accept connections again."""
        self.unavailable = None

    # SessionSource and Connection

    @contextlib.asynccontextmanager
    async def open(self, *, reopen: bool = False) -> AsyncIterator[Connection]:
        """Open a connection, or raise `unavailable`."""
        self.reopened.append(reopen)
        if reopen and isinstance(self.unavailable, NoActiveSession):
            self.unavailable = None  # an engine is started on the finished session
        if self.unavailable is not None:
            raise self.unavailable
        yield self

    async def read_recorded(self) -> Snapshot | None:
        """Return the recorded snapshot."""
        return self.recorded_snapshot

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """Yield the snapshot now and after each `publish`."""
        while True:
            self._changed.clear()
            if self.unavailable is not None:
                raise self.unavailable
            if self.snapshot is not None:
                yield self.snapshot
            await self._changed.wait()

    async def command(self, command: Command) -> Reply:
        """Record a command and return the fixed reply."""
        self.commands.append(command)
        return self.reply

    # Snapshots

    def make_snapshot(self, *, runs: dict[str, RunView] | None = None, **changes: Any) -> Snapshot:  # noqa: ANN401 - any field of a snapshot
        """Return a snapshot with two running trainings; `changes` replace fields."""
        fixed: dict[str, Any] = {
            "session": "20260122_153100",
            "name": "pmssm",
            "state": "running",
            "mode": "parallel",
            "logs": str(self.folder),
            "folder": str(self.folder),
            "engine_pid": 4000,
            "taken_at": NOW,
            "started": NOW - 3725,
            "runs": runs or self.runs(),
            "gpus": some_gpus(),
            "gpu_taken_at": NOW,
        }
        return Snapshot(**{**fixed, **changes})

    def runs(self, **changes: dict[str, Any]) -> dict[str, RunView]:
        """Return the four runs; `transformer={"state": "failed"}` changes one."""
        runs: dict[str, dict[str, Any]] = {
            "prepare": {
                "state": "succeeded",
                "attempt": 1,
                "exit_code": 0,
                "started": NOW - 3725,
                "ended": NOW - 3713,
            },
            "transformer": training(1, 4711, epoch=300, eta_s=5100.0, train_loss=0.025391, val_loss=0.05117),
            "transformer_tabular": training(2, 4712, epoch=200, eta_s=8900.0, train_loss=0.0485, val_loss=0.10387),
            "mlp": {"state": "waiting", "reason": "waits for transformer, transformer_tabular"},
        }
        return {
            name: RunView(log=str(self.log(name)), **{**run, **changes.get(name, {})}) for name, run in runs.items()
        }


def training(gpu: int, pid: int, *, epoch: int, eta_s: float, **losses: float) -> dict[str, Any]:
    """Return the fields of a running training."""
    return {
        "state": "running",
        "attempt": 1,
        "pid": pid,
        "gpu": gpu,
        "gpu_actual": (gpu,),
        "cuda_visible_devices": f"GPU-{gpu}",
        "started": NOW - 3713,
        "progress": {"epoch": epoch, "epochs": 2000, **losses},
        "eta_s": eta_s,
        "cpu_percent": 101.4,
        "memory_mib": 2100.0,
        "gpu_memory_mib": 806,
        "gpu_memory_expected_mib": 800,
    }


def some_gpus() -> tuple[Gpu, ...]:
    """Return four GPUs: idle, ours, ours, and another user's without sensors."""
    name = "NVIDIA A100-SXM4-40GB"
    common: dict[str, Any] = {"name": name, "memory_total_mib": 40960, "temperature_c": 45, "power_w": 210.5}
    return (
        Gpu(index=0, uuid="GPU-0", utilization_percent=0, memory_used_mib=4, processes=(), **common),
        Gpu(index=1, uuid="GPU-1", utilization_percent=97, memory_used_mib=1806, **common),
        Gpu(index=2, uuid="GPU-2", utilization_percent=88, memory_used_mib=1811, **common),
        Gpu(
            index=3,
            uuid="GPU-3",
            name=name,
            memory_used_mib=30000,
            memory_total_mib=40960,
            processes=(GpuProcess(pid=1),),
        ),
    )


def screen_text(app: App[Any]) -> str:
    """Return the screen as a terminal would show it, without colours."""
    strips = app.screen._compositor.render_strips(app.size)
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


async def until(pilot: Pilot[Any], condition: Callable[[], object]) -> None:
    """Wait until the condition holds; fail with the screen's text after the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    pause_s = 0.02
    while not condition():
        assert time.monotonic() < deadline, f"condition not met; the screen:\n{screen_text(pilot.app)}"
        await pilot.pause(pause_s)
        pause_s = min(1.5 * pause_s, 0.1)  # most conditions draw the screen, which costs more than all the waiting


async def settled(pilot: Pilot[Any]) -> str:
    """Return the screen once it has not changed for 0.4 s."""
    shown, since = "", time.monotonic()
    deadline = since + DEADLINE_S
    while time.monotonic() - since < 0.4:
        assert time.monotonic() < deadline, f"the screen keeps changing:\n{shown}"
        await pilot.pause(0.1)
        if (now_shown := screen_text(pilot.app)) != shown:
            shown, since = now_shown, time.monotonic()
    return shown


async def until_shown(pilot: Pilot[Any], *texts: str) -> str:
    """Return the screen as soon as it shows all the texts."""
    shown = ""

    def are_shown() -> bool:
        nonlocal shown
        shown = screen_text(pilot.app)
        return all(text in shown for text in texts)

    await until(pilot, are_shown)
    return shown
