"""Time of `propose` for a million candidates: `python benchmarks/propose.py`.

Each model is trained for one epoch on the embedded sample; how well it predicts does not change the time. On a busy
machine the CPU time tells more than the wall time.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAINERS = (sys.executable, "-m", "pmssm.trainers")

MODELS = {
    "mlp": ("mlp", "--ensemble", "1"),
    "mlp x 3": ("mlp", "--ensemble", "3"),
    "mlp_plr_small x 3": ("mlp_plr_small", "--ensemble", "3"),
}
STRATEGIES = {"mlp": "tolerance", "mlp x 3": "entropy", "mlp_plr_small x 3": "entropy"}


def main() -> None:
    """Train the models, time the proposals and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--candidates", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run("prepare", "--output", folder / "data", "--y-transform", "log")
        print("| model | strategy | wall time, s | CPU time, s |\n| --- | --- | --- | --- |")
        for title in arguments.models:
            output = folder / title.replace(" ", "_")
            run(*MODELS[title], "--data", folder / "data", "--output", output, "--epochs", "1", "--threads", "2")
            wall_s, cpu_s = run(
                "propose", output / "model.pt", "--pool", f"lhs:{arguments.candidates}", "--n", "500",
                "--strategy", STRATEGIES[title], "--output", folder / "proposals.csv", "--threads", arguments.threads,
            )  # fmt: skip
            print(f"| {title} | {STRATEGIES[title]} | {wall_s:.1f} | {cpu_s:.1f} |", flush=True)


def run(*arguments: object) -> tuple[float, float]:
    """Run a command of the trainers, and return its wall and CPU time in seconds."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    subprocess.run([*TRAINERS, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, env=environment)
    after, wall_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
