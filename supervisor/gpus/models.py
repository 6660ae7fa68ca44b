"""What NVML says about the GPUs, as plain values; no error of NVML's ever leaves this module.

`read_gpus()` reads once, `GpuPoller` keeps a fresh reading from a thread of its own. What NVML does not
know, or fails to tell, is None and is shown as "n/a"; a GPU that is out of order says so in `Gpu.error`.
Importing this module does not import pynvml: that happens at the first reading.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

log = logging.getLogger(__name__)


class GpuProcess(BaseModel):
    """A process that computes on a GPU; `memory_mib` (MiB) is None where the driver does not tell.

    `user` is its owner, "" where the system does not tell; `run` is the run that it belongs to, "" for others.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    memory_mib: int | None = None
    user: str = ""
    run: str = ""


class Gpu(BaseModel):
    """One GPU, or one MIG device of a GPU, at one moment; None means unknown.

    `index` is NVML's, which is the order of the PCI bus; a MIG device has its GPU's index and a `mig_index`
    of its own. `uuid` is "" when it could not be had. `processes` lists computing processes alone, and is
    empty for everybody inside a container that hides pids. A MIG device has no utilisation (NVML keeps
    none) and shows its whole GPU's temperature and power.
    """

    model_config = ConfigDict(frozen=True)

    index: int
    uuid: str = ""
    name: str = ""
    mig_index: int | None = None
    utilization_percent: int | None = None
    memory_used_mib: int | None = None
    memory_total_mib: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    error: str | None = None
    processes: tuple[GpuProcess, ...] | None = None

    @property
    def label(self) -> str:
        """The short name a user reads: `GPU 1`, or `GPU 1 MIG 0`."""
        return f"GPU {self.index}" if self.mig_index is None else f"GPU {self.index} MIG {self.mig_index}"

    @property
    def memory_free_mib(self) -> int | None:
        """Memory nobody holds (MiB), None if unknown."""
        if self.memory_total_mib is None or self.memory_used_mib is None:
            return None
        return max(0, self.memory_total_mib - self.memory_used_mib)


class GpuReading(BaseModel):
    """All GPUs at one moment. `error` is one sentence (what is wrong, what to do) when NVML can't be had."""

    model_config = ConfigDict(frozen=True)

    gpus: tuple[Gpu, ...] = ()
    error: str | None = None
    taken_at: float  # when the reading began: seconds since the epoch

    @property
    def usable(self) -> tuple[Gpu, ...]:
        """The GPUs a run can be given: those in order."""
        return tuple(gpu for gpu in self.gpus if gpu.error is None)


def read_gpus(timeout_s: float = 30.0) -> GpuReading:
    """The GPUs as they are now. Never raises; a driver that is silent for `timeout_s` is an error in the reading."""
    readings: queue.SimpleQueue[GpuReading] = queue.SimpleQueue()
    poller = GpuPoller(interval_s=timeout_s, on_reading=readings.put)
    try:
        return readings.get(timeout=timeout_s)
    except queue.Empty:
        reason = f"the NVIDIA driver does not answer (waited {timeout_s:g} s): see what dmesg says"
        return GpuReading(error=reason, taken_at=time.time())
    finally:
        poller.stop(wait_s=1.0)


class GpuPoller:
    """The latest reading, kept fresh by a daemon thread, so that no caller ever waits for the driver.

    Polling starts at once. `on_reading` is called in the thread with each reading; an asyncio program passes
    `lambda reading: loop.call_soon_threadsafe(handle, reading)`. While a call of NVML's hangs, `latest()`
    stays what it was and `age()` grows.
    """

    def __init__(self, interval_s: float = 2.0, on_reading: Callable[[GpuReading], object] | None = None) -> None:
        self._interval_s = interval_s
        self._on_reading = on_reading
        self._latest: tuple[float, GpuReading] | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="gpu-poller", daemon=True)
        self._thread.start()

    def latest(self) -> GpuReading | None:
        """The newest reading; None until the first one is complete."""
        return None if self._latest is None else self._latest[1]

    def age(self, now: float) -> float | None:
        """Seconds from the beginning of the newest reading to `now` (`time.monotonic()`); None before the first."""
        return None if self._latest is None else now - self._latest[0]

    def stop(self, wait_s: float = 0.0) -> None:
        """Ends the polling; waits at most `wait_s` for the thread, which may hang in the driver."""
        self._stopped.set()
        self._thread.join(wait_s)

    def _poll(self) -> None:
        try:
            from .nvml import Nvml  # noqa: PLC0415 - imports pynvml, which nobody pays for before the first reading
        except ImportError as error:
            reason = f"nvidia-ml-py cannot be imported ({error}): install it"
            self._publish(GpuReading(error=reason, taken_at=time.time()), time.monotonic())
            return
        nvml = Nvml()
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                self._publish(nvml.read(), began)
            except Exception:  # a thread that ends without a word would leave stale figures for ever
                log.exception("a reading of the GPUs failed")
            self._stopped.wait(self._interval_s)
        nvml.close()

    def _publish(self, reading: GpuReading, began: float) -> None:
        self._latest = (began, reading)
        if self._on_reading is not None and not self._stopped.is_set():
            self._on_reading(reading)
