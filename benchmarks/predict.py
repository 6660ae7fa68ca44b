"""Time of batched predictions and of their plot: `python benchmarks/predict.py`."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from pmssm.trainers.process_tuning import tune_process

LAB = 2_100_000


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--models", nargs="+", default=["mlp", "transformer", "transformer_tabular"])
    parser.add_argument("--points", type=int, default=50_000)
    options = parser.parse_args()
    tune_process()
    import numpy as np  # noqa: PLC0415 (after tune_process, like torch)
    import torch  # noqa: PLC0415
    from pmssm.trainers.data.standardize import Standardizer  # noqa: PLC0415
    from pmssm.trainers.data.targets import TARGETS  # noqa: PLC0415
    from pmssm.trainers.models.recipes import RECIPES  # noqa: PLC0415
    from pmssm.trainers.training.evaluation import evaluate  # noqa: PLC0415
    from pmssm.trainers.training.plots import true_vs_predicted  # noqa: PLC0415
    from pmssm.trainers.training.step import TrainingData  # noqa: PLC0415

    device = torch.device(options.device)
    inputs = torch.randn(options.points, 19, device=device)
    data = TrainingData(inputs, inputs[:, 0], inputs, inputs[:, 0])
    scaling = Standardizer(np.zeros(20), np.ones(20), np.zeros(20), np.ones(20))
    target = TARGETS["relic_density"]
    print(f"| model | seconds for {options.points:,} points | of it the plot | for {LAB:,} points |")
    print("| --- | --- | --- | --- |")
    for name in options.models:
        model = RECIPES[name].build().to(device).eval()
        evaluate([model], TrainingData(*(part[:1000] for part in data)), scaling, target)
        start = time.perf_counter()
        scores = evaluate([model], data, scaling, target)
        drawing = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            true_vs_predicted(Path(folder) / "plot.png", name, scores, target)
        ended = time.perf_counter()
        scaled = (drawing - start) * LAB / options.points + ended - drawing
        print(f"| {name} | {ended - start:.1f} | {ended - drawing:.1f} | {scaled:.0f} |", flush=True)
    print(f"\nload average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
