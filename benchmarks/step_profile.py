"""Profile of one optimizer step: `python benchmarks/train_step.py --profile`.

The lower limit is the larger of two times: the arithmetic at the rate of a large matrix product on this
machine, in the precision of the body, and the bytes that must move (parameters, gradients and moments once
each way) at the rate of a large copy.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import torch
from pmssm.trainers.models.recipes import RECIPES
from pmssm.trainers.precision import Precision, choose_precision
from pmssm.trainers.signals import StopRequest
from pmssm.trainers.training.kernel_recorder import KernelRecorder
from pmssm.trainers.training.kernel_replay import StoragePool, record
from pmssm.trainers.training.loop import Trainer
from pmssm.trainers.training.state import TrainingConfig
from pmssm.trainers.training.step import TrainingData
from torch.profiler import ProfilerActivity
from torch.profiler import profile as profiling
from torch.utils.flop_counter import FlopCounterMode

BATCH = 256


def profile(models: list[str], device_name: str, precision: str, threads: int | None) -> str:
    """Return a table with one row per model."""
    device = torch.device(device_name)
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    torch.set_flush_denormal(True)  # as the trainers do
    chosen = choose_precision(precision, device)
    flops, bandwidth = rates(device, chosen)
    rows = [row(name, settings_of(name, chosen), device, flops=flops, bandwidth=bandwidth) for name in models]
    return "\n".join([
        f"{flops / 1e9:.0f} GFLOP/s in a product of 2048 × 2048 in {chosen}, {bandwidth / 1e9:.1f} GB/s in a copy",
        "",
        "| model | ms/step | passes | update | kernels | GFLOP | floor ms | of the floor |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *rows,
    ])  # fmt: skip


def settings_of(name: str, precision: Precision) -> TrainingConfig:
    """Return the recipe in this precision."""
    recipe = RECIPES[name]
    return TrainingConfig(
        learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay, cosine=recipe.cosine,
        clip_norm=recipe.clip_norm, precision=precision,
    )  # fmt: skip


def seconds(task: Callable[[], object], device: torch.device) -> float:
    """Return the median of thirty calls, after ten warm-up calls."""
    times = []
    for _ in range(40):
        start = time.perf_counter()
        task()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[10:])


def update_of(training: Trainer, device: torch.device) -> Callable[[], object]:
    """Return the optimizer's part of a step as trainings run it: replayed on a CPU."""
    update: Callable[[], object] = training.optimizer.step
    return record(update, StoragePool()).play if device.type == "cpu" else update


def kernels_of(step: Callable[[], object], device: torch.device) -> int:
    """Return the number of kernels of a step."""
    if device.type == "cpu":
        with KernelRecorder() as recorder:
            step()
        return sum(call.computes for call in recorder.calls)
    with profiling(activities=[ProfilerActivity.CUDA]) as profiled:
        step()
    return sum(event.count for event in profiled.key_averages())


def rates(device: torch.device, precision: Precision) -> tuple[float, float]:
    """Return the FLOP/s of a large matrix product and the byte/s of a large copy."""
    kind = torch.bfloat16 if precision is Precision.BF16 else torch.float32
    square, block = torch.randn(2048, 2048, device=device, dtype=kind), torch.randn(2**26, device=device)
    return 2 * 2048**3 / seconds(lambda: square @ square, device), 2 * 4 * 2**26 / seconds(block.clone, device)


def row(name: str, settings: TrainingConfig, device: torch.device, *, flops: float, bandwidth: float) -> str:
    """Return a row of the table."""
    inputs, targets = torch.randn(4 * BATCH, 19, device=device), torch.randn(4 * BATCH, device=device)

    training = Trainer(
        [RECIPES[name].build().to(device)], TrainingData(inputs, targets, inputs, targets), settings, stop=StopRequest()
    )
    training.step.start_epoch([settings.seed], 0, 0)

    def step() -> None:
        training.take_step(BATCH)
        training.step.next_positions.sub_(BATCH)

    whole = seconds(step, device)
    update = seconds(update_of(training, device), device)
    with FlopCounterMode(display=False) as counter:
        training.step(BATCH)
        training.step.next_positions.sub_(BATCH)
    kernels = kernels_of(lambda: training.step(BATCH), device)
    flat = training.optimizer.flat
    moved = 7 * flat.numel() * flat.element_size()  # four are read, three are written
    floor = max(counter.get_total_flops() / flops, moved / bandwidth)
    return (
        f"| {name} | {1e3 * whole:.2f} | {1e3 * (whole - update):.2f} | {1e3 * update:.2f} | {kernels} "
        f"| {counter.get_total_flops() / 1e9:.2f} | {1e3 * floor:.2f} | {whole / floor:.1f} × |"
    )
