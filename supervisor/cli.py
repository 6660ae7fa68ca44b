"""The command line: one verb a function. Heavy modules are imported by the verb that needs them."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from .scan_options import scan_options
from .snapshot import Snapshot
from .state import ALIVE, RunState
from .wire import Client, Command, Down, EngineGone, HungUp, Reply, Restart, Start, Stop

if TYPE_CHECKING:
    from .dashboard.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

DOWN_MARGIN_S = 60.0  # beyond the longest grace of the plan
WAITING_NOTE_S = 5.0


class Refused(click.ClickException):
    """One clear line, exit code 2."""

    exit_code = 2

    def show(self, file: IO[str] | None = None) -> None:
        """Prints the line."""
        click.echo(f"pmssm-supervise: {self.message}", err=True, file=file)


class Verbs(click.Group):
    """Turns every error with a message for users into `Refused`; all else keeps its traceback."""

    def invoke(self, ctx: click.Context) -> object:
        """Runs the verb."""
        from .dashboard.settings import SettingsError  # noqa: PLC0415
        from .journal import JournalError  # noqa: PLC0415
        from .plan import PlanError  # noqa: PLC0415
        from .runtime import RuntimeFolderError  # noqa: PLC0415
        from .sessions import SessionError  # noqa: PLC0415
        from .slots import SlotError  # noqa: PLC0415

        try:
            return super().invoke(ctx)
        except FileNotFoundError as error:
            if error.filename is not None:
                raise
            raise Refused("the present folder was deleted; go to another one") from None
        except (
            EngineGone,
            JournalError,
            PlanError,
            RuntimeFolderError,
            SessionError,
            SettingsError,
            SlotError,
        ) as error:
            raise Refused(str(error)) from None


def _logs_option(function: F) -> F:
    """--logs, before or after the verb; always absolute."""
    return click.option(
        "--logs",
        type=click.Path(file_okay=False, path_type=Path),
        callback=lambda context, _, value: (value or context.obj or Path("logs")).absolute(),
        help="Folder of logs and sessions. [default: logs]",
    )(function)


def _session_option(function: F) -> F:
    """--session: which session a verb is about."""
    return click.option(
        "--session", "stamp", metavar="STAMP", help="An earlier session, as `sessions` lists it. [default: the newest]"
    )(function)


def _slot_options(function: F) -> F:
    """The options that decide which run gets which GPU."""
    for option in (
        click.option(
            "--plan",
            "plan_file",
            type=click.Path(path_type=Path),
            help="TOML file of what to run. [default: the built-in pMSSM plan]",
        ),
        click.option("--gpus", metavar="LIST", help="GPUs to use: indices, UUIDs or MIG UUIDs, as in 1,2; or none."),
        click.option("--no-parallel", is_flag=True, help="One run at a time, even with several GPUs."),
        click.option("--share-gpu", is_flag=True, help="Several runs on one GPU, while their expected memory fits."),
    ):
        function = option(function)
    return function


def _look_options(function: F) -> F:
    """The options that decide how the dashboard looks."""
    for option in (
        click.option("--ascii", "ascii_only", is_flag=True, help="Dashboard: nothing but ASCII on the screen."),
        click.option("--theme", type=click.Choice(["dark", "light", "high-contrast"]), help="Dashboard: its colours."),
    ):
        function = option(function)
    return function


def _no_nan(_context: click.Context, _option: click.Parameter, value: float | None) -> float | None:
    if value is not None and math.isnan(value):
        raise click.BadParameter("is not a number")
    return value


@click.group(cls=Verbs, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--headless", is_flag=True, help="Stay in the foreground, without the dashboard, until all runs ended.")
@click.option("--json", "as_json", is_flag=True, help="With --headless: events and progress as JSON lines.")
@click.option("--detach", is_flag=True, help="Start in the background and return; `attach` shows the dashboard.")
@_slot_options
@scan_options
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of each training. [default: 2000]")
@click.option("--batch-size", type=click.IntRange(min=1), help="Points a step. [default: 256]")
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, 1e6, min_open=True),
    callback=_no_nan,
    help="[default: each model's own]",
)
@click.option("--early-stopping", is_flag=True, help="End a training that no longer improves.")
@click.option("--patience", type=click.IntRange(min=1), help="Epochs without improvement before that. [default: 500]")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Of split, weights and shuffling. [default: 42]")
@click.option(
    "--ensemble", metavar="K", type=click.IntRange(min=1), help="Train K copies of each model, as one. [default: 1]"
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "tf32", "bf16"]),
    help="Of matrix products. [default: auto, tf32 on GPUs that have it]",
)
@click.option("--testing", is_flag=True, help="A quick look: few points and epochs, under two minutes.")
@click.option("--tensorboard", is_flag=True, help="Have each training also write event files for TensorBoard.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of each run. [default: cores / slots]")
@click.option(
    "--stall-restart", metavar="N", type=click.IntRange(min=0), help="Restart a run that has stalled, up to N times."
)
@_look_options
@_logs_option
@click.version_option(package_name="pmssm-supervise")
@click.pass_context
def main(context: click.Context, /, logs: Path, **options: Any) -> None:  # noqa: ANN401
    """Train the pMSSM surrogates side by side and watch them.

    Without a verb: starts a session in the background and shows the dashboard. Leaving the dashboard, closing the
    terminal or losing the connection changes nothing for the runs; `attach` brings the dashboard back.
    """
    context.obj = logs
    if context.invoked_subcommand is None:
        sys.exit(_start(logs, **options))
    given = [name for name, value in options.items() if value not in (None, False, ())]
    if given:
        option = given[0].removesuffix("_file").removeprefix("as_").replace("_", "-")
        raise Refused(f"--{option} is for the start of a session, or goes after `{context.invoked_subcommand}`")


def _start(
    logs: Path,
    *,
    headless: bool,
    as_json: bool,
    detach: bool,
    ascii_only: bool,
    theme: str | None,
    plan_file: Path | None,
    gpus: str | None,
    no_parallel: bool,
    share_gpu: bool,
    stall_restart: int | None,
    **options: Any,  # noqa: ANN401
) -> int:
    from .new_session import Options, begin_session  # noqa: PLC0415

    if headless and detach:
        raise Refused("--headless stays in the foreground and --detach does not; give one of them")
    _check_sharing(no_parallel, share_gpu)
    if as_json and not headless:
        raise Refused("--json goes with --headless; of a session in the background `status --json` tells")
    if not (headless or detach or _has_terminal()):
        raise Refused("there is no terminal for the dashboard here; add --headless or --detach")
    settings = _settings(ascii_only, theme) if not (headless or detach) else None
    folder, lock = begin_session(
        logs,
        Options(**options),
        plan_file=plan_file,
        gpus=gpus,
        parallel=not no_parallel,
        share_gpu=share_gpu,
        stall_restarts=stall_restart or 0,
    )
    if headless:
        from .headless import run_headless  # noqa: PLC0415

        return run_headless(folder, lock, as_json=as_json)
    lock.release()
    if detach:
        snapshot = asyncio.run(_look(logs))
        click.echo(f"session {snapshot.session} runs in the background; `pmssm-supervise attach` shows it")
        return 0
    return _dashboard(logs, None, settings or _settings(ascii_only, theme))


def _check_sharing(no_parallel: bool, share_gpu: bool) -> None:
    if no_parallel and share_gpu:
        raise Refused("--no-parallel is one run at a time and --share-gpu several; give one of them")


def _has_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


async def _look(logs: Path, *, reopen: bool = False, stamp: str | None = None) -> Snapshot:
    from .connection import open_client  # noqa: PLC0415

    with contextlib.suppress(HungUp):  # it died just then; the next one answers
        async with open_client(logs, reopen=reopen, stamp=stamp) as client:
            return await client.look()
    async with open_client(logs, reopen=reopen, stamp=stamp) as client:
        return await client.look()


def _settings(ascii_only: bool, theme: str | None) -> Settings:
    """The user's settings, with what the command line says otherwise."""
    from .dashboard.settings import load_settings, settings_path  # noqa: PLC0415

    given = {"ascii": True} if ascii_only else {}
    return load_settings(settings_path()).model_copy(update={**given, **({"theme": theme} if theme else {})})


