"""What `product.py` asks of the trainers, a function a question: each returns what is worth knowing."""

from __future__ import annotations

import csv
import math
import select
import subprocess
import sys
from pathlib import Path

from product_session import CheckFailed, Context, Skipped, has_reached, has_succeeded, require

SAMPLE = Path(__file__).resolve().parents[2] / "trainers" / "data" / "sample" / "pmssm_scan_2.root"
STOP_AT_EPOCH, EPOCHS = {"cuda": 300, "cpu": 3}, {"cuda": 3000, "cpu": 60}
MAX_LOSS_DIFFERENCE, MAX_PREDICTION_DIFFERENCE = 1e-4, 1e-3
LEFT_FREE_MIB = 1536
"""That the process of `out_of_memory` leaves to the training: room for its context, not for a batch."""
HOLD_MEMORY = f"""
import sys, torch
torch.zeros(1, device="cuda")
free, _ = torch.cuda.mem_get_info()
held = torch.empty(free - {LEFT_FREE_MIB} * 2**20, dtype=torch.uint8, device="cuda")
print(free >> 20, flush=True)
sys.stdin.read()
"""


def predictions(context: Context) -> str:
    """An ensemble with physics features trains, and `predict`, `evaluate` and `propose` work with it on the device."""
    data, output, files = (context.folder / name for name in ("physics", "physics_model", "predictions"))
    files.mkdir()
    context.trainers("prepare", "--output", str(data), "--testing", "--features", "physics", "--y-transform", "ratio",
                     "--calibration", "0.2", seconds=40)  # fmt: skip
    context.trainers("mlp_plr_small", "--data", str(data), "--output", str(output), "--device", context.device,
                     "--epochs", "20", "--ensemble", "2", "--loss", "l1", "--ema", "0.9", seconds=60)  # fmt: skip
    model, on = str(output / "model.pt"), ["--device", context.device]
    for device in (context.device, "cpu"):
        context.trainers("predict", model, "--input", str(SAMPLE), "--output", str(files / f"{device}.csv"),
                         "--device", device, seconds=40)  # fmt: skip
    context.trainers("evaluate", model, "--input", str(SAMPLE), "--output", str(files / "evaluation"), *on, seconds=60)
    context.trainers("propose", model, "--pool", "lhs:20000", "--n", "50", "--output", str(files / "proposed.csv"),
                     *on, seconds=60)  # fmt: skip
    apart = largest_difference(files / f"{context.device}.csv", files / "cpu.csv")
    require(apart <= MAX_PREDICTION_DIFFERENCE, f"predictions differ from those on the CPU by up to {apart:.1e}")
    return f"predictions differ from those on the CPU by {apart:.1e} at most"


def largest_difference(file: Path, other: Path) -> float:
    """Return the largest relative difference of two tables of numbers; two nan are equal, one alone is infinitely far.

    Raises:
        CheckFailed: They have no rows, or not the same columns and number of rows.
    """
    tables = []
    for path in (file, other):
        with path.open() as stream:
            tables.append(list(csv.reader(stream)))
    require(len(tables[0]) > 1 and tables[0][0] == tables[1][0], f"columns {tables[0][:1]} and {tables[1][:1]}")
    require(len(tables[0]) == len(tables[1]), f"{len(tables[0])} and {len(tables[1])} lines")
    pairs = (pair for rows in zip(tables[0][1:], tables[1][1:], strict=True) for pair in zip(*rows, strict=True))
    return max(relative_difference(float(a or "nan"), float(b or "nan")) for a, b in pairs)


def relative_difference(a: float, b: float) -> float:
    """Return |a - b| / |b|, with absolute differences below 1e-6 as none; infinity if one number is nan."""
    if math.isnan(a) or math.isnan(b):
        return 0.0 if math.isnan(a) and math.isnan(b) else math.inf
    return 0.0 if abs(a - b) <= 1e-6 else abs(a - b) / abs(b) if b else math.inf


def stop_and_resume(context: Context) -> str:
    """A run that is stopped and started again has the losses of one that never stopped."""
    stop_at, epochs = STOP_AT_EPOCH[context.device], EPOCHS[context.device]
    plan = context.write_plan("stop", {"mlp": ["--epochs", str(epochs), "--no-compile"]})
    whole, stopped = (context.supervisor(name) for name in ("whole", "stopped"))
    for supervisor in (stopped, whole):
        supervisor.run("--detach", "--plan", str(plan))
    stopped.wait_for(f"epoch {stop_at}", lambda now: has_reached(stop_at, now["runs"]["mlp"], "mlp"), seconds=60)
    stopped.run("stop", "mlp")
    ended = stopped.wait_for(
        "stopped", lambda now: now["runs"]["mlp"]["state"] not in {"running", "stopping"}, seconds=40
    )["runs"]["mlp"]
    require(ended["state"] == "stopped", f"too late, or no clean stop: {ended}")
    stopped.run("start", "mlp")
    losses = []
    for supervisor in (whole, stopped):
        supervisor.wait_for("the end", lambda now: has_succeeded(now["runs"]["mlp"], "mlp"), seconds=90)
        with (supervisor.output("mlp") / "metrics.csv").open() as file:
            losses.append([(float(row["train_mse"]), float(row["val_mse"])) for row in csv.DictReader(file)])
    require("Resumed at epoch" in stopped.log("mlp"), "the log knows of no resume")
    require(len(losses[0]) == len(losses[1]) == epochs, f"{len(losses[0])} and {len(losses[1])} epochs")
    differences = [
        max(relative_difference(a, b) for a, b in zip(ours, theirs, strict=True))
        for ours, theirs in zip(*losses, strict=True)
    ]
    first = next((str(epoch) for epoch, apart in enumerate(differences, 1) if apart), "none")
    where = f"stopped at epoch {ended['progress']['epoch']} of {epochs}"
    found = f"{where}; losses differ by {max(differences):.1e} at most, first in epoch {first}"
    require(max(differences) <= MAX_LOSS_DIFFERENCE, found)
    return found


def out_of_memory(context: Context) -> str:
    """With hardly any memory left a training halves its batch until it fits, and ends well."""
    if not context.on_gpu:
        raise Skipped("needs a GPU")
    holder = subprocess.Popen([sys.executable, "-c", HOLD_MEMORY], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        ready, _, _ = select.select([holder.stdout], [], [], 60)
        require(ready and holder.stdout.readline().strip(), "the process that holds the memory has died, or hangs")
        command = [sys.executable, "-m", "pmssm.trainers", "transformer", "--data", str(context.prepared())]
        command += ["--output", str(context.folder / "memory"), "--epochs", "2", "--device", "cuda", "--ensemble", "8"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        halved = [line.partition("batch size ")[2] for line in done.stderr.splitlines() + done.stdout.splitlines()
                  if "Out of memory: batch size" in line]  # fmt: skip
        if done.returncode:
            print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
            raise CheckFailed(f"exit code {done.returncode}, halved {halved}: {done.stderr.strip()[-300:]}")
        require(halved, f"nothing ran out of memory in {LEFT_FREE_MIB} MiB")
        return f"batch of 8 models: {', '.join(halved)}"
    finally:
        holder.kill()
        holder.wait(timeout=20)
