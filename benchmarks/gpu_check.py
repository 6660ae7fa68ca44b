"""Check that a GPU computes the same as the CPU: `python benchmarks/gpu_check.py`.

It exits with 1 if the results differ. It compares trajectories of captured steps in fp64, with full and
partial batches; the same compiled, and as an ensemble; and a resume. It also measures how far fp32, tf32
and bf16 are from fp64 in the same epochs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
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

CPU = torch.device("cpu")
ROWS, EPOCHS = 1000, 3


def settings_of(name: str) -> TrainingConfig:
    """Return the recipe for three epochs of 15 full batches and a partial one."""
    recipe = RECIPES[name]
    return TrainingConfig(
        learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay, cosine=recipe.cosine,
        clip_norm=recipe.clip_norm, epochs=EPOCHS, batch_size=64, checkpoint_seconds=1e9,
    )  # fmt: skip


def training_of(name: str, settings: TrainingConfig, device: torch.device, dtype: torch.dtype) -> Trainer:
    """Return a training before its first step, the same on every device."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(ROWS + 200, 19, generator=generator, dtype=torch.float64)
    targets = torch.sin(2 * inputs[:, 0]) * inputs[:, 1] + inputs[:, 2]
    parts = (inputs[:ROWS], targets[:ROWS], inputs[ROWS:], targets[ROWS:])
    models = [model.to(device, dtype) for model in build_models(name, settings, CPU)]
    training = Trainer(models, TrainingData(*(part.to(device, dtype) for part in parts)), settings, stop=StopRequest())
    training.optimizer.learning_rate = (
        training.optimizer.learning_rate.float()
    )  # as on a GPU, whose kernel reads float32 only
    return training


def losses(training: Trainer, epochs: int = EPOCHS) -> list[float]:
    """Train the next epochs and return their training and validation losses."""
    with tempfile.TemporaryDirectory(prefix="gpu_check-") as folder:
        rows = [training.epoch(Checkpoints(Path(folder), {})) for _ in range(epochs)]
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


def check(name: str, device: torch.device, *, compiled: bool) -> list[tuple[str, float, float]]:
    """Return what was compared, the difference, and its limit."""
    settings, double = settings_of(name), torch.float64
    reference = losses(training_of(name, settings, CPU, double))
    ensemble = replace(settings, ensemble=3)
    results = [
        ("fp64", distance(losses(training_of(name, settings, device, double)), reference), 1e-9),
        ("fp64, resumed", distance(resumed(name, device), reference), 1e-9),
        (
            "fp64, ensemble of 3",
            distance(
                losses(training_of(name, ensemble, device, double)), losses(training_of(name, ensemble, CPU, double))
            ),
            1e-9,
        ),
    ]
    if compiled:
        training = training_of(name, settings, device, double)
        training.step.compile()
        results.append(("fp64, compiled", distance(losses(training), reference), 1e-9))
    for precision, limit in (("fp32", 0.02), ("tf32", 0.05), ("bf16", 0.1)):
        if device.type == "cuda" or precision != "tf32":
            changed = replace(settings, precision=choose_precision(precision, device))
            results.append(
                (precision, distance(losses(training_of(name, changed, device, torch.float32)), reference), limit)
            )
    torch.set_float32_matmul_precision("highest")
    return results


def main() -> None:
    """Check and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", nargs="+", default=["mlp", "transformer", "transformer_tabular"])
    parser.add_argument("--compile", action="store_true", help="also compiled steps; a minute per model")
    options = parser.parse_args()
    is_good = True
    print("| model | what | largest relative difference | limit | |\n| --- | --- | --- | --- | --- |")
    for name in options.models:
        for what, found, limit in check(name, torch.device(options.device), compiled=options.compile):
            is_good &= found <= limit
            print(
                f"| {name} | {what} | {found:.1e} | {limit:.0e} | {'ok' if found <= limit else 'WRONG'} |", flush=True
            )
    sys.exit(not is_good)


if __name__ == "__main__":
    main()
