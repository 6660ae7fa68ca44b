"""The commands that train a model: one per recipe.

torch is imported inside the commands, so that `--help` answers at once.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..models.recipes import RECIPES, Recipe
from ..process_tuning import tune_process
from ..signals import StopRequest
from ..training.registry import LOSSES, OPTIMIZERS
from ..training.startup_timer import StartupTimer
from .options import POSITIVE, require_finite

TESTING_EPOCHS = 4
DEFAULT_EPOCHS = 2000

FOLDER = click.Path(path_type=Path)
CONFIG_OPTIONS = (
    "learning_rate", "batch_size", "early_stopping", "patience", "seed", "ensemble", "checkpoint_seconds", "optimizer",
    "warmup_epochs", "ema", "loss",
)  # fmt: skip
JOB_OPTIONS = ("data", "output", "device", "precision", "compile", "fresh", "testing", "tensorboard", "init_from")


OPTION_GROUPS = {
    "Files": ("data", "output", "init_from", "fresh", "checkpoint_seconds", "tensorboard"),
    "Training": ("epochs", "batch_size", "learning_rate", "seed", "ensemble", "early_stopping", "patience", "testing"),
    "Optimizer": ("optimizer", "warmup_epochs", "ema", "loss"),
    "Device": ("device", "precision", "compile", "threads"),
}
"""Headings of `--help`, and the options below them, in order."""


class TrainCommand(click.Command):
    """A command whose `--help` lists its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options."""
        records = {str(param.name): param.get_help_record(ctx) for param in self.get_params(ctx)}
        grouped = {name for names in OPTION_GROUPS.values() for name in names}
        others = tuple(name for name in records if name not in grouped)
        for heading, names in {**OPTION_GROUPS, "Options": others}.items():
            shown = [record for name in names if (record := records.get(name)) is not None]
            if shown:
                with formatter.section(heading):
                    formatter.write_dl(shown)


def trainer_options(recipe: Recipe) -> list[Callable[[Callable[..., None]], Callable[..., None]]]:
    """Return the options of the command that trains the model of `recipe`."""
    return [
        click.option("--data", type=FOLDER, required=True, help="Folder that `prepare` wrote."),
        click.option("--output", type=FOLDER, required=True, help="Folder for checkpoint, model, metrics and plots."),
        click.option("--init-from", type=FOLDER, metavar="MODEL",
                     help="Start with the weights of this model.pt, of the same kind, features and --ensemble."),
        click.option("--epochs", type=POSITIVE,
                     help=f"Passes over all points.  [default: {DEFAULT_EPOCHS}; with --testing {TESTING_EPOCHS}]"),
        click.option("--batch-size", type=POSITIVE, default=256, show_default=True, help="Points per step."),
        click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), default=recipe.learning_rate,
                     callback=require_finite, show_default=True, help="Learning rate of the optimizer."),
        click.option("--early-stopping", is_flag=True,
                     help="Stop after --patience epochs without a better validation loss."),
        click.option("--patience", type=POSITIVE, default=500, show_default=True, 
                     help="Epochs without improvement before early stopping."),
        click.option("--optimizer", type=click.Choice(list(OPTIMIZERS)), default="adamw", show_default=True,
                     help="muon: Muon for the hidden matrices, AdamW for all other parameters."),
        click.option("--warmup-epochs", type=click.IntRange(min=0), default=0, show_default=True,
                     help="Epochs in which the learning rate rises linearly."),
        click.option("--ema", type=click.FloatRange(0, 1, min_open=True, max_open=True), callback=require_finite,
                     metavar="DECAY", help="Validate and keep a running average of the weights, such as 0.999."),
        click.option("--loss", type=click.Choice(list(LOSSES)), default="mse", show_default=True,
                     help="Function of the errors to minimise. It also decides which epoch is the best."),
        click.option("--seed", type=click.IntRange(min=0, max=2**63 - 1), default=42, show_default=True,
                     help="Seed of weights and shuffling."),
        click.option("--ensemble", type=POSITIVE, default=1, show_default=True, metavar="K",
                     help="Train K models at once, with seeds --seed, --seed + 1, ... They are saved as one model "
                          "whose predictions have a standard deviation."),
        click.option("--precision", type=click.Choice(["auto", "fp32", "tf32", "bf16"]), default="auto",
                     show_default=True, help="auto: tf32 on GPUs and bf16 on CPUs that support it, else fp32."),
        click.option("--compile/--no-compile", default=None,
                     help="Fuse kernels on a GPU.  [default: in long trainings]"),
        click.option("--threads", type=POSITIVE, help="CPU threads.  [default: OMP_NUM_THREADS, or all cores]"),
        click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
                     help="auto: a GPU if there is one."),
        click.option("--checkpoint-seconds", type=click.FloatRange(min=0), default=30, callback=require_finite,
                     show_default=True, help="Time between two checkpoints."),
        click.option("--fresh", is_flag=True, help="Start over and delete the checkpoints in the output folder."),
        click.option("--testing", is_flag=True, help="Smoke test: few epochs, few points."),
        click.option("--tensorboard", is_flag=True, help="Also write event files to OUTPUT/tensorboard."),
    ]  # fmt: skip


def make_command(name: str, recipe: Recipe) -> click.Command:
    """Return the command `name`, which trains the model of `recipe`."""

    def command(**options: Any) -> None:  # noqa: ANN401 (click checks them)
        run_trainer(name, options)

    for option in reversed(trainer_options(recipe)):
        command = option(command)
    if recipe.cosine:
        epochs = "The learning rate follows a cosine over all epochs, so a resumed training needs the same --epochs."
    else:
        epochs = "The learning rate is constant, so a resumed training may use more --epochs."
    text = f"""\
Train {recipe.summary}. If --output contains a checkpoint, the training is resumed.

A resumed training needs the same data and settings. On the CPU, with the same --threads, it gives the same bits as a
training without a break. {epochs}

At SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2 or SIGXCPU, the command writes a checkpoint and exits with 128 + the
number of the signal, for example 143 after SIGTERM."""
    return click.command(name, cls=TrainCommand, short_help=f"Train {recipe.summary}.", help=text)(command)


def run_trainer(name: str, options: dict[str, Any]) -> None:
    """Train the model `name` with the options of the command line."""
    stop, startup = StopRequest().install(), StartupTimer()
    tune_process()
    from ..device import default_threads
    from ..training.state import TrainingConfig
    from ..training.train import TrainingJob, train

    recipe = RECIPES[name]
    settings = TrainingConfig(
        weight_decay=recipe.weight_decay,
        cosine=recipe.cosine,
        clip_norm=recipe.clip_norm,
        epochs=options["epochs"] or (TESTING_EPOCHS if options["testing"] else DEFAULT_EPOCHS),
        **{key: options[key] for key in CONFIG_OPTIONS},
    )
    job = TrainingJob(
        name=name,
        threads=options["threads"] or default_threads(),
        **{key: options[key] for key in JOB_OPTIONS},
    )
    train(job, settings, stop, startup)
