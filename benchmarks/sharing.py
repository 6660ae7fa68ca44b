"""Three models in turn and at once: `python benchmarks/sharing.py [--device cuda]`.

Each model is trained for the same epochs in its own process. On a CPU, models at the same time share the
cores.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor

from train_step import Side

STEPS = {"cpu": {"mlp": 60, "transformer": 6, "transformer_tabular": 6}, "cuda": {"mlp": 6000, "transformer": 2000}}


def main() -> None:
    """Measure and print the times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--models", nargs="+", default=["mlp", "transformer", "transformer_tabular"])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0))

    def side(model: str, threads: int) -> Side:
        steps = STEPS[options.device].get(model, 2000)
        arguments = ["--steps", str(steps), "--device", options.device]
        return Side("ours", model, [*arguments, "--threads", str(threads)])

    alone = [side(model, cores) for model in options.models]
    shared = [side(model, max(1, cores // len(options.models))) for model in options.models]
    with ThreadPoolExecutor(len(shared)) as pool:
        for worker in alone + shared:
            worker.epoch()
        for _ in range(options.rounds):
            in_turn = sum(worker.epoch() for worker in alone)
            start = time.perf_counter()
            list(pool.map(Side.epoch, shared))
            at_once = time.perf_counter() - start
            print(f"in turn {in_turn:.2f} s, at once {at_once:.2f} s: {in_turn / at_once:.2f} ×", flush=True)
    for worker in alone + shared:
        worker.close()
    print(f"load average {os.getloadavg()[0]:.1f}, {cores} cores")


if __name__ == "__main__":
    main()