def _dashboard(logs: Path, stamp: str | None, settings: Settings) -> int:
    from .dashboard import run_dashboard  # noqa: PLC0415

    run_dashboard(logs, stamp, settings)
    return 0


@main.command()
@_look_options
@_session_option
@_logs_option
def attach(logs: Path, stamp: str | None, ascii_only: bool, theme: str | None) -> None:
    """Show the dashboard of the session, running or finished."""
    from .connection import session_to_serve  # noqa: PLC0415

    session_to_serve(logs, reopen=True, stamp=stamp)
    if not _has_terminal():
        raise Refused("there is no terminal for the dashboard here; use `status` or `logs`")
    _dashboard(logs, stamp, _settings(ascii_only, theme))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_session_option
@_logs_option
def status(logs: Path, stamp: str | None, as_json: bool) -> None:
    """Say what runs where and how far it is, in a session that is running or finished."""
    from .connection import NoSession  # noqa: PLC0415
    from .recorded import current_session, named_session, recorded_snapshot  # noqa: PLC0415
    from .sessions import SessionFolder  # noqa: PLC0415
    from .status import status_lines  # noqa: PLC0415
    from .summary import read_summary, results_table  # noqa: PLC0415

    try:
        snapshot = asyncio.run(_look(logs, stamp=stamp))
    except NoSession:
        folder = current_session(logs) if stamp is None else named_session(logs, stamp)
        if folder is None:
            raise
        snapshot = recorded_snapshot(folder)
    if as_json:
        click.echo(snapshot.model_dump_json(indent=2))
        return
    results = results_table(read_summary(SessionFolder(logs, snapshot.session)))
    click.echo("\n".join([*status_lines(snapshot), *(["", *results] if results else [])]))


