"""What a trainer command does around the loop: data in, resume, results out."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..data.prepared import PreparedData, load_prepared
from ..data.targets import Target
from ..device import choose_device, device_name
from ..errors import CheckpointError, OptionError, TrainingError
from ..files import write_atomic
from ..inference.model_file import to_saved
from ..log import LOGGER
from ..models.recipes import RECIPES
from ..precision import Precision, choose_precision
from ..signals import StopRequest
from .checkpoint import Checkpoints
from .evaluation import PhysicalMse, Scores, evaluate
from .loop import Trainer, TrainingConfig
from .metrics import MetricsWriter
from .startup_timer import StartupTimer
from .step import TrainingData

TESTING_ROWS = 1_024
"""Rows that `--testing` trains on at most, and validates on at most."""

RESULTS = ("result.json", "model.pt", "loss_curve.png", "true_vs_predicted.png")


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """Which model, on what, into which folder."""

    name: str
    data: Path
    output: Path
    device: str = "auto"
    threads: int
    precision: str = "auto"
    compile: bool | None = None
    """None: where it pays."""
    fresh: bool = False
    testing: bool = False
    tensorboard: bool = False


def train(job: TrainingJob, settings: TrainingConfig, stop: StopRequest, startup: StartupTimer) -> None:
    """Nothing; `job.output` then holds the trained model and its results.

    Raises TrainerError with one line for what the user can mend, Stopped after a signal.
    """
    startup.end("imports")
    # Moments of weights that no gradient reaches any more fade into denormal numbers, which CPUs are slow at.
    torch.set_flush_denormal(True)  # for the threads that are yet to come, too
    torch.set_num_threads(job.threads)
    device = choose_device(job.device)
    settings = replace(settings, precision=precision_of(job, device))
    prepared = load_prepared(job.data)
    job.output.mkdir(parents=True, exist_ok=True)
    with exclusive_output(job.output), one_line_memory_errors():
        for leftover in job.output.glob(".*.tmp"):  # of an attempt that was killed while it wrote
            leftover.unlink()
        startup.end("device")
        data = to_device(prepared, device, rows=TESTING_ROWS if job.testing else None)
        startup.end("data")
        training = Trainer(
            build_models(job.name, settings, device),
            data,
            settings,
            stop=stop,
            physical=PhysicalMse.of(prepared.scaling, prepared.target),
        )
        if is_compile_worthwhile(job, settings, data):
            training.step.compile()
        training.on_first_step = lambda: log_start(startup)
        checkpoints = Checkpoints(job.output, identity(job, settings, prepared, data))
        metrics = MetricsWriter(job.output, tensorboard=job.tensorboard)
        load_job(job, training, checkpoints, metrics)
        startup.end("model")
        if not training.finished():
            training.run(checkpoints, metrics)
        training.use_best()
        finish(job, training, prepared, metrics)


BF16_AGREES = ("mlp", "transformer", "transformer_tabular")
"""Models whose trainings end as well in bf16 as in fp32, by benchmarks/results/validation_losses.md."""


def precision_of(job: TrainingJob, device: torch.device) -> Precision:
    """That of the whole training; fp32 where the model has no part that may compute with less. Raises OptionError."""
    precision = choose_precision(job.precision, device)
    if precision is Precision.BF16 and job.precision == "auto" and job.name not in BF16_AGREES:
        return Precision.FP32
    if precision is Precision.BF16 and not hasattr(RECIPES[job.name].build, "body"):
        LOGGER.warning("%s computes in fp32 alone: --precision bf16 has no effect", job.name)
        return Precision.FP32
    return precision


COMPILED_STEPS = 50_000
"""From so many on, compiling pays: it takes minutes and saves, by estimate, 0.2 ms a step or more."""


def is_compile_worthwhile(job: TrainingJob, settings: TrainingConfig, data: TrainingData) -> bool:
    """Whether to compile: on a GPU as `--compile` says, or for long trainings; not on a CPU, nor for `--testing`."""
    if data.train_inputs.device.type == "cpu" or job.testing:
        return False
    steps = settings.epochs * len(data.train_inputs) / settings.batch_size
    return steps >= COMPILED_STEPS if job.compile is None else job.compile


def log_start(startup: StartupTimer) -> None:
    """Nothing; the log tells what the start has cost."""
    startup.end("first step")
    LOGGER.info("First step after %s", startup)


def build_models(name: str, settings: TrainingConfig, device: torch.device) -> list[nn.Module]:
    """The models that `settings` asks for, each initialised with a seed of its own.

    Raises OptionError where they can't be trained as one.
    """
    if settings.ensemble > 1 and not RECIPES[name].stackable:
        raise OptionError(f"--ensemble {settings.ensemble}: {name} is an ensemble by itself; leave the option out")
    models = []
    for seed in range(settings.seed, settings.seed + settings.ensemble):
        torch.manual_seed(seed)
        models.append(RECIPES[name].build().to(device))
    return models


@contextmanager
def exclusive_output(folder: Path) -> Iterator[None]:
    """A block that no other trainer enters with the same folder. Raises OptionError where one is in it."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OptionError(f"--output {folder}: another trainer is at work here; wait or stop it") from None
        yield


