"""Profile of one optimizer step: `python benchmarks/train_step.py --profile`.

The lower limit is the larger of two times: the arithmetic at the rate of a large matrix product on this
machine, in the precision of the body, and the bytes that must move (parameters, gradients and moments once
each way) at the rate of a large copy. On a GPU the kernels of a step, launched one by one, are listed too.
"""

from __future__ import annotations

import os
import statistics
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple

import torch
from pmssm.trainers.models.recipes import RECIPES
from pmssm.trainers.precision import Precision, choose_precision
from pmssm.trainers.signals import StopRequest
from pmssm.trainers.training.kernel_recorder import KernelRecorder
from pmssm.trainers.training.kernel_replay import StoragePool, record
from pmssm.trainers.training.loop import Trainer
from pmssm.trainers.training.state import TrainingConfig
from pmssm.trainers.training.step import TrainingData
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity
from torch.profiler import profile as profiling
from torch.utils.flop_counter import FlopCounterMode

BATCH = 256
LARGEST = 10
"""Kernels of a model that are listed."""


def profile(models: list[str], device_name: str, precision: str, threads: int | None) -> bool:
    """Print a table with one row per model, and on a GPU the kernels that take the most time.

    Returns:
        Whether all models could be profiled.
    """
    device = torch.device(device_name)
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    torch.set_flush_denormal(True)  # as the trainers do
    chosen = choose_precision(precision, device)
    flops, bandwidth = rates(device, chosen)
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, load average {os.getloadavg()[0]:.2f}",
        f"{flops / 1e9:.0f} GFLOP/s in a product of 2048 × 2048 in {chosen}, {bandwidth / 1e9:.1f} GB/s in a copy",
        "",
        "| model | ms/step | passes | update | kernels | their ms | GFLOP | floor ms | of the floor |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        sep="\n",
        flush=True,
    )
    largest, is_complete = [], True
    for name in models:
        try:
            text, kernels = row(name, settings_of(name, chosen), device, flops=flops, bandwidth=bandwidth)
        except Exception:  # the next model is to be profiled in any case
            traceback.print_exc()
            is_complete = False
            continue
        print(text, flush=True)
        largest += [f"| {name} | {kernel.name[:90]} | {kernel.launches} | {kernel.us:.0f} |" for kernel in kernels]
    if largest:
        print("\n| model | kernel | launches | µs |\n| --- | --- | --- | --- |", *largest, sep="\n", flush=True)
    return is_complete


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
    """Return the optimizer's part of a step as trainings run it: replayed, on a GPU as a graph."""
    update: Callable[[], object] = training.optimizer.step
    return captured(update) if device.type == "cuda" else record(update, StoragePool()).play


def captured(task: Callable[[], object]) -> Callable[[], object]:
    """Return a function that replays `task` as a CUDA graph."""
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        task()
    torch.cuda.current_stream().wait_stream(stream)
    with torch.cuda.graph(graph, stream=stream):
        task()
    return graph.replay


class Kernel(NamedTuple):
    """A kernel of a step: how often it is launched, and how long all launches take, µs."""

    name: str
    launches: int
    us: float


def kernels_of(step: Callable[[], object], device: torch.device) -> list[Kernel]:
    """Return the kernels of a step, those that take the most time first; on a CPU without names and times."""
    if device.type == "cpu":
        with KernelRecorder() as recorder:
            step()
        return [Kernel("", sum(call.computes for call in recorder.calls), 0.0)]
    step()
    with profiling(activities=[ProfilerActivity.CUDA]) as profiled:
        step()
    events = [event for event in profiled.key_averages() if event.device_type == DeviceType.CUDA]
    found = [Kernel(event.key, event.count, event.self_device_time_total) for event in events]
    return sorted(found, key=lambda kernel: -kernel.us)


def rates(device: torch.device, precision: Precision) -> tuple[float, float]:
    """Return the FLOP/s of a large matrix product and the byte/s of a large copy."""
    kind = torch.bfloat16 if precision is Precision.BF16 else torch.float32
    square, block = torch.randn(2048, 2048, device=device, dtype=kind), torch.randn(2**26, device=device)
    return 2 * 2048**3 / seconds(lambda: square @ square, device), 2 * 4 * 2**26 / seconds(block.clone, device)


def row(
    name: str, settings: TrainingConfig, device: torch.device, *, flops: float, bandwidth: float
) -> tuple[str, list[Kernel]]:
    """Return a row of the table, and the kernels with the largest times."""
    inputs, targets = torch.randn(4 * BATCH, 19, device=device), torch.randn(4 * BATCH, device=device)

    training = Trainer(
        [RECIPES[name].build().to(device)], TrainingData(inputs, targets, inputs, targets), settings, stop=StopRequest()
    )
    training.step.start_epoch([settings.seed], 0, 0)

    def step(take: Callable[[int], object]) -> None:
        take(BATCH)
        training.step.next_positions.sub_(BATCH)

    whole = seconds(lambda: step(training.take_step), device)
    update = seconds(update_of(training, device), device)
    with FlopCounterMode(display=False) as counter:
        step(training.step)
    kernels = kernels_of(lambda: step(training.step), device)
    count, busy = sum(kernel.launches for kernel in kernels), sum(kernel.us for kernel in kernels) / 1e3
    flat = training.optimizer.flat
    moved = 7 * flat.numel() * flat.element_size()  # four are read, three are written
    floor = max(counter.get_total_flops() / flops, moved / bandwidth)
    text = (
        f"| {name} | {1e3 * whole:.3f} | {1e3 * (whole - update):.3f} | {1e3 * update:.3f} "
        f"| {count} | {f'{busy:.3f}' if busy else '–'} "
        f"| {counter.get_total_flops() / 1e9:.2f} | {1e3 * floor:.3f} | {whole / floor:.1f} × |"
    )
    return text, kernels[:LARGEST] if busy else []
