"""The command line: one verb a function. Heavy modules are imported by the verb that needs them."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ..errors import UserError
from .data_options import scan_options
from .options import CommandError, display_options, logs_option, slot_options
from .session_commands import VERBS, dashboard_settings, get_snapshot, has_terminal, show_dashboard


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    """A block whose complaints about the command line are `CommandError`."""
    try:
        yield
    except click.UsageError as error:
        raise CommandError(f"{' '.join(error.format_message().split()).rstrip('.')}; see --help") from None


class CommandGroup(click.Group):
    """A group that turns every `UserError` into a `CommandError`; any other error keeps its traceback."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401
    ) -> click.Context:
        """Reads the options before the verb."""
        with _one_line_errors():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Runs the verb."""
        try:
            with _one_line_errors():
                return super().invoke(ctx)
        except FileNotFoundError as error:
            if error.filename is not None:
                raise
            raise CommandError("the present folder was deleted; go to another one") from None
        except UserError as error:
            raise CommandError(str(error)) from None


def _no_nan(_context: click.Context, _option: click.Parameter, value: float | None) -> float | None:
    if value is not None and math.isnan(value):
        raise click.BadParameter("is not a number")
    return value


@click.group(cls=CommandGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--headless", is_flag=True, help="Stay in the foreground, without the dashboard, until all runs ended.")
@click.option("--json", "as_json", is_flag=True, help="With --headless: events and progress as JSON lines.")
@click.option("--detach", is_flag=True, help="Start in the background and return; `attach` shows the dashboard.")
@slot_options
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
    help="[default: auto, which is tf32 on GPUs and bf16 on CPUs that have it, else fp32]",
)
@click.option("--testing", is_flag=True, help="A quick look: few points and epochs, under two minutes.")
@click.option("--tensorboard", is_flag=True, help="Have each training also write event files for TensorBoard.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of each run. [default: cores / slots]")
@click.option(
    "--stall-restart", metavar="N", type=click.IntRange(min=0), help="Restart a run that has stalled, up to N times."
)
@click.option("--on-finish", metavar="CMD", help="Shell command for when a run has failed or the session has finished.")
@display_options
@logs_option
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
        option = next(each.opts[0] for each in context.command.params if each.name == given[0])
        raise CommandError(f"{option} is for the start of a session, or goes after `{context.invoked_subcommand}`")


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
    on_finish: str | None,
    **options: Any,  # noqa: ANN401
) -> int:
    from .new_session import TrainerOptions, create_session  # noqa: PLC0415

    if headless and detach:
        raise CommandError("--headless stays in the foreground and --detach does not; give one of them")
    _check_sharing(no_parallel, share_gpu)
    if as_json and not headless:
        raise CommandError("--json goes with --headless; of a session in the background `status --json` tells")
    if not (headless or detach or has_terminal()):
        raise CommandError("there is no terminal for the dashboard here; add --headless or --detach")
    settings = dashboard_settings(ascii_only, theme) if not (headless or detach) else None
    folder, lock = create_session(
        logs,
        TrainerOptions(**options),
        plan_file=plan_file,
        gpus=gpus,
        parallel=not no_parallel,
        share_gpu=share_gpu,
        stall_restarts=stall_restart or 0,
        on_finish=on_finish,
    )
    if headless:
        from .headless import run_headless  # noqa: PLC0415

        return run_headless(folder, lock, as_json=as_json)
    lock.release()
    if detach:
        snapshot = asyncio.run(get_snapshot(logs))
        click.echo(f"session {snapshot.session} runs in the background; `pmssm-supervise attach` shows it")
        return 0
    return show_dashboard(logs, None, settings or dashboard_settings(ascii_only, theme))


def _check_sharing(no_parallel: bool, share_gpu: bool) -> None:
    if no_parallel and share_gpu:
        raise CommandError("--no-parallel is one run at a time and --share-gpu several; give one of them")


@main.command()
@slot_options
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
    """Say which GPUs there are and what would run where.

    Also whether training in parallel is possible and, with --data or any other option about the points, what the
    files hold: what each cut drops, ranges, constant parameters, copies of a point, the target's distribution.
    """
    import os  # noqa: PLC0415

    from ..gpus.poller import read_gpus  # noqa: PLC0415
    from ..gpus.slot_selection import SlotRequest, select_slots  # noqa: PLC0415
    from ..plan.loader import builtin_plan, load_plan  # noqa: PLC0415
    from .check import check_data, report  # noqa: PLC0415
    from .new_session import TrainerOptions  # noqa: PLC0415

    _check_sharing(no_parallel, share_gpu)
    plan = load_plan(plan_file) if plan_file else builtin_plan()
    reading = read_gpus()
    request = SlotRequest.for_plan(
        plan,
        gpus=gpus,
        inherited=os.environ.get("CUDA_VISIBLE_DEVICES"),
        parallel=not no_parallel,
        share=share_gpu,
    )
    placements = [(name, run.slot) for name, run in plan.runs.items()]
    click.echo("\n".join(report(reading, select_slots(reading, request), placements)))
    asked = TrainerOptions(**options).for_prepare() + (
        [] if histogram is None else ["--histogram", str(histogram.absolute())]
    )
    if asked:
        click.echo("\nData:")
        sys.exit(check_data(asked))


for verb in VERBS:
    main.add_command(verb)
