"""The options of a new session, each declared once: name, type, help, heading, and who receives it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import click

from .command import CommandError
from .option_fields import command_arguments, option_field

PREPARE_OPTIONS = "prepare_options"  # placeholders of a plan
TRAINING_OPTIONS = "training_options"
PREPARE, TRAINING, BOTH = (PREPARE_OPTIONS,), (TRAINING_OPTIONS,), (PREPARE_OPTIONS, TRAINING_OPTIONS)

# Headings of --help.
FOREGROUND_GROUP = "Terminal"
SESSION_GROUP = "Session"
PLAN_GROUP = "Plan and GPUs"
SLURM_GROUP = "Slurm"
DATA_GROUP = "Data"
TRAINING_GROUP = "Training"
DISPLAY_GROUP = "Dashboard"

MAX_CPU_SLOTS = 1024
MAX_MAX_JOBS = 100_000

_POSITIVE = click.IntRange(min=1)


def absolute_pattern(pattern: str) -> str:
    """Return a path or glob as seen from any folder."""
    return str(Path.cwd() / os.path.expanduser(pattern))  # noqa: PTH111 (leaves ~nobody alone, where pathlib raises)


def _reject_nan(_context: click.Context, _option: click.Parameter, value: float | None) -> float | None:
    if value is not None and math.isnan(value):
        raise click.BadParameter("is not a number")
    return value


@dataclass(frozen=True)
class ForegroundOptions:
    """Where the engine of a new session runs, and what the terminal shows meanwhile."""

    headless: bool = option_field(
        "--headless", group=FOREGROUND_GROUP, default=False, is_flag=True,
        help="Stay in the foreground, without the dashboard, until all runs have ended.",
    )  # fmt: skip
    as_json: bool = option_field(
        "--json", group=FOREGROUND_GROUP, default=False, is_flag=True,
        help="With --headless: print events and progress as JSON lines.",
    )  # fmt: skip
    resume: bool = option_field(
        "--continue", group=FOREGROUND_GROUP, default=False, is_flag=True,
        help="With --headless: continue the newest session, if there is one; start the runs that did not succeed.",
    )  # fmt: skip
    detach: bool = option_field(
        "--detach", group=FOREGROUND_GROUP, default=False, is_flag=True,
        help="Start in the background and return; `attach` shows the dashboard.",
    )  # fmt: skip


@dataclass(frozen=True)
class DisplayOptions:
    """Appearance of the dashboard."""

    ascii_only: bool = option_field(
        "--ascii", group=DISPLAY_GROUP, default=False, is_flag=True, help="Use only ASCII characters on the screen."
    )
    theme: str | None = option_field(
        "--theme", group=DISPLAY_GROUP, type=click.Choice(["dark", "light", "high-contrast"]), help="Colours."
    )


@dataclass(frozen=True)
class SessionOptions:
    """All that a new session is made from; None or empty where nothing was given.

    A field whose name is one of `SessionSettings` is kept there for the engine. A field with placeholders is passed to
    the commands of the plan, which keep their own defaults.
    """

    plan_file: Path | None = option_field(
        "--plan", group=PLAN_GROUP, type=click.Path(path_type=Path),
        help="TOML file that says what to run. [default: the built-in pMSSM plan]",
    )  # fmt: skip
    gpus: str | None = option_field(
        "--gpus", group=PLAN_GROUP, metavar="LIST",
        help="GPUs to use: indices, UUIDs or MIG UUIDs, for example 1,2; or none.",
    )  # fmt: skip
    no_parallel: bool = option_field(
        "--no-parallel", group=PLAN_GROUP, default=False, is_flag=True,
        help="Start one run at a time, even with several GPUs.",
    )  # fmt: skip
    share_gpu: bool = option_field(
        "--share-gpu", group=PLAN_GROUP, default=False, is_flag=True,
        help="Start several runs on one GPU, as long as their expected memory fits.",
    )  # fmt: skip
    cpu_slots: int | None = option_field(
        "--cpu-slots", group=PLAN_GROUP, metavar="N", type=click.IntRange(1, MAX_CPU_SLOTS),
        help="Use no GPU; start up to N runs at a time on the CPU.",
    )  # fmt: skip

    launcher: str | None = option_field(
        "--launcher", group=SLURM_GROUP, type=click.Choice(["local", "slurm"]),
        help="Start the runs on this machine, or as jobs of Slurm. [default: as in the plan, else local]",
    )  # fmt: skip
    slurm: tuple[str, ...] = option_field(
        "--slurm", group=SLURM_GROUP, default=(), multiple=True, metavar="KEY=VALUE",
        help="Setting of all jobs, such as partition=gpu or time=24:00:00; may be repeated. Keys: partition, account, "
             "qos, time, gres, cpus, mem, constraint, extra, setup, signal_s, bundle.",
    )  # fmt: skip
    slurm_profile: str | None = option_field(
        "--slurm-profile", group=SLURM_GROUP, metavar="NAME",
        help="Take settings from [NAME] of ~/.config/pmssm-supervise/slurm.toml.",
    )  # fmt: skip
    max_jobs: int = option_field(
        "--max-jobs", group=SLURM_GROUP, default=64, metavar="N", type=click.IntRange(1, MAX_MAX_JOBS),
        help="Submit at most N jobs at one time. [default: 64]",
    )  # fmt: skip
    native_dependencies: bool = option_field(
        "--native-dependencies", group=SLURM_GROUP, default=False, is_flag=True,
        help="Submit a run as soon as the jobs that it waits for are submitted; Slurm starts it after them.",
    )  # fmt: skip
    no_probe: bool = option_field(
        "--no-probe", group=SLURM_GROUP, default=False, is_flag=True,
        help="Do not submit the short job that tests whether the nodes see the logs folder.",
    )  # fmt: skip

    on_finish: str | None = option_field(
        "--on-finish", group=SESSION_GROUP, metavar="CMD",
        help="Shell command to call when a run has failed, and when the session has finished.",
    )  # fmt: skip
    stall_restarts: int = option_field(
        "--stall-restart", group=SESSION_GROUP, default=0, metavar="N", type=click.IntRange(min=0),
        help="Restart a stalled run, up to N times.",
    )  # fmt: skip

    data: tuple[str, ...] = option_field(
        "--data", group=DATA_GROUP, default=(), placeholders=PREPARE, argument=absolute_pattern, multiple=True,
        metavar="PATTERN",
        help="ROOT, CSV, Parquet or NumPy file, folder or quoted glob; may be repeated. [default: the embedded sample]",
    )  # fmt: skip
    target: str | None = option_field(
        "--target", group=DATA_GROUP, placeholders=PREPARE, metavar="NAME",
        help="Quantity to learn: relic_density, expected_r, cross_section, cls, or any branch. "
             "[default: relic_density]",
    )  # fmt: skip
    target_above: float | None = option_field(
        "--target-above", group=DATA_GROUP, placeholders=PREPARE, type=float, metavar="Y",
        help="Keep points with target > Y. [default: the limit of the target]",
    )  # fmt: skip
    target_below: float | None = option_field(
        "--target-below", group=DATA_GROUP, placeholders=PREPARE, type=float, metavar="Y",
        help="Keep points with target < Y. [default: the limit of the target]",
    )  # fmt: skip
    y_transform: str | None = option_field(
        "--y-transform", group=DATA_GROUP, placeholders=PREPARE, type=click.Choice(["none", "log", "ratio"]),
        help="log: learn ln(y / y_ref). ratio: learn ln(y / semi-analytic y), for relic_density. Results stay in "
             "physical units. [default: none]",
    )  # fmt: skip
    features: str | None = option_field(
        "--features", group=DATA_GROUP, placeholders=PREPARE, type=click.Choice(["none", "physics"]),
        help="physics: add masses, mixings, mass gaps and semi-analytic relic density to the 19 inputs. "
             "[default: none]",
    )  # fmt: skip
    neutralino_lsp: bool = option_field(
        "--neutralino-lsp", group=DATA_GROUP, default=False, placeholders=PREPARE, is_flag=True,
        help="Keep points whose lightest sparticle is a neutralino.",
    )  # fmt: skip
    require: tuple[str, ...] = option_field(
        "--require", group=DATA_GROUP, default=(), placeholders=PREPARE, multiple=True, metavar="CONDITION",
        help="Keep points that satisfy a condition on any branch, for example 'SP_m_h > 0'; may be repeated.",
    )  # fmt: skip
    tree: str | None = option_field(
        "--tree", group=DATA_GROUP, placeholders=PREPARE, metavar="NAME", help="Tree of ROOT files. [default: susy]"
    )
    branches: tuple[str, ...] = option_field(
        "--branches", group=DATA_GROUP, default=(), placeholders=PREPARE, multiple=True, metavar="PATTERN|NAME=BRANCH",
        help="Names of the branches, for example 'IN_*' or At=my_At; may be repeated. [default: IN_*, *]",
    )  # fmt: skip
    n_datasets: int | None = option_field(
        "--n-datasets", group=DATA_GROUP, placeholders=PREPARE, type=_POSITIVE, help="Read at most this many files."
    )
    n_samples: int | None = option_field(
        "--n-samples", group=DATA_GROUP, placeholders=PREPARE, type=_POSITIVE,
        help="Read at most this many points of each file.",
    )  # fmt: skip
    calibration: float | None = option_field(
        "--calibration", group=DATA_GROUP, placeholders=PREPARE, type=click.FloatRange(0, 0.5), metavar="SHARE",
        callback=_reject_nan,
        help="Share of the points that is kept apart to calibrate intervals, such as 0.1. [default: 0]",
    )  # fmt: skip

    epochs: int | None = option_field(
        "--epochs", group=TRAINING_GROUP, placeholders=TRAINING, type=_POSITIVE,
        help="Epochs of each training. [default: 2000]",
    )  # fmt: skip
    batch_size: int | None = option_field(
        "--batch-size", group=TRAINING_GROUP, placeholders=TRAINING, type=_POSITIVE,
        help="Points per step. [default: 256]",
    )  # fmt: skip
    learning_rate: float | None = option_field(
        "--learning-rate", group=TRAINING_GROUP, placeholders=TRAINING,
        type=click.FloatRange(0, 1e6, min_open=True), callback=_reject_nan,
        help="Learning rate of the optimizer. [default: that of each model]",
    )  # fmt: skip
    early_stopping: bool = option_field(
        "--early-stopping", group=TRAINING_GROUP, default=False, placeholders=TRAINING, is_flag=True,
        help="End a training that no longer improves.",
    )  # fmt: skip
    patience: int | None = option_field(
        "--patience", group=TRAINING_GROUP, placeholders=TRAINING, type=_POSITIVE,
        help="Epochs without improvement before early stopping. [default: 500]",
    )  # fmt: skip
    seed: int | None = option_field(
        "--seed", group=TRAINING_GROUP, placeholders=BOTH, type=click.IntRange(0, 2**63 - 1),
        help="Seed of split, weights and shuffling. [default: 42]",
    )  # fmt: skip
    loss: str | None = option_field(
        "--loss", group=TRAINING_GROUP, placeholders=TRAINING, type=click.Choice(["mse", "huber", "l1", "log-cosh"]),
        help="Function of the errors that the training minimises. [default: mse]",
    )  # fmt: skip
    ensemble: int | None = option_field(
        "--ensemble", group=TRAINING_GROUP, placeholders=TRAINING, metavar="K", type=_POSITIVE,
        help="Train K copies of each model together, with different seeds. [default: 1]",
    )  # fmt: skip
    precision: str | None = option_field(
        "--precision", group=TRAINING_GROUP, placeholders=TRAINING,
        type=click.Choice(["auto", "fp32", "tf32", "bf16"]),
        help="Number format of the training. [default: auto: tf32 on GPUs and bf16 on CPUs that have it, else fp32]",
    )  # fmt: skip
    threads: int | None = option_field(
        "--threads", group=TRAINING_GROUP, placeholders=TRAINING, type=_POSITIVE,
        help="CPU threads of each run. [default: number of cores / number of slots]",
    )  # fmt: skip
    testing: bool = option_field(
        "--testing", group=TRAINING_GROUP, default=False, placeholders=BOTH, is_flag=True,
        help="Smoke test: few points and epochs; under two minutes.",
    )  # fmt: skip
    tensorboard: bool = option_field(
        "--tensorboard", group=TRAINING_GROUP, default=False, placeholders=TRAINING, is_flag=True,
        help="Also write event files for TensorBoard.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Reject options that exclude each other.

        Raises:
            CommandError: The line that names them.
        """
        if self.no_parallel and self.share_gpu:
            raise CommandError("--no-parallel is one run at a time and --share-gpu several; give one of them")
        if self.cpu_slots is not None:
            uses_gpus = self.gpus is not None and self.gpus.strip().lower() != "none"
            others = {"--gpus": uses_gpus, "--share-gpu": self.share_gpu, "--no-parallel": self.no_parallel}
            for name in (name for name, is_given in others.items() if is_given):
                raise CommandError(
                    f"--cpu-slots runs several at a time, without a GPU; leave out {name}, or --cpu-slots"
                )

    @property
    def parallel(self) -> bool:
        """Whether runs may run at the same time."""
        return not self.no_parallel

    def placeholders(self) -> dict[str, list[str]]:
        """Return the arguments for the commands of a plan, by placeholder."""
        return {name: command_arguments(self, name) for name in BOTH}
