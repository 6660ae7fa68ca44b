"""The command group: all commands of `pmssm-surrogate`.

torch, uproot and pandas are imported inside the commands, so that `--help` answers at once.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import click

from ..errors import TrainerError
from ..log import LOGGER, start_logging
from ..models.recipes import RECIPES
from ..signals import Stopped, StopRequest
from .campaign_commands import campaign, propose, simulate
from .model_commands import evaluate, export, predict, report
from .options import SCAN_HELP, scan_options, scan_selection
from .output import echo, prepare_output
from .train_commands import FOLDER, make_command

USER_ERRNOS = {getattr(errno, name) for name in (
    "EACCES", "EPERM", "EROFS", "ENOTDIR", "EISDIR", "ENOENT", "EEXIST", "ENOSPC", "EDQUOT", "ENAMETOOLONG",
)}  # fmt: skip
"""Errors of files and folders that the user can fix."""

REMEDIES = {
    errno.ENOENT: "check its name",
    errno.ENOTDIR: "check its name",
    errno.EISDIR: "name a file in it",
    errno.ENOSPC: "make space, or use another folder",
    errno.EDQUOT: "make space, or use another folder",
}
"""What to do about some of these errors; the others come from missing access."""

SHARED_OUTPUT = frozenset({"check", "evaluate", "export", "predict", "propose", "simulate"})
"""Commands whose output may be for others: the umask of the user applies. Files of sessions are private."""


def main() -> None:
    """Run the command line and exit.

    Exit codes: 0 success, 1 the training failed, 2 usage or input error, 3 a newer attempt of the run was started,
    128 + n ended by signal n.
    """
    prepare_output()
    name = next((argument for argument in sys.argv[1:] if argument in commands.commands), "trainers")
    if name not in SHARED_OUTPUT:
        os.umask(os.umask(0o077) | 0o077)  # only the user may read the files
    start_logging(name)
    try:
        sys.exit(commands.main(prog_name="pmssm-surrogate", standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        echo(error.ctx.get_help())
        sys.exit(2)
    except click.ClickException as error:
        LOGGER.error("%s; see --help", error.format_message().rstrip(".").replace("\n", " "))
        sys.exit(2)
    except TrainerError as error:
        LOGGER.error("%s", error)
        sys.exit(error.exit_code)
    except Stopped as stop:
        LOGGER.info("Stopped by %s", stop.name)
        raise
    except OSError as error:
        if error.errno not in USER_ERRNOS:
            raise
        path = error.filename2 or error.filename
        remedy = REMEDIES.get(error.errno or 0, "use a file or folder to which you have access")
        LOGGER.error("%s%s; %s", f"{path}: " if path else "", error.strerror, remedy)
        sys.exit(2)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="pmssm-supervise")
def commands() -> None:
    """Train surrogates of the pMSSM relic density and other observables."""


@commands.command(
    short_help="Convert scan files to memory-mapped arrays.",
    help=f"""\
Convert scan files to memory-mapped arrays, once for each selection of files and options.

{SCAN_HELP}

Duplicate points (equal in all 19 parameters) are dropped. A tenth of the other points is for validation.""",
)
@click.option("--output", type=FOLDER, required=True, help="Folder for the arrays.")
@click.option("--cache", type=FOLDER, help="Folder that keeps the arrays for other outputs; they are hard-linked.")
@scan_options
def prepare(*, output: Path, cache: Path | None, **options: Any) -> None:  # noqa: ANN401 (click checks them)
    """Convert scan files to memory-mapped arrays."""
    StopRequest().install()
    from ..data.prepare import prepare

    prepare(output, patterns=options["data"], selection=scan_selection(options), cache=cache)


@commands.command(
    short_help="Describe scan files before a training.",
    help=f"""\
Describe scan files before a training: the points that each cut drops, ranges, constant parameters, duplicate points,
the distribution of the target, and the lightest sparticle.

{SCAN_HELP}""",
)
@click.option("--histogram", type=FOLDER, metavar="FILE.png", help="Also plot the distribution of the target.")
@scan_options
def check(*, histogram: Path | None, **options: Any) -> None:  # noqa: ANN401 (click checks them)
    """Describe scan files before a training."""
    StopRequest().install()
    from ..data.data_report import draw_histogram, report_lines, warning_lines
    from ..data.survey import check

    meta = check(options["data"], scan_selection(options))
    for line in [*report_lines(meta), *warning_lines(meta)]:
        echo(line)
    if histogram is not None:
        draw_histogram(histogram, meta)


for name, recipe in RECIPES.items():
    commands.add_command(make_command(name, recipe))
for command in (predict, evaluate, export, report, propose, simulate, campaign):
    commands.add_command(command)
