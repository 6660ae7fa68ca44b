"""One training job: load the data, resume, train, write the results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..data.prepared import PreparedData, load_prepared
from ..device import choose_device, device_name, one_memory_error
from ..errors import CheckpointError, OptionError, TrainingError
from ..log import LOGGER
from ..models.recipes import RECIPES
from ..precision import Precision, choose_precision
from ..signals import StopRequest
from .checkpoint import Checkpoints
from .evaluation import PhysicalMse
from .loop import Trainer
from .metrics import MetricsWriter
from .output_lock import exclusive_output
from .results import RESULTS, model_title, write_results
from .startup_timer import StartupTimer
from .state import TrainingConfig
from .step import TrainingData
from .warm_start import load_initial_weights, weights_identity

TESTING_ROWS = 1_024
"""Largest number of training rows, and of validation rows, with `--testing`."""


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """One training job: which model, which data, which output folder.

    Attributes:
        name: Name of the model, a key of RECIPES.
        data: Folder that `prepare` wrote.
        output: Folder for checkpoint, model, metrics and plots.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads.
        precision: `auto`, `fp32`, `tf32` or `bf16`.
        compile: Fuse kernels on a GPU; None: only in long trainings.
        fresh: Delete the checkpoints first.
        testing: Use a few rows only.
        tensorboard: Also write event files.
        init_from: model.pt whose weights are the first ones; None: random weights.
    """

    name: str
    data: Path
    output: Path
    device: str = "auto"
    threads: int
    precision: str = "auto"
    compile: bool | None = None
    fresh: bool = False
    testing: bool = False
    tensorboard: bool = False
    init_from: Path | None = None


def train(job: TrainingJob, settings: TrainingConfig, stop: StopRequest, startup: StartupTimer) -> None:
    """Train the model of `job` and write its results to `job.output`.

    Args:
        job: What to train, and where.
        settings: How to train; the precision is set here.
        stop: Receives signals.
        startup: Measures the phases before the first step.

    Raises:
        TrainerError: An error that the user can fix.
        Stopped: A signal arrived; a checkpoint was written first.
    """
    startup.record("imports")
    # Moments of weights without gradient decay to denormal numbers, which are slow on CPUs. Later threads inherit this.
    torch.set_flush_denormal(True)
    torch.set_num_threads(job.threads)
    device = choose_device(job.device)
    settings = replace(settings, precision=resolve_precision(job, device))
    prepared = load_prepared(job.data)
    job.output.mkdir(parents=True, exist_ok=True)
    with exclusive_output(job.output), one_line_memory_errors():
        for leftover in job.output.glob(".*.tmp"):  # of an attempt that was killed while writing
            leftover.unlink()
        startup.record("device")
        data = to_device(prepared, device, rows=TESTING_ROWS if job.testing else None)
        startup.record("data")
        models = build_models(job.name, settings, device, prepared.train_inputs.shape[1])
        if job.init_from is not None:
            load_initial_weights(models, job.name, job.init_from)
        training = Trainer(
            models,
            data,
            settings,
            stop=stop,
            physical=PhysicalMse.of(prepared.scaling, prepared.target, data.val_reference),
        )
        if is_compile_worthwhile(job, settings, data):
            training.step.compile()
        training.on_first_step = lambda: log_startup(startup)
        checkpoints = Checkpoints(job.output, identity(job, settings, prepared, data))
        metrics = MetricsWriter(job.output, tensorboard=job.tensorboard)
        resume(job, training, checkpoints, metrics)
        startup.record("model")
        if not training.finished():
            training.run(checkpoints, metrics)
        training.use_best()
        write_results(job.output, job.name, training, prepared, metrics)


def resolve_precision(job: TrainingJob, device: torch.device) -> Precision:
    """Return the precision of the training.

    It is fp32 if the model has no part that can use less.

    Raises:
        OptionError: The device does not support the precision.
    """
    precision, recipe = choose_precision(job.precision, device), RECIPES[job.name]
    if precision is Precision.BF16 and job.precision == "auto" and not recipe.bf16:
        return Precision.FP32
    if precision is Precision.BF16 and not hasattr(recipe.model_class(), "body"):
        LOGGER.warning("%s computes in fp32 alone: --precision bf16 has no effect", job.name)
        return Precision.FP32
    return precision


MIN_STEPS_TO_COMPILE = 50_000
"""Compiling takes minutes and saves, by estimate, at least 0.2 ms per step."""


def is_compile_worthwhile(job: TrainingJob, settings: TrainingConfig, data: TrainingData) -> bool:
    """Return whether to compile the step.

    Never on a CPU or with `--testing`; on a GPU if `--compile` asks for it, by default for long trainings.
    """
    if data.train_inputs.device.type == "cpu" or job.testing:
        return False
    steps = settings.epochs * len(data.train_inputs) / settings.batch_size
    return steps >= MIN_STEPS_TO_COMPILE if job.compile is None else job.compile


def log_startup(startup: StartupTimer) -> None:
    """Log the duration of the start."""
    startup.record("first step")
    LOGGER.info("First step after %s", startup)


def build_models(name: str, settings: TrainingConfig, device: torch.device, features: int = 19) -> list[nn.Module]:
    """Build the models for `features` inputs, each initialised with its own seed.

    Raises:
        OptionError: Several models of this kind cannot be trained together.
    """
    if settings.ensemble > 1 and not RECIPES[name].stackable:
        raise OptionError(f"--ensemble {settings.ensemble}: {name} is already an ensemble; remove the option")
    models = []
    for seed in range(settings.seed, settings.seed + settings.ensemble):
        torch.manual_seed(seed)
        models.append(RECIPES[name].build(features).to(device))
    return models


@contextmanager
def one_line_memory_errors() -> Iterator[None]:
    """Convert an out-of-memory error of the GPU into a TrainingError of one line.

    The training itself handles errors that a smaller batch can avoid.
    """
    try:
        with one_memory_error():
            yield
    except torch.OutOfMemoryError as error:
        reason = str(error).partition("\n")[0]
        raise TrainingError(
            f"model and data do not fit into GPU memory: {reason[:200]}; free memory or use another GPU"
        ) from error


def to_device(prepared: PreparedData, device: torch.device, *, rows: int | None) -> TrainingData:
    """Copy the first `rows` training and validation rows (None: all) to the device."""
    references = [] if prepared.val_reference is None else [prepared.val_reference]
    arrays: list[NDArray[Any]] = [*prepared[:4], *references]
    return TrainingData(*(torch.from_numpy(np.array(array[:rows])).to(device) for array in arrays))


def identity(job: TrainingJob, settings: TrainingConfig, prepared: PreparedData, data: TrainingData) -> dict[str, Any]:
    """Return the settings and data that a checkpoint must match."""
    return {
        "checkpoint format": 3,
        "model": job.name,
        "data": prepared.meta["content"],
        "number of rows": len(data.train_inputs),
        **settings.identity(),
        **weights_identity(job.init_from),
    }


def _load(training: Trainer, state: dict[str, Any], checkpoints: Checkpoints) -> None:
    try:
        training.load(state)
    except (ValueError, TypeError) as error:
        message = (
            f"{checkpoints.path}: its content is not a checkpoint of this training ({error}); start over with --fresh"
        )
        raise CheckpointError(message) from None


def resume(job: TrainingJob, training: Trainer, checkpoints: Checkpoints, metrics: MetricsWriter) -> None:
    """Load the last checkpoint, if any, and log where the training starts.

    Raises:
        CheckpointError: The folder holds a checkpoint of another training.
    """
    epochs = training.settings.epochs
    if job.fresh:
        checkpoints.remove()
    state = checkpoints.load()
    if state is not None:
        _load(training, state, checkpoints)
    progress = training.progress
    if progress.epoch > epochs:
        raise CheckpointError(f"{checkpoints.path}: already has {progress.epoch} epochs, more than --epochs {epochs}; "
                              "use a larger number, or start over with --fresh")  # fmt: skip
    metrics.rewrite(progress.rows)
    if training.finished():
        LOGGER.info("Already trained: %d of %d epochs, writing the results again", progress.epoch, epochs)
        return
    for name in RESULTS:  # of an earlier training
        (job.output / name).unlink(missing_ok=True)
    parameters = sum(parameter.numel() for parameter in training.models[0].parameters())
    data, device = training.data, training.data.train_inputs.device
    LOGGER.info("%s: %s parameters on %s, %s, %d threads", model_title(training), f"{parameters:,}",
                device_name(device), training.settings.precision, torch.get_num_threads())  # fmt: skip
    LOGGER.info("%s rows to train, %s to validate, batch size %d", f"{len(data.train_inputs):,}",
                f"{len(data.val_inputs):,}", progress.batch_size)  # fmt: skip
    LOGGER.info("Training for %d epochs", epochs)
    if state is not None:
        LOGGER.info("Resumed at epoch %04d", progress.epoch + 1)
