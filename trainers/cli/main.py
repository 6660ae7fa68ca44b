"""The commands: prepare, transformer, transformer_tabular, mlp.

torch, uproot and pandas are imported inside the commands: `--help` answers at once.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import TrainerError
from ..log import LOGGER, start_logging
from ..process_tuning import tune_process
from ..signals import Stopped, StopRequest
from ..training.startup_timer import StartupTimer
from .model_commands import export, predict, report
from .options import POSITIVE, SCAN_HELP, require_finite, scan_options, scan_selection

if TYPE_CHECKING:
    pass

TESTING_EPOCHS = 4
DEFAULT_EPOCHS = 2000
MENDABLE = {getattr(errno, name) for name in (
    "EACCES", "EPERM", "EROFS", "ENOTDIR", "EISDIR", "ENOENT", "EEXIST", "ENOSPC", "EDQUOT", "ENAMETOOLONG",
)}  # fmt: skip

FOLDER = click.Path(path_type=Path)


def main() -> None:
    """Nothing; ends the process: 0 done, 1 the training failed, 2 usage or input error, 128 + n ended by signal n."""
    os.umask(os.umask(0o077) | 0o077)  # what we write is the user's own
    name = next((argument for argument in sys.argv[1:] if argument in commands.commands), "trainers")
    start_logging(name)
    try:
        sys.exit(commands.main(prog_name="python -m pmssm.trainers", standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
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
        if error.errno not in MENDABLE:
            raise
        place = error.filename2 or error.filename
        LOGGER.error("%s%s; give a folder that can be written", f"{place}: " if place else "", error.strerror)
        sys.exit(2)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def commands() -> None:
    """Trains surrogates of the pMSSM relic density and other observables."""


@commands.command(
    help=f"""\
Makes memory-mapped arrays of scan files, once per distinct input.

{SCAN_HELP}

A row whose 19 parameters an earlier row has is left out. A tenth of the others validates."""
)
@click.option("--output", type=FOLDER, required=True, help="Folder for the arrays.")
@click.option("--cache", type=FOLDER, help="Folder that keeps arrays for other outputs too; they are hard-linked.")
@scan_options
def prepare(*, output: Path, cache: Path | None, **options: Any) -> None:  # noqa: ANN401 (click checks them)
    StopRequest().listen()
    from ..data.prepare import prepare

    prepare(output, patterns=options["data"], choice=scan_selection(options), cache=cache)


@commands.command(
    help=f"""\
Prints what there is to know of scan files before a training: rows that each cut drops, ranges, constant parameters,
copies of a point, the target's distribution, and what the lightest sparticle is.