@main.command("logs")
@click.argument("run", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is added, until interrupted.")
@click.option("-n", "--lines", type=click.IntRange(min=1), help="The last N lines only.")
@_session_option
@_logs_option
def show_log(logs: Path, run: str | None, stamp: str | None, follow: bool, lines: int | None) -> None:
    """Print the log of RUN, or the session's own log."""
    from .log_output import print_log  # noqa: PLC0415

    print_log(logs, run, stamp=stamp, follow=follow, last=lines, write=click.echo)


@main.command()
@_logs_option
def sessions(logs: Path) -> None:
    """List the sessions of the logs folder: when, state, result, size on disk."""
    from .recorded import session_rows  # noqa: PLC0415
    from .tables import table  # noqa: PLC0415

    rows = session_rows(logs)
    if not rows:
        raise Refused(f"{logs}: no session here; start one with `pmssm-supervise`, or name its folder with --logs")
    click.echo("\n".join(table(("session", "name", "state", "result", "size"), rows)))


@main.command()
@click.argument("run")
@_logs_option
def stop(logs: Path, run: str) -> None:
    """Stop RUN gently: SIGTERM, time for a checkpoint, then SIGKILL."""
    _send(logs, Stop(run=run))


@main.command()
@click.argument("run")
@_logs_option
def kill(logs: Path, run: str) -> None:
    """Kill RUN at once; what it did since its last checkpoint is lost."""
    _send(logs, Stop(run=run, how="kill"))


@main.command()
@click.argument("run", required=False)
@_session_option
@_logs_option
def start(logs: Path, run: str | None, stamp: str | None) -> None:
    """Start RUN from its checkpoint; without RUN, everything that was stopped, failed or got lost."""
    names = [run] if run is not None else _startable(asyncio.run(_look(logs, reopen=True, stamp=stamp)))
    if not names:
        raise Refused("nothing to start: every run has succeeded, runs, or waits for its turn")
    for name in names:
        _send(logs, Start(run=name), stamp)


def _startable(snapshot: Snapshot) -> list[str]:
    ended = (RunState.STOPPED, RunState.FAILED, RunState.LOST)
    return [name for name, run in snapshot.runs.items() if run.state in ended]


@main.command()
@click.argument("run")
@click.option("--fresh", is_flag=True, help="Forget the checkpoint and start over.")
@_session_option
@_logs_option
def restart(logs: Path, run: str, stamp: str | None, fresh: bool) -> None:
    """Start RUN again from its checkpoint, stopping it first if it runs."""
    _send(logs, Restart(run=run, fresh=fresh), stamp)


@main.command()
@_logs_option
def down(logs: Path) -> None:
    """Stop all runs gently and end the session; returns when that is done."""
    from .connection import open_client, session_to_serve  # noqa: PLC0415
    from .recorded import is_finished  # noqa: PLC0415

    folder = session_to_serve(logs, reopen=True)
    if is_finished(folder):
        click.echo(f"session {folder.stamp} has finished already")
        return
    grace = max(run.stop_grace_s for run in folder.load_plan().runs.values())

    async def end() -> None:
        async with open_client(logs) as client:
            reply = await client.command(Down())
            click.echo(reply.message)
        while not is_finished(folder):
            with contextlib.suppress(EngineGone):  # it leaves as soon as the session has ended
                async with open_client(logs) as client:
                    await _until_finished(client)

    try:
        asyncio.run(asyncio.wait_for(end(), grace + DOWN_MARGIN_S))
    except TimeoutError:
        raise Refused("some processes do not end, not even by SIGKILL; `status` shows which") from None
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


@main.command()
@_slot_options
@scan_options
@click.option(
    "--histogram", metavar="FILE.png", type=click.Path(path_type=Path), help="Draw the target's distribution."
)
def check(
    *,
    plan_file: Path | None,
    gpus: str | None,
    no_parallel: bool,
    share_gpu: bool,
    histogram: Path | None,
    **options: Any,  # noqa: ANN401
) -> None:
    """Say which GPUs there are, what would run where, and whether training in parallel is possible.

    With --data, or any other option about the points, also what the files hold: what each cut drops, ranges,
    constant parameters, copies of a point, the target's distribution.
    """
    import os  # noqa: PLC0415

    from .check import check_data, report  # noqa: PLC0415
    from .gpus import read_gpus  # noqa: PLC0415
    from .new_session import Options  # noqa: PLC0415
    from .plan import builtin_plan, load_plan  # noqa: PLC0415
    from .slots import resolve_slots  # noqa: PLC0415
    from .starting import slots_wanted  # noqa: PLC0415

    _check_sharing(no_parallel, share_gpu)
    plan = load_plan(plan_file) if plan_file else builtin_plan()
    width, needed = slots_wanted(plan)
    reading = read_gpus()
    choice = resolve_slots(
        reading,
        requested=gpus,
        parallel=not no_parallel,
        share=share_gpu,
        inherited=os.environ.get("CUDA_VISIBLE_DEVICES"),
        needed_mib=needed,
        width=width,
    )
    placements = [(name, (run.slot or 0) if run.slot != "none" else None) for name, run in plan.runs.items()]
    click.echo("\n".join(report(reading, choice, placements)))
    asked = Options(**options).for_prepare() + ([] if histogram is None else ["--histogram", str(histogram.absolute())])
    if asked:
        click.echo("\nData:")
        sys.exit(check_data(asked))


def _send(logs: Path, command: Command, stamp: str | None = None) -> None:
    """Sends a command to the engine, waking it on a finished session if need be."""
    from .connection import open_client  # noqa: PLC0415

    async def send() -> Reply:
        async with open_client(logs, reopen=True, stamp=stamp) as client:
            return await client.command(command)

    reply = asyncio.run(send())
    if not reply.ok:
        raise Refused(reply.message)
    click.echo(reply.message)
