"""Physics features, microseconds a point: `python benchmarks/physics.py [--threads 1]`. Prints a table."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

from pmssm.trainers.process_tuning import tune_process


def main() -> None:
    """Measure all parts of the layer and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=16384)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=7, help="the fastest one counts")
    options = parser.parse_args()
    tune_process()
    import torch  # noqa: PLC0415 (after the allocator is tuned)
    from pmssm.trainers.physics import PhysicsFeatures, compute_features  # noqa: PLC0415
    from pmssm.trainers.physics.features import BATCH  # noqa: PLC0415
    from pmssm.trainers.physics.parameters import split_parameters  # noqa: PLC0415
    from pmssm.trainers.physics.spectrum import spectrum  # noqa: PLC0415

    torch.set_num_threads(options.threads)
    low = torch.tensor(
        [50.0] * 2 + [2000.0] * 2 + [4000.0] * 6 + [-2000.0] * 3 + [4000.0, -8000, -2000, -2000, 2000, 1]
    )
    high = torch.tensor([2000.0] * 4 + [4000.0] * 6 + [2000.0] * 3 + [4000.0, 8000, 2000, 2000, 2000, 60])
    points = (low + (high - low) * torch.rand(options.points, 19)).double()
    layer = PhysicsFeatures()
    trained = PhysicsFeatures(trainable=True)
    constants = layer.constants()

    def only_spectrum() -> None:
        with torch.no_grad():
            for batch in torch.split(points, BATCH):
                spectrum(split_parameters(batch), constants)

    def with_gradients() -> None:
        for batch in torch.split(points, BATCH):
            trained(batch).sum().backward()

    parts: dict[str, Callable[[], object]] = {
        "spectrum": only_spectrum,
        "all features": lambda: compute_features(layer, points),
        "all features and gradients": with_gradients,
    }
    print("| part | µs a point, CPU | µs a point, wall |")
    print("| --- | --- | --- |")
    for name, work in parts.items():
        cpu, wall = zip(*(_seconds(work) for _ in range(options.repeat)), strict=True)
        print(
            f"| {name} | {min(cpu) / options.points * 1e6:.1f} | {min(wall) / options.points * 1e6:.1f} |", flush=True
        )
    print(f"\n{options.points} points, batches of {BATCH}, {options.threads} thread(s), load {os.getloadavg()[0]:.1f}")


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


if __name__ == "__main__":
    main()
