"""One side of `train_step.py`, which starts it.

For each line on stdin it trains an epoch and prints a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pmssm.trainers.process_tuning import tune_process


def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=["baseline", "ours"])
    parser.add_argument("model")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--ensemble", type=int, default=1)
    options = parser.parse_args()
    if options.side == "ours":
        tune_process()
    epoch = make_epoch(options)
    clock = time.process_time if options.cpu_time else time.perf_counter
    for _ in sys.stdin:
        start = clock()
        epoch()
        print(json.dumps({"seconds": clock() - start, "peak_mib": peak_mib(options.device)}), flush=True)


def make_epoch(options: argparse.Namespace) -> Callable[[], object]:
    """Return a function that trains one epoch and validates.

    An epoch has `options.steps` full batches and a partial one.
    """
    import torch  # noqa: PLC0415 (tune_process must precede it)
    from baseline import Baseline  # noqa: PLC0415
    from pmssm.trainers.models.recipes import RECIPES  # noqa: PLC0415
    from pmssm.trainers.precision import Precision, choose_precision  # noqa: PLC0415
    from pmssm.trainers.signals import StopRequest  # noqa: PLC0415
    from pmssm.trainers.training.checkpoint import Checkpoints  # noqa: PLC0415
    from pmssm.trainers.training.loop import Trainer  # noqa: PLC0415
    from pmssm.trainers.training.state import TrainingConfig  # noqa: PLC0415
    from pmssm.trainers.training.step import TrainingData  # noqa: PLC0415
    from pmssm.trainers.training.train import build_models  # noqa: PLC0415

    torch.set_num_threads(options.threads or len(os.sched_getaffinity(0)))
    torch.set_flush_denormal(options.side == "ours")  # as the trainers do
    device = torch.device(options.device)
    recipe = RECIPES[options.model]
    settings = TrainingConfig(
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        cosine=recipe.cosine,
        clip_norm=recipe.clip_norm,
        checkpoint_seconds=1e9,
        ensemble=options.ensemble,
        precision=choose_precision(options.precision, device) if options.side == "ours" else Precision.FP32,
    )
    rows = options.steps * settings.batch_size + settings.batch_size // 3
    generator = torch.Generator().manual_seed(0)  # the time does not depend on the numbers
    inputs = torch.randn(rows + rows // 9, 19, generator=generator)
    targets = inputs[:, 0] * inputs[:, 1]
    arrays = (inputs[:rows], targets[:rows], inputs[rows:], targets[rows:])
    if options.side == "baseline":
        return Baseline(options.model, TrainingData(*arrays), settings, device).epoch
    data = TrainingData(*(array.to(device) for array in arrays))
    training = Trainer(
        build_models(options.model, settings, device),
        data,
        settings,
        stop=StopRequest(),
    )
    if options.compile:
        training.step.compile()
    checkpoints = Checkpoints(Path(tempfile.mkdtemp(prefix="train_step-")), {})

    def epoch() -> None:
        training.epoch(checkpoints)
        if options.compile and not training.step.compiled:
            sys.exit("the compiler has failed, so the plain passes were used")

    return epoch


def peak_mib(device: str) -> float:
    """Return the largest memory use so far, MiB: reserved on a GPU, else of this process."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    import torch  # noqa: PLC0415

    return torch.cuda.max_memory_reserved() / 2**20


if __name__ == "__main__":
    main()
