"""Cost of K models trained together: `python benchmarks/ensemble.py [--device cuda]`."""

from __future__ import annotations

import argparse
import os
import statistics
import sys

from train_step import CUDA_STEPS, Side, WorkerEnded

STEPS = {"mlp": 12, "transformer": 3, "transformer_tabular": 3}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--models", nargs="+", default=list(STEPS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print("| model | K | ms/step | ms/step and model | of K = 1 | peak MiB |\n| --- | --- | --- | --- | --- | --- |",
          flush=True)  # fmt: skip
    has_failed = False
    for model in options.models:
        steps = STEPS[model] if options.device == "cpu" else CUDA_STEPS
        shared = ["--steps", str(steps), "--device", options.device]
        sides = [Side("ours", model, [*shared, "--ensemble", str(size)]) for size in options.sizes]
        try:
            rounds = [[side.epoch() for side in sides] for _ in range(options.rounds + 1)][1:]
        except WorkerEnded as error:  # the next model is to be measured in any case
            print(error, file=sys.stderr)
            has_failed = True
            continue
        finally:
            for side in sides:
                side.close()
        for size, side, *times in zip(options.sizes, sides, *rounds, strict=True):
            each = 1000 * statistics.median(times) / (steps + 1)
            one = statistics.median(times[0] for times in rounds)
            share = statistics.median(times) / (size * one)
            figures = f"{each:.2f} | {each / size:.2f} | {share:.2f} | {side.peak_mib:.0f}"
            print(f"| {model} | {size} | {figures} |", flush=True)
    print(f"\nload average {os.getloadavg()[0]:.1f}")
    sys.exit(has_failed)


if __name__ == "__main__":
    main()
