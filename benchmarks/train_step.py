"""Whole epochs of the lab's loop and of ours in turn: `python benchmarks/train_step.py`.

Both sides run as processes with their own defaults; while one works, the other sleeps. A round is one epoch
of each, of `--steps` full batches and a partial one, with shuffle and validation. Ratios compare
neighbouring epochs. The points are random numbers, which do not influence the time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pmssm.trainers.process_tuning import tune_process

HERE = Path(__file__).parent
STEPS = {"cpu": {"mlp": 200, "transformer": 48, "transformer_tabular": 48}, "cuda": {}}
CUDA_STEPS = 400


@dataclass(frozen=True)
class Comparison:
    """Medians over the rounds.

    Attributes:
        ratio: How many times faster ours is; `ratio_min` and `ratio_max` are its range.
    """

    model: str
    baseline_ms_per_step: float
    ours_ms_per_step: float
    ratio: float
    ratio_min: float
    ratio_max: float
    baseline_epochs_per_s: float
    ours_epochs_per_s: float
    baseline_peak_mib: float
    ours_peak_mib: float
    rounds: int
    steps: int


class WorkerEnded(Exception):
    """A worker process has ended before its work was done."""


class Side:
    """One worker process.

    Args:
        side: `baseline` or `ours`.
        model: Name of the model.
        arguments: More arguments of the worker.

    Attributes:
        name: What it trains, for messages.
        process: The worker.
        peak_mib: Its largest memory use so far, MiB.
    """

    def __init__(self, side: str, model: str, arguments: list[str]) -> None:
        command = [sys.executable, str(HERE / "step_worker.py"), side, model, *arguments]
        self.name = f"{side}, {model}"
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.peak_mib = 0.0

    def epoch(self) -> float:
        """Train an epoch and return its seconds.

        Raises:
            WorkerEnded: It has; its error is on stderr.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):  # then there is no reply either
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise WorkerEnded(f"the worker of {self.name} ended with {self.process.wait()}")
        reply: dict[str, float] = json.loads(line)
        self.peak_mib = reply["peak_mib"]
        return reply["seconds"]

    def close(self) -> None:
        """End the worker, which leaves when its stdin ends."""
        with suppress(BrokenPipeError):
            self.process.communicate()


def compare(model: str, options: argparse.Namespace) -> Comparison:
    """Return the comparison for one model."""
    steps = options.steps or STEPS[options.device].get(model, CUDA_STEPS)
    shared = ["--steps", str(steps), "--device", options.device]
    shared += ["--threads", str(options.threads)] if options.threads else []
    shared += ["--cpu-time"] if options.cpu_time else []
    own = ["--precision", options.precision, *(["--compile"] if options.compile else [])]
    sides = [Side("baseline", model, shared), Side("ours", model, [*shared, *own])]
    seconds: list[list[float]] = [[], []]
    try:
        for side in sides:
            side.epoch()  # warm-up
        for number in range(options.rounds):
            for index in (0, 1) if number % 2 else (1, 0):
                seconds[index].append(sides[index].epoch())
    finally:
        for side in sides:
            side.close()
    ratios = [baseline / ours for baseline, ours in zip(*seconds, strict=True)]
    baseline, ours = (statistics.median(values) for values in seconds)
    batches = steps + 1
    per_epoch = batches / options.steps_per_epoch
    return Comparison(
        model, 1000 * baseline / batches, 1000 * ours / batches, statistics.median(ratios), min(ratios), max(ratios),
        per_epoch / baseline, per_epoch / ours, sides[0].peak_mib, sides[1].peak_mib, options.rounds, steps,
    )  # fmt: skip


TABLE_HEAD = (
    "| model | baseline ms/step | ours ms/step | ratio, median (range) | epochs/s, baseline → ours | peak MiB |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def table_row(row: Comparison) -> str:
    """Return a comparison as a row of the Markdown table."""
    return (
        f"| {row.model} | {row.baseline_ms_per_step:.2f} | {row.ours_ms_per_step:.2f} "
        f"| {row.ratio:.2f} ({row.ratio_min:.2f}–{row.ratio_max:.2f}) "
        f"| {row.baseline_epochs_per_s:.4f} → {row.ours_epochs_per_s:.4f} "
        f"| {row.baseline_peak_mib:.0f} → {row.ours_peak_mib:.0f} |"
    )


def machine(device: str) -> dict[str, Any]:
    """Return a description of the machine."""
    import torch  # noqa: PLC0415

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else cpu,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": len(os.sched_getaffinity(0)),
        "torch": str(torch.__version__),
        "load_average": round(os.getloadavg()[0], 2),
    }


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--models", nargs="+", default=["mlp", "transformer", "transformer_tabular"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, help="full batches an epoch [default: a few seconds' worth]")
    parser.add_argument("--threads", type=int, help="of both sides [default: all cores]")
    parser.add_argument("--cpu-time", action="store_true", help="not wall time: on a busy machine, with --threads 1")
    parser.add_argument("--precision", default="auto", help="of ours")
    parser.add_argument("--compile", action="store_true", help="ours")
    parser.add_argument("--profile", action="store_true", help="one step of ours instead: phases, kernels, floor")
    parser.add_argument("--steps-per-epoch", type=int, default=8204, help="for epochs/s; the lab's data have 8204")
    parser.add_argument("--output", type=Path, help="writes OUTPUT.md and OUTPUT.json")
    options = parser.parse_args()
    if options.profile:
        tune_process()
        from step_profile import profile  # noqa: PLC0415 (imports torch, so tune_process must precede it)

        sys.exit(not profile(options.models, options.device, options.precision, options.threads))
    about = machine(options.device)
    print(*(f"{key}: {value}" for key, value in about.items()), "", TABLE_HEAD, sep="\n", flush=True)
    rows, has_failed = [], False
    for model in options.models:
        try:
            rows.append(compare(model, options))
        except WorkerEnded as error:  # the next model is to be measured in any case
            print(error, file=sys.stderr)
            has_failed = True
            continue
        print(table_row(rows[-1]), flush=True)
        if options.output:
            write_results(options.output, about, rows)
    sys.exit(has_failed)


def write_results(output: Path, about: dict[str, Any], rows: list[Comparison]) -> None:
    """Write OUTPUT.md and OUTPUT.json with what is measured so far."""
    output.parent.mkdir(parents=True, exist_ok=True)
    head = [f"    {' '.join(['python', *sys.argv])}", "", *(f"{key}: {value}" for key, value in about.items()), ""]
    text = "\n".join([*head, TABLE_HEAD, *map(table_row, rows), ""])
    content = json.dumps({**about, "comparisons": [asdict(row) for row in rows]}, indent=1) + "\n"
    for suffix, written in ((".md", text), (".json", content)):
        side_file = output.with_suffix(".part")  # the script may be killed at any time
        side_file.write_text(written)
        side_file.replace(output.with_suffix(suffix))


if __name__ == "__main__":
    main()
