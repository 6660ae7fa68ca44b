"""Validation losses of the lab's loop and of ours: `python benchmarks/quality.py`.

Both train on the embedded sample, with the same recipe, rows and seeds. The loss is that of the best epoch,
whose model is kept. Two losses are equal if they agree within the spread over the seeds.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from baseline import MODELS, Baseline
from pmssm.trainers.data.prepared import load_prepared
from pmssm.trainers.models.recipes import RECIPES
from pmssm.trainers.precision import choose_precision
from pmssm.trainers.signals import StopRequest
from pmssm.trainers.training.checkpoint import Checkpoints
from pmssm.trainers.training.loop import Trainer
from pmssm.trainers.training.state import TrainingConfig
from pmssm.trainers.training.step import TrainingData

SIDES = ["lab", "fp32", "tf32", "bf16"]


def main() -> None:
    """Train and print the table."""
    torch.set_flush_denormal(True)  # for both sides, so that denormal numbers slow down neither
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--n-samples", type=int, default=2000, help="rows of each of the sample's five files")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sides", nargs="+", default=["lab", "fp32", "bf16"], choices=SIDES, help="a column each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quality-") as folder:
        command = [sys.executable, "-m", "pmssm.trainers", "prepare", "--output", folder]
        command += ["--n-samples", str(options.n_samples)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        data = TrainingData(*(torch.tensor(array) for array in load_prepared(Path(folder))[:4]))
    print(f"{len(data.train_inputs):,} rows to train, {len(data.val_inputs):,} to validate, {options.epochs} epochs\n")
    heads = ["the lab's loop" if side == "lab" else f"ours, {side}" for side in options.sides]
    print("| model |", *(f"{head} |" for head in heads), "\n|", "--- |" * (1 + len(heads)))
    for name in options.models:
        print("|", name, "|", end=" ")
        for side in options.sides:
            print(
                cell([train(name, data, seed, side, options) for seed in range(options.seeds)]), end=" | ", flush=True
            )
        print()


def cell(losses: list[float]) -> str:
    """Return all losses, their mean, and the standard error of the mean."""
    each = " / ".join(f"{loss:.4f}" for loss in losses)
    error = statistics.stdev(losses) / len(losses) ** 0.5 if len(losses) > 1 else math.nan
    return f"{each}: {statistics.fmean(losses):.4f} ± {error:.4f}"


def settings_of(name: str, seed: int, epochs: int) -> TrainingConfig:
    """Return the recipe of the lab, scheduled over `epochs`."""
    recipe = RECIPES[name]
    return TrainingConfig(
        learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay, cosine=recipe.cosine,
        clip_norm=recipe.clip_norm, epochs=epochs, seed=seed, checkpoint_seconds=1e9,
    )  # fmt: skip


def train(name: str, data: TrainingData, seed: int, side: str, options: argparse.Namespace) -> float:
    """Return the validation loss of the best epoch, by the lab's loop or by ours."""
    return lab(name, data, seed, options) if side == "lab" else ours(name, data, seed, side, options)


def lab(name: str, data: TrainingData, seed: int, options: argparse.Namespace) -> float:
    """Return the validation loss of the lab's loop in its best epoch."""
    training = Baseline(name, data, settings_of(name, seed, options.epochs), torch.device(options.device))
    return min(training.epoch()[1] for _ in range(options.epochs))


def ours(name: str, data: TrainingData, seed: int, precision: str, options: argparse.Namespace) -> float:
    """Return the validation loss of our loop in its best epoch."""
    device = torch.device(options.device)
    settings = settings_of(name, seed, options.epochs)
    settings = replace(settings, precision=choose_precision(precision, device))
    torch.manual_seed(seed)
    on_device = TrainingData(*(part.to(device) for part in data))
    training = Trainer([RECIPES[name].build().to(device)], on_device, settings, stop=StopRequest())
    with tempfile.TemporaryDirectory(prefix="quality-") as folder:
        checkpoints = Checkpoints(Path(folder), {})
        losses: list[float] = [training.epoch(checkpoints).val_mse for _ in range(options.epochs)]
    return min(losses)


if __name__ == "__main__":
    main()