{SCAN_HELP}"""
)
@click.option("--histogram", type=FOLDER, metavar="FILE.png", help="Draw the target's distribution, too.")
@scan_options
def check(*, histogram: Path | None, **options: Any) -> None:  # noqa: ANN401 (click checks them)
    StopRequest().listen()
    from ..data.data_report import draw_histogram, report_lines, warning_lines
    from ..data.survey import check

    found = check(options["data"], scan_selection(options))
    for line in [*report_lines(found), *warning_lines(found)]:
        click.echo(line)
    if histogram is not None:
        draw_histogram(histogram, found)


TRAINER_OPTIONS = [
    click.option("--data", type=FOLDER, required=True, help="Folder that `prepare` wrote."),
    click.option("--output", type=FOLDER, required=True, help="Folder for checkpoint, model, metrics and plots."),
    click.option("--epochs", type=POSITIVE, help=f"[default: {DEFAULT_EPOCHS}; with --testing {TESTING_EPOCHS}]"),
    click.option("--batch-size", type=POSITIVE, default=256, show_default=True),
    click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), callback=require_finite,
                 help="[default: 3e-4 for the transformers, 1e-4 for mlp]"),
    click.option("--early-stopping", is_flag=True, help="Stop after --patience epochs without a better one."),
    click.option("--patience", type=POSITIVE, default=500, show_default=True),
    click.option("--optimizer", type=click.Choice(["adamw", "muon"]), default="adamw", show_default=True,
                 help="Muon moves the hidden matrices, AdamW the rest."),
    click.option("--warmup-epochs", type=click.IntRange(min=0), default=0, show_default=True,
                 help="Epochs in which the learning rate rises to what it should be."),
    click.option("--ema", type=click.FloatRange(0, 1, min_open=True, max_open=True), callback=require_finite,
                 metavar="DECAY", help="Validate and keep a running average of the weights, such as 0.999."),
    click.option("--seed", type=click.IntRange(min=0, max=2**63 - 1), default=42, show_default=True),
    click.option("--ensemble", type=POSITIVE, default=1, show_default=True, metavar="K",
                 help="Train K models at once, seeds --seed, --seed + 1, …; saved as one that knows its spread."),
    click.option("--precision", type=click.Choice(["auto", "fp32", "tf32", "bf16"]), default="auto", show_default=True,
                 help="auto: tf32 on GPUs and bf16 on CPUs that have it, else fp32."),
    click.option("--compile/--no-compile", default=None, help="Fuse kernels, on a GPU.  [default: long trainings]"),
    click.option("--threads", type=POSITIVE, help="CPU threads.  [default: OMP_NUM_THREADS, or all cores]"),
    click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
    click.option("--checkpoint-seconds", type=click.FloatRange(min=0), default=30, callback=require_finite,
                 show_default=True),
    click.option("--fresh", is_flag=True, help="Start over, whatever the output folder holds."),
    click.option("--testing", is_flag=True, help="Quick look: few epochs, few rows."),
    click.option("--tensorboard", is_flag=True, help="Also write event files, into OUTPUT/tensorboard."),
]  # fmt: skip


def trainer(name: str, model: str) -> None:
    """Nothing; the group has a command that trains `model`."""

    def command(**options: Any) -> None:  # noqa: ANN401 (click checks them)
        run_trainer(name, options)

    for option in reversed(TRAINER_OPTIONS):
        command = option(command)
    text = f"""\
Trains {model}; a start with a checkpoint in --output resumes it.

A resume takes the data and the settings of the start, to the same bits on the CPU with the same --threads. Only mlp,
whose learning rate is constant, goes on to more --epochs. SIGTERM or SIGINT: checkpoint, then exit 143 or 130."""
    commands.command(name, help=text)(command)


LOOP_OPTIONS = (
    "batch_size", "early_stopping", "patience", "seed", "ensemble", "checkpoint_seconds", "optimizer", "warmup_epochs",
    "ema",
)  # fmt: skip
JOB_OPTIONS = ("data", "output", "device", "precision", "compile", "fresh", "testing", "tensorboard")


def run_trainer(name: str, options: dict[str, Any]) -> None:
    """Nothing; the model `name` is trained as the options of the command line say."""
    stop, startup = StopRequest().listen(), StartupTimer()
    tune_process()
    from ..device import default_threads
    from ..models.recipes import RECIPES
    from ..training.state import TrainingConfig
    from ..training.train import TrainingJob, train

    recipe = RECIPES[name]
    settings = TrainingConfig(
        learning_rate=options["learning_rate"] or recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        cosine=recipe.cosine,
        clip_norm=recipe.clip_norm,
        epochs=options["epochs"] or (TESTING_EPOCHS if options["testing"] else DEFAULT_EPOCHS),
        **{key: options[key] for key in LOOP_OPTIONS},
    )
    job = TrainingJob(
        name=name,
        threads=options["threads"] or default_threads(),
        **{key: options[key] for key in JOB_OPTIONS},
    )
    train(job, settings, stop, startup)


for command in (predict, export, report):
    commands.add_command(command)
trainer("transformer", "PMSSMTransformer")
trainer("transformer_tabular", "PMSSMTransformerTabular")
trainer("mlp", "PMSSMFeedForward")
trainer("transformer_plr", "PMSSMTransformer with periodic embeddings")
trainer("transformer_tabular_plr", "PMSSMTransformerTabular with periodic embeddings")
trainer("mlp_plr", "PMSSMFeedForward with periodic embeddings")
trainer("tabm", "PMSSMTabM, an ensemble of perceptrons in one")
