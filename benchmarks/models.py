"""Scores of every model and option at equal time: `python benchmarks/models.py`.

Each training uses one thread. The time is CPU time: on a free core it equals wall time, and on a busy
machine it does not change.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pmssm.trainers.data.prepared import PreparedData, load_prepared
from pmssm.trainers.models.recipes import RECIPES
from pmssm.trainers.process_tuning import tune_process
from pmssm.trainers.signals import StopRequest
from pmssm.trainers.training.checkpoint import Checkpoints
from pmssm.trainers.training.evaluation import Scores, evaluate
from pmssm.trainers.training.loop import Trainer
from pmssm.trainers.training.state import TrainingConfig
from pmssm.trainers.training.step import TrainingData
from quality import settings_of


@dataclass(frozen=True)
class Variant:
    """A model and the settings that differ from its recipe.

    Attributes:
        model: Name of the recipe.
        changes: Fields of TrainingConfig.
    """

    model: str
    changes: dict[str, Any] = field(default_factory=dict)


VARIANTS = {
    "mlp": Variant("mlp"),
    "mlp, 3 warm-up epochs": Variant("mlp", {"warmup_epochs": 3}),
    "mlp, EMA 0.99": Variant("mlp", {"ema": 0.99}),
    "mlp, Muon": Variant("mlp", {"optimizer": "muon"}),
    "mlp_plr": Variant("mlp_plr"),
    "tabm": Variant("tabm"),
    "tabm, EMA 0.99": Variant("tabm", {"ema": 0.99}),
    "transformer": Variant("transformer"),
    "transformer, Muon": Variant("transformer", {"optimizer": "muon"}),
    "transformer_plr": Variant("transformer_plr"),
    "transformer_tabular": Variant("transformer_tabular"),
    "transformer_tabular_plr": Variant("transformer_tabular_plr"),
}


CALIBRATION_S = 4.0
"""Time to measure the duration of an epoch."""


def main() -> None:
    """Train and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds-each", type=float, default=25.0, help="CPU time of one training")
    parser.add_argument("--n-samples", type=int, default=3000, help="rows of each of the sample's three files")
    options = parser.parse_args()
    tune_process()
    torch.set_flush_denormal(True)
    with tempfile.TemporaryDirectory(prefix="models-") as folder:
        command = [sys.executable, "-m", "pmssm.trainers", "prepare", "--output", folder]
        command += ["--n-samples", str(options.n_samples)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        prepared = load_prepared(Path(folder))
        print(f"{len(prepared.train_targets):,} rows to train, {len(prepared.val_targets):,} to validate, "
              f"{options.seconds_each:g} s a training, {options.seeds} seeds\n")  # fmt: skip
        print("| | epochs | MSE (normalised) | R² | median rel. error | within 20 % | CPU s |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for name in options.models:
            print(row(name, prepared, options.seeds, options.seconds_each), flush=True)


def row(name: str, prepared: PreparedData, seeds: int, seconds: float) -> str:
    """Return a line of the table."""
    variant = VARIANTS[name]
    epochs = max(1, round(seconds / seconds_of_an_epoch(variant, prepared)))
    start = time.process_time()
    scores = [train(variant, prepared, seed, epochs) for seed in range(seeds)]
    cpu_seconds = (time.process_time() - start) / seeds
    near = [float(np.mean(np.abs(one.predicted - one.true) <= 0.2 * one.true)) for one in scores]
    cells = [
        name,
        str(epochs),
        spread([one.mse_normalised for one in scores], ".4f"),
        spread([one.r2 or 0.0 for one in scores], ".3f"),
        spread([one.median_relative_error or 0.0 for one in scores], ".1%"),
        spread(near, ".1%"),
        f"{cpu_seconds:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def spread(values: Sequence[float], form: str) -> str:
    """Return mean ± standard deviation."""
    deviation = f" ± {statistics.stdev(values):{form}}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):{form}}{deviation}"


def seconds_of_an_epoch(variant: Variant, prepared: PreparedData) -> float:
    """Return the CPU time of an epoch with its validation, after one warm-up."""
    training = training_of(variant, prepared, seed=0, epochs=10_000)
    with tempfile.TemporaryDirectory(prefix="models-") as folder:
        checkpoints = Checkpoints(Path(folder), {})
        training.epoch(checkpoints)
        start, epochs = time.process_time(), 0
        while time.process_time() - start < CALIBRATION_S:
            training.epoch(checkpoints)
            epochs += 1
    return (time.process_time() - start) / epochs


def train(variant: Variant, prepared: PreparedData, seed: int, epochs: int) -> Scores:
    """Train; return the validation scores of the best epoch, which they also chose."""
    training = training_of(variant, prepared, seed, epochs)
    with tempfile.TemporaryDirectory(prefix="models-") as folder:
        checkpoints = Checkpoints(Path(folder), {})
        while not training.finished():
            training.epoch(checkpoints)
    training.use_best()
    model = training.model.eval()
    return evaluate([model], training.data, prepared.scaling, prepared.target)


def training_of(variant: Variant, prepared: PreparedData, seed: int, epochs: int) -> Trainer:
    """Return a training before its first step; its learning rate is scheduled over `epochs`."""
    settings: TrainingConfig = replace(settings_of(variant.model, seed, epochs), **variant.changes)
    torch.manual_seed(seed)
    return Trainer(
        [RECIPES[variant.model].build()],
        TrainingData(*(torch.tensor(array) for array in prepared[:4])),
        settings,
        stop=StopRequest(),
    )


if __name__ == "__main__":
    main()
