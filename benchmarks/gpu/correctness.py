"""One model of `gpu_check.py`, which starts it: does a GPU compute the same as the CPU?

It compares trajectories of captured steps in fp64, with full and partial batches; for the models of the lab
also a resume, ensembles and options of a training; with `--compile` compiled steps instead. It also measures
how far fp32, tf32 and bf16 are from fp64 in the same epochs. Exits with 1 if a difference is too large.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from pmssm.trainers.models.recipes import RECIPES
from pmssm.trainers.precision import choose_precision
from pmssm.trainers.signals import StopRequest
from pmssm.trainers.training.checkpoint import Checkpoints
from pmssm.trainers.training.loop import Trainer
from pmssm.trainers.training.state import TrainingConfig
from pmssm.trainers.training.step import TrainingData
from pmssm.trainers.training.train import build_models

LAB_MODELS = ("mlp", "transformer", "transformer_tabular")
CPU = torch.device("cpu")
TRAIN_ROWS, VAL_ROWS, EPOCHS = 300, 100, 3


def settings_of(name: str) -> TrainingConfig:
    """Return the recipe for three epochs of 4 full batches and a partial one."""
    recipe = RECIPES[name]
    return TrainingConfig(
        learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay, cosine=recipe.cosine,
        clip_norm=recipe.clip_norm, epochs=EPOCHS, batch_size=64, checkpoint_seconds=1e9,
    )  # fmt: skip


def training_of(name: str, settings: TrainingConfig, device: torch.device, dtype: torch.dtype) -> Trainer:
    """Return a training before its first step, the same on every device."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(TRAIN_ROWS + VAL_ROWS, 19, generator=generator, dtype=torch.float64)
    targets = torch.sin(2 * inputs[:, 0]) * inputs[:, 1] + inputs[:, 2]
    parts = (inputs[:TRAIN_ROWS], targets[:TRAIN_ROWS], inputs[TRAIN_ROWS:], targets[TRAIN_ROWS:])
    models = [model.to(device, dtype) for model in build_models(name, settings, CPU)]
    training = Trainer(models, TrainingData(*(part.to(device, dtype) for part in parts)), settings, stop=StopRequest())
    optimizer = training.optimizer
    optimizer.learning_rate = optimizer.learning_rate.float()  # as on a GPU, whose kernel reads float32 only
    return training


def losses(training: Trainer, epochs: int = EPOCHS, *, compiled: bool = False) -> list[float]:
    """Train the next epochs and return their training and validation losses.

    Raises:
        RuntimeError: The passes were to be compiled, and the compiler has failed.
    """
    if compiled:
        training.step.compile()
    with tempfile.TemporaryDirectory(prefix="gpu_check-") as folder:
        rows = [training.epoch(Checkpoints(Path(folder), {})) for _ in range(epochs)]
    if compiled and not training.step.compiled:
        raise RuntimeError("the compiler has failed, so the plain passes were used")
    return [value for row in rows for value in (row.train_mse, row.val_mse)]


def distance(ours: list[float], theirs: list[float]) -> float:
    """Return the largest relative difference."""
    return max(abs(a - b) / abs(b) for a, b in zip(ours, theirs, strict=True))


def resumed(name: str, device: torch.device) -> list[float]:
    """Return the losses of a training with a save and a load after the first epoch."""
    first = training_of(name, settings_of(name), device, torch.float64)
    first_losses = losses(first, 1)
    with tempfile.TemporaryDirectory(prefix="gpu_check-") as folder:
        checkpoints = Checkpoints(Path(folder), {})
        checkpoints.save(first.state())
        state = checkpoints.load()
    assert state is not None
    second = training_of(name, settings_of(name), device, torch.float64)
    losses(second, 1)  # so that the state is loaded after the capture of the graph
    second.load(state)
    return first_losses + losses(second, EPOCHS - 1)


Check = tuple[str, float, Callable[[], float]]
"""What is compared, the limit of the difference, and a function that returns the difference."""


def checks(name: str, device: torch.device) -> Iterator[Check]:
    """Yield the checks of plain steps."""
    settings, double, is_lab = settings_of(name), torch.float64, name in LAB_MODELS
    reference = losses(training_of(name, settings, CPU, double))

    def same(changed: TrainingConfig) -> float:
        theirs = losses(training_of(name, changed, CPU, double))
        return distance(losses(training_of(name, changed, device, double)), theirs)

    def rounded(precision: str) -> float:
        return distance(rounded_losses(name, device, precision), reference)

    yield "fp64", 1e-9, lambda: distance(losses(training_of(name, settings, device, double)), reference)
    if is_lab:
        yield "fp64, resumed", 1e-9, lambda: distance(resumed(name, device), reference)
    if is_lab and RECIPES[name].stackable:
        yield "fp64, ensemble of 2", 1e-9, lambda: same(replace(settings, ensemble=2))
    if name == "mlp":
        yield "fp64, average, log-cosh", 1e-9, lambda: same(replace(settings, ema=0.9, loss="log-cosh"))
        # On a GPU Muon makes its matrices orthogonal in bf16.
        yield "fp64, Muon", 1e-3, lambda: same(replace(settings, optimizer="muon"))
    for precision, limit in (("fp32", 0.02), ("tf32", 0.05), ("bf16", 0.1)):
        if (device.type == "cuda" or precision != "tf32") and (is_lab or precision == "fp32"):
            yield precision, limit, partial(rounded, precision)


def compiled_checks(name: str, device: torch.device) -> Iterator[Check]:
    """Yield the checks of steps whose passes are compiled."""
    settings = settings_of(name)
    reference = losses(training_of(name, settings, CPU, torch.float64))

    def in_fp64() -> float:
        return distance(losses(training_of(name, settings, device, torch.float64), compiled=True), reference)

    yield "fp64, compiled", 1e-9, in_fp64
    yield "bf16, compiled", 0.1, lambda: distance(rounded_losses(name, device, "bf16", compiled=True), reference)


def rounded_losses(name: str, device: torch.device, precision: str, *, compiled: bool = False) -> list[float]:
    """Return the losses of a training in fp32, tf32 or bf16."""
    settings = replace(settings_of(name), precision=choose_precision(precision, device))
    try:
        return losses(training_of(name, settings, device, torch.float32), compiled=compiled)
    finally:
        torch.set_float32_matmul_precision("highest")


def row_of(name: str, what: str, limit: float, difference: Callable[[], float]) -> tuple[str, bool]:
    """Return the row of the table, and whether it is good; an error is a result, too."""
    try:
        found = difference()
    except Exception as error:  # the next check is to be tried in any case
        traceback.print_exc()
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return f"| {name} | {what} | {reason} | {limit:.0e} | FAILED |", False
    is_good = found <= limit
    return f"| {name} | {what} | {found:.1e} | {limit:.0e} | {'ok' if is_good else 'WRONG'} |", is_good


def main() -> None:
    """Check one model and print its rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=RECIPES)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--compile", action="store_true", help="compiled steps instead; a minute")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    is_good = True
    chosen = compiled_checks if options.compile else checks
    for what, limit, difference in chosen(options.model, torch.device(options.device)):
        row, is_row_good = row_of(options.model, what, limit, difference)
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()
        is_good &= is_row_good
    sys.exit(not is_good)


if __name__ == "__main__":
    main()
