"""The root command `pmssm-supervise`: it starts a session, or hands over to a verb.

This module and all that it imports declare commands and options; they import click and nothing else that is slow.
The code of a verb is imported when the verb is called.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from .command import CommandError, CommandGroup, option
from .option_fields import options_of, take_options
from .options import logs_option
from .session_commands import VERBS
from .session_options import DATA_GROUP, PLAN_GROUP, SLURM_GROUP, DisplayOptions, ForegroundOptions, SessionOptions


@click.group(
    cls=CommandGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@options_of(ForegroundOptions)
@logs_option
@options_of(SessionOptions)
@options_of(DisplayOptions)
@click.version_option(package_name="pmssm-supervise")
@click.pass_context
def main(context: click.Context, /, logs: Path, **parameters: Any) -> None:  # noqa: ANN401
    """Train the pMSSM surrogates in parallel and follow them.

    Without a command: start a session in the background and show the dashboard. The runs continue if you leave the
    dashboard, close the terminal or lose the connection. `attach` shows the dashboard again.
    """
    context.obj = logs
    if context.invoked_subcommand is not None:
        _reject_session_options(context)
        return
    from .start import start_session  # noqa: PLC0415

    foreground, display = take_options(ForegroundOptions, parameters), take_options(DisplayOptions, parameters)
    sys.exit(start_session(logs, SessionOptions(**parameters), foreground, display))


def _reject_session_options(context: click.Context) -> None:
    """Reject options of a new session before a verb, which would be ignored."""
    for each in context.command.params:
        if each.name != "logs" and context.get_parameter_source(str(each.name)) is ParameterSource.COMMANDLINE:
            raise CommandError(
                f"{each.opts[0]} is for the start of a session, or goes after `{context.invoked_subcommand}`"
            )


@main.command()
@options_of(SessionOptions, groups=(PLAN_GROUP, SLURM_GROUP, DATA_GROUP))
@option(
    "--histogram",
    group=DATA_GROUP,
    metavar="FILE.png",
    type=click.Path(path_type=Path),
    help="Draw the distribution of the target.",
)
@click.pass_context
def check(context: click.Context, /, *, histogram: Path | None, **parameters: Any) -> None:  # noqa: ANN401
    """Show the GPUs and what would run where.

    Also shows whether parallel training is possible. With --data or another option about the points, also shows what
    the files contain: the points that each cut drops, ranges, constant parameters, duplicate points, and the
    distribution of the target.

    For jobs of Slurm, shows the partitions and what would be submitted. Slurm is asked whether it accepts the jobs.
    """
    from .check import run_check  # noqa: PLC0415

    sys.exit(run_check(SessionOptions(**parameters), context.obj, histogram))


for verb in VERBS:
    main.add_command(verb)
