"""What NVML says about the GPUs, as plain values; no error of NVML's ever leaves this module.

`read_gpus()` reads once, `GpuPoller` keeps a fresh reading from a thread of its own. What NVML does not
know, or fails to tell, is None and is shown as "n/a"; a GPU that is out of order says so in `Gpu.error`.
Importing this module does not import pynvml: that happens at the first reading.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_MIB = 1024 * 1024

# nvmlReturn_t; written out because pynvml is imported late.
_UNINITIALIZED = 1
_NO_PERMISSION = 4
_DRIVER_NOT_LOADED = 9
_LIBRARY_NOT_FOUND = 12
_GPU_IS_LOST = 15
_RESET_REQUIRED = 16
_LIB_RM_VERSION_MISMATCH = 18

# Why there are no GPUs at all: what is wrong, then what to do about it.
_NO_NVML = {
    _LIBRARY_NOT_FOUND: "NVIDIA's library libnvidia-ml.so.1 was not found: install the NVIDIA driver, "
    "or start the container with access to the GPUs",
    _DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded: load it (sudo modprobe nvidia) or restart the machine",
    _LIB_RM_VERSION_MISMATCH: "NVIDIA's library and its kernel module have different versions, as after a driver "
    "update: restart the machine",
    _NO_PERMISSION: "no permission to talk to the NVIDIA driver: ask for access to /dev/nvidia*",
}
# Errors after which nothing a GPU says can be used, until NVML is started afresh.
_OUT_OF_ORDER = {
    _UNINITIALIZED: "the NVIDIA driver went away while it was being read",
    _DRIVER_NOT_LOADED: "the NVIDIA driver went away while it was being read",
    _GPU_IS_LOST: "GPU is lost: it fell off the bus or was switched off; restart the machine",
    _RESET_REQUIRED: "GPU needs a reset: run nvidia-smi --gpu-reset or restart the machine",
}


class GpuProcess(BaseModel):
    """A process that computes on a GPU; `memory_mib` (MiB) is None where the driver does not tell."""

    model_config = ConfigDict(frozen=True)

    pid: int
    memory_mib: int | None = None


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


def read_gpus() -> GpuReading:
    """The GPUs as they are now. Never raises; takes as long as the driver does."""
    nvml = _Nvml()
    try:
        return nvml.read()
    finally:
        nvml.close()


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
        threading.Thread(target=self._poll, name="gpu-poller", daemon=True).start()

    def latest(self) -> GpuReading | None:
        """The newest reading; None until the first one is complete."""
        return None if self._latest is None else self._latest[1]

    def age(self, now: float) -> float | None:
        """Seconds from the beginning of the newest reading to `now` (`time.monotonic()`); None before the first."""
        return None if self._latest is None else now - self._latest[0]

    def stop(self) -> None:
        """Ends the polling without waiting for it: the thread may hang in the driver."""
        self._stopped.set()

    def _poll(self) -> None:
        nvml = _Nvml()
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                reading = nvml.read()
                self._latest = (began, reading)
                if self._on_reading is not None and not self._stopped.is_set():
                    self._on_reading(reading)
            except Exception:  # a thread that ends without a word would leave stale figures for ever
                log.exception("a reading of the GPUs failed")
            self._stopped.wait(self._interval_s)
        nvml.close()


class _Nvml:
    """NVML, started at the first reading and kept, since starting it is slow; started afresh after trouble."""

    def __init__(self) -> None:
        self._api: ModuleType | None = None

    def read(self) -> GpuReading:
        taken_at = time.time()
        try:
            import pynvml  # noqa: PLC0415 - a machine without GPUs and `--help` do without it
        except ImportError as error:
            return GpuReading(error=f"nvidia-ml-py cannot be imported ({error}): install it", taken_at=taken_at)
        try:
            if self._api is None:
                pynvml.nvmlInit()
                self._api = pynvml
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            self.close()
            reason = _NO_NVML.get(error.value, f"NVML failed ({error}): see what nvidia-smi and dmesg say")
            return GpuReading(error=reason, taken_at=taken_at)
        gpus = tuple(gpu for index in range(count) for gpu in _read_gpu(pynvml, index))
        if any(gpu.error for gpu in gpus):
            self.close()  # so that the next reading sees a driver or GPU that has come back
        return GpuReading(gpus=gpus, taken_at=taken_at)

    def close(self) -> None:
        api, self._api = self._api, None
        if api is None:
            return
        try:
            api.nvmlShutdown()
        except api.NVMLError as error:
            log.debug("NVML would not shut down: %s", error)


def _read_gpu(api: ModuleType, index: int) -> Iterator[Gpu]:
    """The GPU at `index`, or its MIG devices where it is split into such."""
    identity: dict[str, Any] = {"index": index}
    try:
        handle = api.nvmlDeviceGetHandleByIndex(index)
        identity |= _identity(api, handle)
        mode = _figure(api, lambda: api.nvmlDeviceGetMigMode(handle))
        sensors = _sensors(api, handle)
        if mode is not None and mode[0] == api.NVML_DEVICE_MIG_ENABLE:
            yield from _read_mig_devices(api, index, handle, identity, sensors)
            return
        utilization = _figure(api, lambda: int(api.nvmlDeviceGetUtilizationRates(handle).gpu))
        yield Gpu(**identity, **sensors, **_contents(api, handle), utilization_percent=utilization)
    except api.NVMLError as error:
        yield Gpu(**identity, error=_OUT_OF_ORDER.get(error.value, f"NVML cannot reach this GPU ({error})"))


def _read_mig_devices(
    api: ModuleType, index: int, parent: object, identity: dict[str, Any], sensors: dict[str, Any]
) -> Iterator[Gpu]:
    """The MIG devices of the GPU at `index`; the GPU itself, with an error, when it has none."""
    found = False
    for mig_index in range(_figure(api, lambda: int(api.nvmlDeviceGetMaxMigDeviceCount(parent))) or 0):
        handle = _figure(api, partial(api.nvmlDeviceGetMigDeviceHandleByIndex, parent, mig_index))
        if handle is None:  # a place where no MIG device has been made
            continue
        found = True
        name = _identity(api, handle)
        error = (
            None if name["uuid"] else "the UUID of this MIG device cannot be read, and CUDA knows it by no other name"
        )
        yield Gpu(index=index, mig_index=mig_index, **name, **sensors, **_contents(api, handle), error=error)
    if not found:
        yield Gpu(**identity, **sensors, error="MIG mode is on but there is no MIG device: make one or switch MIG off")


def _identity(api: ModuleType, handle: object) -> dict[str, Any]:
    uuid = _figure(api, lambda: _text(lambda: api.nvmlDeviceGetUUID(handle))) or ""
    name = _figure(api, lambda: _text(lambda: api.nvmlDeviceGetName(handle))) or "unknown GPU"
    # A comma or space in a UUID would be read as a list of GPUs by whoever gets it in CUDA_VISIBLE_DEVICES.
    return {"uuid": re.sub(r"[^A-Za-z0-9/-]", "", uuid)[:80], "name": name[:64]}


def _sensors(api: ModuleType, handle: object) -> dict[str, Any]:
    """Temperature (°C) and power (W) of a whole GPU."""
    sensor = api.NVML_TEMPERATURE_GPU
    return {
        "temperature_c": _figure(
            api,
            lambda: int(api.nvmlDeviceGetTemperatureV(handle, sensor)),
            lambda: int(api.nvmlDeviceGetTemperature(handle, sensor)),
        ),
        "power_w": _figure(api, lambda: api.nvmlDeviceGetPowerUsage(handle) / 1000),
    }


def _contents(api: ModuleType, handle: object) -> dict[str, Any]:
    """Memory (MiB) and computing processes of a GPU or MIG device."""
    memory = _figure(
        api,
        lambda: api.nvmlDeviceGetMemoryInfo(handle, version=api.nvmlMemory_v2),
        lambda: api.nvmlDeviceGetMemoryInfo(handle),
    )
    processes = _figure(
        api,
        lambda: api.nvmlDeviceGetComputeRunningProcesses_v3(handle),
        lambda: api.nvmlDeviceGetComputeRunningProcesses_v2(handle),
    )
    return {
        "memory_used_mib": _mib(memory and memory.used),
        "memory_total_mib": _mib(memory and memory.total),
        "processes": None
        if processes is None
        else tuple(GpuProcess(pid=one.pid, memory_mib=_mib(one.usedGpuMemory)) for one in processes),
    }


def _mib(size: int | None) -> int | None:
    return None if size is None else size // _MIB


def _figure(api: ModuleType, *calls: Callable[[], _T]) -> _T | None:
    """The answer of the first of `calls`, newest form first, that this driver gives; None if it gives none.

    Raises NVMLError when the GPU is out of order as a whole.
    """
    for call in calls:
        try:
            return call()
        except api.NVMLError as error:
            if error.value in _OUT_OF_ORDER:
                raise
    return None


def _text(call: Callable[[], str]) -> str:
    """The text `call` gives, bad bytes replaced, invisible characters removed: it ends up on screens."""
    try:
        text = call()
    except UnicodeDecodeError as error:  # pynvml decodes strictly
        text = error.object.decode(errors="replace")
    return "".join(character for character in text if character.isprintable())
