"""A new session from the command line's options: everything checked before anything is written."""

from __future__ import annotations

import asyncio
import glob
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..gpus.poller import read_gpus
from ..gpus.slot_selection import SlotRequest, select_slots
from ..ipc.connection import stop_idle_engine
from ..ipc.engine_lock import EngineLock
from ..ipc.socket_path import socket_path
from ..plan.errors import PlanError
from ..plan.loader import builtin_plan, load_plan
from ..plan.schema import Plan
from ..session.create import next_session, resolve_plan, write_session
from ..session.folder import SessionError, SessionFolder, SessionSettings
from ..session.lookup import current_session, is_finished

PREPARE_OPTIONS = "prepare_options"  # placeholders of a plan
TRAINING_OPTIONS = "training_options"
DISMISSAL_DEADLINE_S = 5.0


@dataclass(frozen=True)
class TrainerOptions:
    """What was asked for on the command line; None or empty where the trainers' own default holds."""

    data: tuple[str, ...] = ()
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    early_stopping: bool = False
    patience: int | None = None
    seed: int | None = None
    ensemble: int | None = None
    precision: str | None = None
    testing: bool = False
    tensorboard: bool = False
    n_datasets: int | None = None
    n_samples: int | None = None
    target: str | None = None
    target_above: float | None = None
    target_below: float | None = None
    y_transform: str | None = None
    neutralino_lsp: bool = False
    tree: str | None = None
    branches: tuple[str, ...] = ()
    threads: int | None = None

    def for_prepare(self) -> list[str]:
        """The arguments of the run that prepares the data."""
        return [
            *_arguments("data", [str(_absolute(p)) for p in self.data]),
            *self._given("target", "target_above", "target_below", "y_transform", "neutralino_lsp", "tree"),
            *_arguments("branches", list(self.branches)),
            *self._given("n_datasets", "n_samples", "seed", "testing"),
        ]

    def for_training(self) -> list[str]:
        """The arguments of each trainer."""
        return self._given(
            "epochs",
            "batch_size",
            "learning_rate",
            "early_stopping",
            "patience",
            "seed",
            "ensemble",
            "precision",
            "threads",
            "testing",
            "tensorboard",
        )

    def _given(self, *names: str) -> list[str]:
        return [argument for name in names for argument in _arguments(name, getattr(self, name))]


def _arguments(name: str, value: object) -> list[str]:
    option = f"--{name.replace('_', '-')}"
    if isinstance(value, list):
        return [argument for item in value for argument in (option, item)]
    if value is None or value is False:
        return []
    return [option] if value is True else [option, str(value)]


def _absolute(pattern: str) -> Path:
    return Path.cwd() / os.path.expanduser(pattern)  # noqa: PTH111 (leaves ~nobody alone, where pathlib raises)


def create_session(
    logs: Path,
    options: TrainerOptions,
    *,
    plan_file: Path | None,
    gpus: str | None,
    parallel: bool,
    share_gpu: bool = False,
    stall_restarts: int = 0,
    on_finish: str | None = None,
) -> tuple[SessionFolder, EngineLock]:
    """A new session on disk, and the lock of its logs folder: hand it to an engine, or release it.

    Raises:
        PlanError, SlotError, SessionError, RuntimeFolderError: one line each, and nothing was written.
    """
    plan = load_plan(plan_file) if plan_file else builtin_plan()
    source = str(plan_file or "the built-in plan")
    _check_options(plan, options, source)
    _check_data(options.data)
    environment = dict(os.environ)
    if gpus is not None:
        inherited = environment.get("CUDA_VISIBLE_DEVICES")
        select_slots(read_gpus(), SlotRequest.for_plan(plan, gpus=gpus, inherited=inherited, parallel=parallel))
    socket_path(logs)
    folder = next_session(logs)
    placeholders = {PREPARE_OPTIONS: options.for_prepare(), TRAINING_OPTIONS: options.for_training()}
    resolved = resolve_plan(folder, plan, placeholders, source=source)
    settings = SessionSettings(
        parallel=parallel,
        gpus=gpus,
        share_gpu=share_gpu,
        threads=options.threads,
        stall_restarts=stall_restarts,
        on_finish=on_finish,
        owner=os.getuid(),
        environment=environment,
    )
    try:
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = EngineLock(logs)
        free = _acquire(lock, logs)
    except OSError as error:
        raise SessionError(f"{logs}: cannot write there: {error.strerror}; choose another folder with --logs") from None
    try:
        _check_free(logs, free)
        write_session(folder, resolved, settings)
    except BaseException:
        lock.release()
        raise
    return folder, lock


def _check_options(plan: Plan, options: TrainerOptions, source: str) -> None:
    """Options that no command of the plan takes up would be ignored in silence."""
    words = {word for run in plan.runs.values() for word in run.command}
    takers = {f"{{{PREPARE_OPTIONS}}}": options.for_prepare(), f"{{{TRAINING_OPTIONS}}}": options.for_training()}
    taken = {argument for placeholder in words & takers.keys() for argument in takers[placeholder]}
    for placeholder, arguments in takers.items():
        ignored = [argument for argument in arguments if argument.startswith("--") and argument not in taken]
        if ignored:
            raise PlanError(f"{source}: no command has {placeholder}, so {ignored[0]} would have no effect")


def _check_data(patterns: Sequence[str]) -> None:
    for pattern in patterns:
        if not pattern:
            raise SessionError("--data '': give scan files, a folder, or a quoted glob")
        path = str(_absolute(pattern))
        # Not pathlib's, which raise for a name too long or a folder that is closed to us.
        if not os.path.exists(path) and not glob.glob(path, recursive=True):  # noqa: PTH110, PTH207
            raise SessionError(f"--data {pattern}: no such file; give scan files, a folder, or a quoted glob")


def _acquire(lock: EngineLock, logs: Path) -> bool:
    """Whether the logs folder is ours; an engine that only lingers on a finished session makes way."""
    if lock.acquire():
        return True
    current = current_session(logs)
    if current is None or not is_finished(current):
        return False
    asyncio.run(stop_idle_engine(logs))
    deadline = time.monotonic() + DISMISSAL_DEADLINE_S
    while not lock.acquire():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _check_free(logs: Path, free: bool) -> None:
    current = current_session(logs)
    if not free:
        stamp = f" ({current.stamp})" if current else ""
        raise SessionError(
            f"{logs}: a session is running in this folder{stamp}; see it with `pmssm-supervise attach`, "
            "end it with `down`, or choose another folder with --logs"
        )
    if current is not None and not is_finished(current):
        raise SessionError(
            f"{logs}: session {current.stamp} was interrupted; go on with it with `pmssm-supervise attach`, "
            "end it with `down`, or choose another folder with --logs"
        )
