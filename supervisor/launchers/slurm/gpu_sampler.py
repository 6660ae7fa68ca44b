"""Process in a job that measures its GPUs, CPU and memory: `python -m …gpu_sampler FOLDER SHIM_PID`.

It is no child of the shim, which waits for all its descendants, and ends with the shim. Where a node's Python lacks
our package it does not start, and the job is not measured. Its file also shows that the job is alive.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Collection
from pathlib import Path

from ...files import read_object
from ...gpus.models import Gpu, GpuReading
from ...gpus.poller import GpuPoller
from ...gpus.visible_devices import visible_gpus
from ..process_tree import descendants
from ..process_usage import UsageMeter
from .samples import INTERVAL_S, Sample

NICENESS = 19  # the trainer comes first


def gpus_of_job(reading: GpuReading, visible: str | None, pids: Collection[int], run: str) -> GpuReading:
    """Return the reading with the GPUs of the job alone, and with its processes marked.

    Args:
        reading: All GPUs that NVML shows on the node.
        visible: CUDA_VISIBLE_DEVICES of the job; without it, the job may use all.
        pids: Processes of the job.
        run: Name of its run.
    """
    entries, _ = visible_gpus(reading, visible)
    ours = tuple(_marked(gpu, pids, run) for entry in entries for gpu in entry)
    return reading.model_copy(update={"gpus": ours})


def _marked(gpu: Gpu, pids: Collection[int], run: str) -> Gpu:
    if gpu.processes is None:
        return gpu
    processes = tuple(
        process.model_copy(update={"run": run}) if process.pid in pids else process for process in gpu.processes
    )
    return gpu.model_copy(update={"processes": processes})


def sample_until_end(folder: Path, shim: int) -> None:
    """Measure until the process `shim` has ended."""
    run = str((read_object(folder / "spec.json") or {}).get("run", ""))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    poller, meter = GpuPoller(interval_s=INTERVAL_S), UsageMeter()
    ended = select.poll()
    ended.register(os.pidfd_open(shim), select.POLLIN)
    wait_ms = 1000.0  # the first sample soon
    while not ended.poll(wait_ms):
        wait_ms = 1000 * INTERVAL_S
        pids = frozenset(process.pid for process in descendants([shim]))
        usage = meter.measure({run: pids})[run]
        reading = poller.latest()
        gpus = None if reading is None else gpus_of_job(reading, visible, pids, run)
        with contextlib.suppress(OSError):  # a full disk: the next sample may fit
            Sample(gpus=gpus, cpu_percent=usage.cpu_percent, memory_mib=usage.memory_mib).write(folder)


if __name__ == "__main__":
    os.nice(NICENESS)
    with contextlib.suppress(ProcessLookupError):  # the shim has ended already
        sample_until_end(Path(sys.argv[1]), int(sys.argv[2]))
    os._exit(0)  # the thread that reads the GPUs may hang in the driver
