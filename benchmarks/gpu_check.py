"""Check that a GPU computes the same as the CPU: `python benchmarks/gpu_check.py`.

Each model is checked by `gpu/correctness.py` in a process of its own, all at the same time: an error of CUDA
spoils everything that its process does later. Exits with 1 if the results of a model differ.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

CORRECTNESS = Path(__file__).parent / "gpu" / "correctness.py"
MODELS = (
    "mlp", "transformer", "transformer_tabular",
    "mlp_plr", "mlp_plr_small", "transformer_plr", "transformer_tabular_plr", "tabm",
)  # fmt: skip


def main() -> None:
    """Check all models and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--compile", action="store_true", help="compiled steps instead; a minute per model")
    options = parser.parse_args()
    print("| model | what | largest relative difference | limit | |\n| --- | --- | --- | --- | --- |", flush=True)
    threads = max(1, len(os.sched_getaffinity(0)) // len(options.models))
    own = ["--device", options.device, "--threads", str(threads), *(["--compile"] if options.compile else [])]
    # The processes write their rows to the same file, each row with one call.
    checks = [subprocess.Popen([sys.executable, str(CORRECTNESS), name, *own]) for name in options.models]
    codes = {name: check.wait() for name, check in zip(options.models, checks, strict=True)}
    bad = [f"{name} ({code})" for name, code in codes.items() if code]
    print(f"\nfailed, with exit code: {', '.join(bad)}" if bad else f"\nright: {', '.join(codes)}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
