"""Quality on unseen points with and without physics: `python benchmarks/physics_features.py --holdout FILE`.

Each variant is prepared and trained by the same commands as a user would give, then scored on the usable
points of a file that no training reads.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pmssm.trainers import load_surrogate
from pmssm.trainers.data.lsp import LSP_CLASSES
from pmssm.trainers.data.prepared import load_prepared
from pmssm.trainers.data.standardize import Rows
from pmssm.trainers.data.targets import TARGETS
from pmssm.trainers.inference.surrogate import Surrogate

PLANCK = 0.12
CLASSES = ("bino", "wino", "higgsino", "mixed", "no neutralino")
PHYSICS = ("--features", "physics", "--y-transform", "ratio")


@dataclass(frozen=True)
class Variant:
    """What is prepared and trained.

    Attributes:
        prepare: Options of `prepare`.
        model: Name of the model.
        training: Options of the training.
    """

    prepare: tuple[str, ...]
    model: str
    training: tuple[str, ...]


FAST = ("--epochs", "40", "--loss", "l1", "--warmup-epochs", "1")
VARIANTS = {
    "no physics": Variant(("--y-transform", "log"), "mlp_plr_small", FAST),
    "ratio alone": Variant(("--y-transform", "ratio"), "mlp_plr_small", FAST),
    "features, log": Variant(("--features", "physics", "--y-transform", "log"), "mlp_plr_small", FAST),
    "mse": Variant(PHYSICS, "mlp_plr_small", (*FAST, "--loss", "mse")),
    "huber": Variant(PHYSICS, "mlp_plr_small", (*FAST, "--loss", "huber")),
    "log-cosh": Variant(PHYSICS, "mlp_plr_small", (*FAST, "--loss", "log-cosh")),
    "l1": Variant(PHYSICS, "mlp_plr_small", FAST),
    "l1, EMA": Variant(PHYSICS, "mlp_plr_small", (*FAST, "--ema", "0.995")),
    "l1, 15 epochs": Variant(PHYSICS, "mlp_plr_small", (*FAST, "--epochs", "15")),
    "l1, 60 epochs": Variant(PHYSICS, "mlp_plr_small", (*FAST, "--epochs", "60")),
    "best": Variant(PHYSICS, "mlp_plr_small", (*FAST, "--epochs", "60", "--ensemble", "3")),
}


def main() -> None:
    """Train and print one row per variant and seed, and the mean of each variant."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=[], help="scan files to train on; default: the embedded sample")
    parser.add_argument("--holdout", type=Path, required=True, help="scan file that no training reads")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[42])
    parser.add_argument("--threads", default="1")
    options = parser.parse_args()
    heads = ["within 10 %", "within 20 %", *CLASSES, "right side of 0.12", "wall s", "CPU s"]
    print("| variant | seed |", " | ".join(heads), "|\n|", "--- |" * (len(heads) + 2), flush=True)
    for name in options.variants:
        results = []
        for seed in options.seeds:
            results.append(run(VARIANTS[name], seed, options))
            print(row(name, str(seed), results[-1]), flush=True)
        if len(results) > 1:
            print(row(name, "mean", [statistics.fmean(column) for column in zip(*results, strict=True)]), flush=True)


def row(name: str, seed: str, numbers: list[float]) -> str:
    """Return a row of the table: shares in per cent, then two times."""
    *shares, wall, cpu = numbers
    return (
        f"| {name} | {seed} | "
        + " | ".join([*(f"{100 * one:.2f}" for one in shares), f"{wall:.0f}", f"{cpu:.0f}"])
        + " |"
    )


def run(variant: Variant, seed: int, options: argparse.Namespace) -> list[float]:
    """Return the shares of `score`, then wall time and CPU time of preparation and training, seconds."""
    data = [word for path in options.data for word in ("--data", path)]
    with tempfile.TemporaryDirectory(prefix="physics-features-") as folder:
        start, cpu = time.monotonic(), children_cpu()
        trainers("prepare", "--output", f"{folder}/data", *data, *variant.prepare)
        trainers(variant.model, "--data", f"{folder}/data", "--output", f"{folder}/model", *variant.training,
                 "--seed", str(seed), "--threads", options.threads)  # fmt: skip
        seconds = [time.monotonic() - start, children_cpu() - cpu]
        return score(load_surrogate(f"{folder}/model/model.pt"), *usable(options.holdout, folder)) + seconds


def trainers(*arguments: str) -> None:
    """Run a command of the trainers."""
    subprocess.run([sys.executable, "-m", "pmssm.trainers", *arguments], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)  # fmt: skip


def children_cpu() -> float:
    """Return the CPU time of all finished child processes, seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def usable(path: Path, folder: str) -> tuple[Rows, Rows, NDArray[np.int8]]:
    """Return the usable points of a scan file, their relic densities, and their classes."""
    trainers("prepare", "--output", f"{folder}/holdout", "--data", str(path), "--y-transform", "log")
    prepared = load_prepared(Path(folder) / "holdout")
    inputs = np.concatenate([prepared.train_inputs, prepared.val_inputs]).astype(np.float64)
    learned = np.concatenate([prepared.train_targets, prepared.val_targets]).astype(np.float64)
    scaling, classes = prepared.scaling, np.concatenate([prepared.train_lsp, prepared.val_lsp])
    points = inputs * scaling.std[:-1] + scaling.mean[:-1]
    return points, prepared.target.backward(learned * scaling.std[-1] + scaling.mean[-1]), classes


def score(surrogate: Surrogate, points: Rows, true: Rows, classes: NDArray[np.int8]) -> list[float]:
    """Return shares: within 10 and 20 %, within 10 % by class, and on the right side of 0.12."""
    assert surrogate.target.branch == TARGETS["relic_density"].branch
    predicted = surrogate.predict_members(points, warn=False).mean(axis=0)
    error = np.abs(predicted / true - 1)
    by_class = [float((error[classes == LSP_CLASSES.index(name)] <= 0.1).mean()) for name in CLASSES]
    right = (predicted < PLANCK) == (true < PLANCK)
    return [float((error <= 0.1).mean()), float((error <= 0.2).mean()), *by_class, float(right.mean())]


if __name__ == "__main__":
    main()
