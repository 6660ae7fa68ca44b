"""Background polling of the GPUs, and one reading with a deadline."""

import logging
import queue
import threading
import time
from collections.abc import Callable

from .models import GpuReading

log = logging.getLogger(__name__)


def read_gpus(timeout_s: float = 30.0) -> GpuReading:
    """Read all GPUs once. Never raises.

    Args:
        timeout_s: Seconds after which a driver that does not answer is an error in the reading.
    """
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
    """The latest reading, refreshed by a daemon thread, so that no caller ever waits for the driver.

    Polling starts at once. While an NVML call hangs, `latest()` stays the same and `age()` grows.

    Args:
        interval_s: Seconds between two readings.
        on_reading: Called in the thread with each reading; an asyncio program passes
            `lambda reading: loop.call_soon_threadsafe(handle, reading)`.
    """

    def __init__(self, interval_s: float = 2.0, on_reading: Callable[[GpuReading], object] | None = None) -> None:
        self._interval_s = interval_s
        self._on_reading = on_reading
        self._latest: tuple[float, GpuReading] | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="gpu-poller", daemon=True)
        self._thread.start()

    def latest(self) -> GpuReading | None:
        """Return the newest reading; None until the first one is complete."""
        return None if self._latest is None else self._latest[1]

    def age(self, now: float) -> float | None:
        """Return the age of the newest reading at `now` (`time.monotonic()`), s; None before the first."""
        return None if self._latest is None else now - self._latest[0]

    def stop(self, wait_s: float = 0.0) -> None:
        """Stop polling; wait at most `wait_s` seconds for the thread, which may hang in the driver."""
        self._stopped.set()
        self._thread.join(wait_s)

    def _poll(self) -> None:
        try:
            from .nvml import Nvml  # noqa: PLC0415 - imports pynvml, needed only from the first reading on
        except ImportError as error:
            reason = f"nvidia-ml-py cannot be imported ({error}): install it"
            self._publish(GpuReading(error=reason, taken_at=time.time()), time.monotonic())
            return
        nvml = Nvml()
        while not self._stopped.is_set():
            started = time.monotonic()
            try:
                self._publish(nvml.read(), started)
            except Exception:  # a thread that ended silently would leave the last reading for ever
                log.exception("a reading of the GPUs failed")
            self._stopped.wait(self._interval_s)
        nvml.close()

    def _publish(self, reading: GpuReading, started: float) -> None:
        self._latest = (started, reading)
        if self._on_reading is not None and not self._stopped.is_set():
            self._on_reading(reading)