@contextmanager
def one_line_memory_errors() -> Iterator[None]:
    """A block in which running out of GPU memory, where no smaller batch can help, raises TrainingError."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        reason = str(error).partition("\n")[0]
        raise TrainingError(f"model and data don't fit: {reason[:200]}; free the GPU or take another one") from error


def to_device(prepared: PreparedData, device: torch.device, *, rows: int | None) -> TrainingData:
    """The first `rows` (all: None) of the training and of the validation arrays, copied to the device."""
    return TrainingData(*(torch.from_numpy(np.array(array[:rows])).to(device) for array in prepared[:4]))


def identity(job: TrainingJob, settings: TrainingConfig, prepared: PreparedData, data: TrainingData) -> dict[str, Any]:
    """What a checkpoint must agree in with this start."""
    return {
        "checkpoint format": 3,
        "model": job.name,
        "data": prepared.meta["content"],
        "number of rows": len(data.train_inputs),
        **settings.identity(),
    }


def load_job(job: TrainingJob, training: Trainer, checkpoints: Checkpoints, metrics: MetricsWriter) -> None:
    """Nothing; the training stands where the last attempt left it, or at its start, and the log says where.

    Raises CheckpointError where the folder holds another training.
    """
    epochs = training.settings.epochs
    if job.fresh:
        checkpoints.remove()
    state = checkpoints.load()
    if state is not None:
        training.load(state)
    progress = training.progress
    if progress.epoch > epochs:
        raise CheckpointError(f"{checkpoints.path}: has {progress.epoch} epochs behind it, --epochs {epochs} asks for "
                              "fewer; ask for as many, or start over with --fresh")  # fmt: skip
    metrics.rewrite(progress.rows)
    if training.finished():
        LOGGER.info("Already trained: %d of %d epochs, writing the results again", progress.epoch, epochs)
        return
    for name in RESULTS:  # of an earlier training; they would pass for this one's
        (job.output / name).unlink(missing_ok=True)
    parameters = sum(parameter.numel() for parameter in training.models[0].parameters())
    data, device = training.data, training.data.train_inputs.device
    LOGGER.info("%s: %s parameters on %s, %s, %d threads", title(training), f"{parameters:,}", device_name(device),
                training.settings.precision, torch.get_num_threads())  # fmt: skip
    LOGGER.info("%s rows to train, %s to validate, batch size %d", f"{len(data.train_inputs):,}",
                f"{len(data.val_inputs):,}", progress.batch_size)  # fmt: skip
    LOGGER.info("Training for %d epochs", epochs)
    if state is not None:
        LOGGER.info("Resumed at epoch %04d", progress.epoch + 1)


def finish(job: TrainingJob, training: Trainer, prepared: PreparedData, metrics: MetricsWriter) -> None:
    """Nothing; the results of the best weights are written, `result.json` last."""
    from .plots import loss_curve, true_vs_predicted  # noqa: PLC0415 (500 ms, needed at the end only)

    progress, models, output = training.progress, training.models, job.output
    if progress.epoch < training.settings.epochs:
        LOGGER.info("Early stopping: no better validation MSE for %d epochs", progress.epoch - progress.best_epoch)
    for model in models:
        model.eval()
    scores = evaluate(models, training.data, prepared.scaling, prepared.target)
    settings = {**asdict(training.settings), "precision": str(training.settings.precision)}
    saved = to_saved(job.name, models, prepared, settings)
    write_atomic(output / "model.pt", lambda file: torch.save(saved, file))
    metrics.rewrite(progress.rows)
    loss_curve(output / "loss_curve.png", title(training), progress.rows, progress.best_epoch, prepared.target)
    true_vs_predicted(output / "true_vs_predicted.png", title(training), scores, prepared.target)
    summary = json.dumps(result(training, scores, prepared.target), indent=1) + "\n"
    write_atomic(output / "result.json", lambda file: file.write(summary.encode()))
    LOGGER.info("Best epoch %04d | Val MSE = %.6f (normalised), %.6e (%s) | R² = %s", progress.best_epoch,
                scores.mse_normalised, scores.mse, prepared.target.label,
                "n/a" if scores.r2 is None else f"{scores.r2:.4f}")  # fmt: skip
    LOGGER.info("Results in %s", output)


def title(training: Trainer) -> str:
    """What a person calls what is trained."""
    count = len(training.models)
    return type(training.models[0]).__name__ + (f" × {count}" if count > 1 else "")


def result(training: Trainer, scores: Scores, target: Target) -> dict[str, Any]:
    """One flat object about the finished training; errors are those of the best weights on the validation part."""
    progress, model = training.progress, training.models[0]
    members = {"ensemble": len(training.models), "val_mse_normalised_std": scores.mse_normalised_std}
    return {
        "model": type(model).__name__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "target": target.name,
        "y_transform": target.transform,
        "val_mse_normalised": scores.mse_normalised,
        **(members if len(training.models) > 1 else {}),
        "r2_normalised": scores.r2_normalised,
        "val_mse": scores.mse,
        "val_mae": scores.mae,
        "median_relative_error": scores.median_relative_error,
        "r2": scores.r2,
        "wall_time_s": round(progress.seconds, 3),
        "peak_memory_mib": round(progress.peak_memory_mib, 1),
        "device": device_name(training.data.train_inputs.device),
        "precision": str(training.settings.precision),
    }
