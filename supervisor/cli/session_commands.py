"""The verbs on a session that exists: show it, stop and start its runs, end it.

Only declarations: what a verb needs is imported when it is called, so that `--help` and completion stay fast.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .command import Command, option
from .option_fields import options_of
from .options import logs_option, run_argument, session_option
from .session_options import DisplayOptions


@click.command(cls=Command)
@option("--read-only", is_flag=True, help="Only show: keys cannot start, stop or end runs.")
@options_of(DisplayOptions)
@session_option
@logs_option
def attach(logs: Path, stamp: str | None, read_only: bool, **display: Any) -> None:  # noqa: ANN401
    """Show the dashboard of the session, running or finished."""
    from .attach import attach_dashboard

    attach_dashboard(logs, stamp, DisplayOptions(**display), read_only=read_only)


@click.command(cls=Command)
@option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes any free port.")
@option("--control", is_flag=True, help="Keys can start, stop and end runs. Without it the page is read-only.")
@options_of(DisplayOptions)
@session_option
@logs_option
def web(logs: Path, stamp: str | None, port: int, control: bool, **display: Any) -> None:  # noqa: ANN401
    """Show the dashboard in browsers on this machine.

    Prints the address to open. The address contains a secret token: everyone who has it can see the dashboard. From
    another machine, the page can only be reached through `ssh -L`. Ctrl-C ends the server; the runs continue.
    """
    from .attach import serve_dashboard

    serve_dashboard(logs, stamp, DisplayOptions(**display), port, control=control)


@click.command(cls=Command)
@option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@option("--all-rounds", is_flag=True, help="List all rounds of a run, not only the current one.")
@session_option
@logs_option
def status(logs: Path, stamp: str | None, as_json: bool, all_rounds: bool) -> None:
    """Show the state and progress of all runs."""
    from .status import print_status

    print_status(logs, stamp, as_json=as_json, all_rounds=all_rounds)


@click.command("logs", cls=Command)
@run_argument(required=False)
@option("-f", "--follow", is_flag=True, help="Also print new lines, until Ctrl-C.")
@option("-n", "--lines", type=click.IntRange(min=1), help="Print only the last N lines.")
@session_option
@logs_option
def show_log(logs: Path, run: str | None, stamp: str | None, follow: bool, lines: int | None) -> None:
    """Print the log of RUN, or without RUN the log of the session."""
    from .logs import print_log
    from .output import echo

    print_log(logs, run, stamp=stamp, follow=follow, last=lines, write=echo)


@click.command(cls=Command)
@logs_option
@option("--slurm", is_flag=True, help="List the jobs of all your sessions in the queue of Slurm instead.")
def sessions(logs: Path, slurm: bool) -> None:
    """List the sessions of the logs folder.

    Shows state, result and size on disk of each session.
    """
    if slurm:
        from .slurm import print_jobs

        print_jobs(logs)
        return
    from .status import print_sessions

    print_sessions(logs)


@click.command(cls=Command)
@run_argument()
@logs_option
def stop(logs: Path, run: str) -> None:
    """Stop RUN, with time to write a checkpoint.

    Sends SIGTERM. If the run does not end within the grace period of the plan, 30 s by default, sends SIGKILL.
    """
    from ..ipc.messages import Stop
    from .engine_requests import send_command

    send_command(logs, Stop(run=run))


@click.command(cls=Command)
@run_argument()
@logs_option
def kill(logs: Path, run: str) -> None:
    """Kill RUN at once, without a checkpoint.

    Its work since the last checkpoint is lost.
    """
    from ..ipc.messages import Stop
    from .engine_requests import send_command

    send_command(logs, Stop(run=run, how="kill"))


@click.command(cls=Command)
@run_argument(required=False)
@session_option
@logs_option
def start(logs: Path, run: str | None, stamp: str | None) -> None:
    """Start RUN, from its checkpoint if it has one.

    Without RUN: start all runs that were stopped, failed or are lost.
    """
    from ..ipc.messages import Start
    from .control import start_all
    from .engine_requests import send_command

    if run is None:
        start_all(logs, stamp)
    else:
        send_command(logs, Start(run=run), stamp)


@click.command(cls=Command)
@run_argument()
@option("--fresh", is_flag=True, help="Start from the beginning, without the checkpoint.")
@session_option
@logs_option
def restart(logs: Path, run: str, stamp: str | None, fresh: bool) -> None:
    """Stop RUN if it is running, and start it again.

    The run resumes from its checkpoint if it has one. With --fresh it starts from the beginning.
    """
    from ..ipc.messages import Restart
    from .engine_requests import send_command

    send_command(logs, Restart(run=run, fresh=fresh), stamp)


@click.command(cls=Command)
@logs_option
def down(logs: Path) -> None:
    """Stop all runs, with time for checkpoints, and end the session.

    Returns when the engine has ended.
    """
    from .control import end_session

    end_session(logs)


VERBS = (attach, web, status, show_log, sessions, stop, kill, start, restart, down)
