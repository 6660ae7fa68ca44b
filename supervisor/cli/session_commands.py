"""The verbs on a session that exists: look at it, end and start its runs, end it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..ipc.client import Client, ConnectionLost, EngineUnavailable
from ..ipc.messages import Command, Down, Reply, Restart, Start, Stop
from ..session.snapshot import Snapshot
from ..session.state import ALIVE, RunState
from .options import CommandError, display_options, logs_option, session_option

if TYPE_CHECKING:
    from ..dashboard.config import DashboardConfig

DOWN_MARGIN_S = 60.0  # beyond the longest grace of the plan
WAITING_NOTE_S = 5.0
LEAVING_S = 5.0  # for the engine of an ended session to be gone


def has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


async def get_snapshot(logs: Path, *, reopen: bool = False, stamp: str | None = None) -> Snapshot:
    from ..ipc.connection import open_client  # noqa: PLC0415

    with contextlib.suppress(ConnectionLost):  # it died just then; the next one answers
        async with open_client(logs, reopen=reopen, stamp=stamp) as client:
            return await client.look()
    async with open_client(logs, reopen=reopen, stamp=stamp) as client:
        return await client.look()


def dashboard_settings(ascii_only: bool, theme: str | None) -> DashboardConfig:
    """The user's settings, with what the command line says otherwise."""
    from ..dashboard.config import config_path, load_config  # noqa: PLC0415

    given = {"ascii": True} if ascii_only else {}
    return load_config(config_path()).model_copy(update={**given, **({"theme": theme} if theme else {})})


def show_dashboard(logs: Path, stamp: str | None, settings: DashboardConfig, *, read_only: bool = False) -> int:
    from ..dashboard import run_dashboard  # noqa: PLC0415

    run_dashboard(logs, stamp, settings, read_only=read_only)
    return 0


@click.command()
@click.option("--read-only", is_flag=True, help="Look only: keys that start, stop or end anything are refused.")
@display_options
@session_option
@logs_option
def attach(logs: Path, stamp: str | None, ascii_only: bool, theme: str | None, read_only: bool) -> None:
    """Show the dashboard of the session, running or finished."""
    from ..ipc.connection import session_to_serve  # noqa: PLC0415

    session_to_serve(logs, reopen=True, stamp=stamp)
    if not has_terminal():
        raise CommandError("there is no terminal for the dashboard here; use `status` or `logs`")
    show_dashboard(logs, stamp, dashboard_settings(ascii_only, theme), read_only=read_only)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any that is free.")
@click.option("--control", is_flag=True, help="Obey keys that start, stop or end anything; else it is read-only.")
@display_options
@session_option
@logs_option
def web(*, logs: Path, stamp: str | None, ascii_only: bool, theme: str | None, port: int, control: bool) -> None:
    """Show the dashboard in browsers on this machine.

    Prints the address to open, with a token in it: who has it sees everything. Nobody from outside gets in but through
    `ssh -L`. Serves until Ctrl-C; that changes nothing for the runs.
    """
    from ..ipc.connection import session_to_serve  # noqa: PLC0415
    from ..web import run_web, tab_command  # noqa: PLC0415

    session_to_serve(logs, reopen=True, stamp=stamp)
    command = tab_command(logs, stamp, dashboard_settings(ascii_only, theme).model_dump_json(), control=control)
    run_web(command, port, control=control, write=click.echo)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@session_option
@logs_option
def status(logs: Path, stamp: str | None, as_json: bool) -> None:
    """Say what runs where and how far it is."""
    from ..ipc.connection import NoActiveSession  # noqa: PLC0415
    from ..session.folder import SessionFolder  # noqa: PLC0415
    from ..session.lookup import find_session  # noqa: PLC0415
    from ..session.offline import snapshot_from_files  # noqa: PLC0415
    from ..session.summary import page_lines, read_summary, results_table  # noqa: PLC0415
    from .status import status_lines  # noqa: PLC0415

    try:
        snapshot = asyncio.run(get_snapshot(logs, stamp=stamp))
    except NoActiveSession:
        folder = find_session(logs, stamp)
        if folder is None:
            raise
        snapshot = asyncio.run(snapshot_from_files(folder))
    if as_json:
        click.echo(snapshot.model_dump_json(indent=2))
        return
    folder = SessionFolder(logs, snapshot.session)
    summary = read_summary(folder)
    results = results_table(summary)
    lines = [
        *status_lines(snapshot),
        *page_lines(summary, folder.path.absolute()),
        *(["", *results] if results else []),
    ]
    click.echo("\n".join(lines))


