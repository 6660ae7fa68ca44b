"""`start` without a run, and `down`: the verbs that take more than one request."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

from ..ipc.client import Client, EngineUnavailable
from ..ipc.connection import open_client
from ..ipc.messages import Down, Start
from ..launchers.process_identity import ProcessIdentity, wait_until_ended
from ..plan.schema import MAX_GRACE_S
from ..session.folder import SessionFolder
from ..session.lookup import current_session, is_finished
from ..session.state import ALIVE, RunState
from .command import CommandError
from .engine_requests import fetch_snapshot, send_command
from .output import echo, warn_of_incomplete_session

DOWN_MARGIN_S = 60.0  # added to the longest grace period of the plan
WAITING_MESSAGE_S = 5.0
EXIT_DEADLINE_S = 5.0  # for the engine to exit after the session has ended
RESTARTABLE = (RunState.STOPPED, RunState.FAILED, RunState.LOST)


def start_all(logs: Path, stamp: str | None) -> None:
    """Start every run that was stopped, failed or lost.

    Raises:
        CommandError: There is none.
    """
    snapshot = asyncio.run(fetch_snapshot(logs, reopen=True, stamp=stamp))
    names = [name for name, run in snapshot.runs.items() if run.state in RESTARTABLE]
    if not names:
        raise CommandError("nothing to start: every run has succeeded, is running, or waits for its turn")
    for name in names:
        send_command(logs, Start(run=name), stamp)


def end_session(logs: Path) -> None:
    """Stop all runs and end the session; return once its engine has exited.

    Raises:
        CommandError: Some processes survive the grace period and SIGKILL.
    """
    warn_of_incomplete_session(logs)
    folder = current_session(logs)  # None also if it was deleted while its engine lives
    if folder is not None and is_finished(folder):
        echo(f"session {folder.stamp} has finished already")
        return
    grace = max(run.stop_grace_s for run in folder.load_plan().runs.values()) if folder is not None else MAX_GRACE_S
    try:
        asyncio.run(_end(logs, folder, grace + DOWN_MARGIN_S))
    except TimeoutError:
        raise CommandError("some processes survive SIGKILL; `status` shows which") from None
    echo("the session has ended; `pmssm-supervise start` continues it")


async def _end(logs: Path, folder: SessionFolder | None, deadline_s: float) -> None:
    async with asyncio.timeout(deadline_s):
        engine = await _end_runs(logs, folder)
    if engine is not None:
        with contextlib.suppress(TimeoutError):  # with --headless it is a command that may have more to print
            async with asyncio.timeout(EXIT_DEADLINE_S):
                await wait_until_ended(engine)


async def _end_runs(logs: Path, folder: SessionFolder | None) -> ProcessIdentity | None:
    """Wait until all runs have ended, and return the engine."""
    async with open_client(logs) as client:
        pid = (await client.snapshot()).engine_pid
        engine = ProcessIdentity.of(pid) if pid is not None else None
        reply = await client.command(Down())
        echo(reply.message)
        with contextlib.suppress(EngineUnavailable):  # it exits as soon as the session has ended
            await _wait_until_finished(client)
    while folder is not None and not is_finished(folder):
        with contextlib.suppress(EngineUnavailable):
            async with open_client(logs) as client:
                await _wait_until_finished(client)
    return engine


async def _wait_until_finished(client: Client) -> None:
    shown = time.monotonic()
    async for snapshot in client.snapshots():
        if snapshot.state == "finished":
            return
        if time.monotonic() - shown > WAITING_MESSAGE_S:
            shown = time.monotonic()
            alive = [name for name, run in snapshot.runs.items() if run.state in ALIVE]
            echo(f"waiting for {', '.join(alive)}")