@click.command("logs")
@click.argument("run", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is added, until interrupted.")
@click.option("-n", "--lines", type=click.IntRange(min=1), help="The last N lines only.")
@session_option
@logs_option
def show_log(logs: Path, run: str | None, stamp: str | None, follow: bool, lines: int | None) -> None:
    """Print the log of RUN, or the session's own log."""
    from .logs import print_log  # noqa: PLC0415

    print_log(logs, run, stamp=stamp, follow=follow, last=lines, write=click.echo)


@click.command()
@logs_option
def sessions(logs: Path) -> None:
    """List the sessions of the logs folder.

    With each: state, result and size on disk.
    """
    from ..formatting import table  # noqa: PLC0415
    from ..session.offline import session_table  # noqa: PLC0415

    rows = session_table(logs)
    if not rows:
        raise CommandError(f"{logs}: no session here; start one with `pmssm-supervise`, or name its folder with --logs")
    click.echo("\n".join(table(("session", "name", "state", "result", "size"), rows)))


@click.command()
@click.argument("run")
@logs_option
def stop(logs: Path, run: str) -> None:
    """Stop RUN gently: SIGTERM, a checkpoint, SIGKILL.

    SIGKILL comes only to a run that does not end within the grace that the plan gives it, 30 s by default.
    """
    _send(logs, Stop(run=run))


@click.command()
@click.argument("run")
@logs_option
def kill(logs: Path, run: str) -> None:
    """Kill RUN at once, without a checkpoint.

    What it did since its last one is lost.
    """
    _send(logs, Stop(run=run, how="kill"))


@click.command()
@click.argument("run", required=False)
@session_option
@logs_option
def start(logs: Path, run: str | None, stamp: str | None) -> None:
    """Start RUN from its checkpoint, or all that ended badly.

    Without RUN: everything that was stopped, failed or got lost.
    """
    names = [run] if run is not None else _startable(asyncio.run(get_snapshot(logs, reopen=True, stamp=stamp)))
    if not names:
        raise CommandError("nothing to start: every run has succeeded, runs, or waits for its turn")
    for name in names:
        _send(logs, Start(run=name), stamp)


def _startable(snapshot: Snapshot) -> list[str]:
    ended = (RunState.STOPPED, RunState.FAILED, RunState.LOST)
    return [name for name, run in snapshot.runs.items() if run.state in ended]


@click.command()
@click.argument("run")
@click.option("--fresh", is_flag=True, help="Forget the checkpoint and start over.")
@session_option
@logs_option
def restart(logs: Path, run: str, stamp: str | None, fresh: bool) -> None:
    """Stop RUN if it runs, and start it again.

    It goes on from its checkpoint, if it has one, unless --fresh is given.
    """
    _send(logs, Restart(run=run, fresh=fresh), stamp)


@click.command()
@logs_option
def down(logs: Path) -> None:
    """Stop all runs gently and end the session.

    Returns when that is done, and the engine has left.
    """
    from ..ipc.connection import open_client  # noqa: PLC0415
    from ..launchers.process_identity import ProcessIdentity, wait_until_ended  # noqa: PLC0415
    from ..plan.schema import MAX_GRACE_S  # noqa: PLC0415
    from ..session.lookup import current_session, is_finished  # noqa: PLC0415

    folder = current_session(logs)  # None also where it was deleted, and its engine still lives
    if folder is not None and is_finished(folder):
        click.echo(f"session {folder.stamp} has finished already")
        return
    grace = max(run.stop_grace_s for run in folder.load_plan().runs.values()) if folder is not None else MAX_GRACE_S

    async def end() -> None:
        async with open_client(logs) as client:
            pid = (await client.look()).engine_pid
            engine = ProcessIdentity.of(pid) if pid is not None else None
            reply = await client.command(Down())
            click.echo(reply.message)
            with contextlib.suppress(EngineUnavailable):  # it leaves as soon as the session has ended
                await _until_finished(client)
        while folder is not None and not is_finished(folder):
            with contextlib.suppress(EngineUnavailable):
                async with open_client(logs) as client:
                    await _until_finished(client)
        if engine is not None:
            with contextlib.suppress(TimeoutError):  # with --headless it is a command that may have more to say
                await asyncio.wait_for(wait_until_ended(engine), LEAVING_S)

    try:
        asyncio.run(asyncio.wait_for(end(), grace + DOWN_MARGIN_S))
    except TimeoutError:
        raise CommandError("some processes do not end, not even by SIGKILL; `status` shows which") from None
    click.echo("the session has ended")


async def _until_finished(client: Client) -> None:
    shown = time.monotonic()
    async for snapshot in client.snapshots():
        if snapshot.state == "finished":
            return
        if time.monotonic() - shown > WAITING_NOTE_S:
            shown = time.monotonic()
            alive = [name for name, run in snapshot.runs.items() if run.state in ALIVE]
            click.echo(f"waiting for {', '.join(alive)}")


def _send(logs: Path, command: Command, stamp: str | None = None) -> None:
    """Sends a command to the engine, waking it on a finished session if need be."""
    from ..ipc.connection import open_client  # noqa: PLC0415

    async def send() -> Reply:
        async with open_client(logs, reopen=True, stamp=stamp) as client:
            return await client.command(command)

    reply = asyncio.run(send())
    if not reply.ok:
        raise CommandError(reply.message)
    click.echo(reply.message)


VERBS = (attach, web, status, show_log, sessions, stop, kill, start, restart, down)
