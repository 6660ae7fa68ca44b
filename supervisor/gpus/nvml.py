"""Readings of NVML through pynvml. No error of NVML leaves this module.

`poller` imports it at the first reading, because pynvml is slow to import.
"""

import logging
import os
import pwd
import re
import time
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, TypeVar

import pynvml

from .models import Gpu, GpuProcess, GpuReading

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_MIB = 1024 * 1024

# Why no GPU can be read: the problem, then the remedy.
_NO_NVML = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: (
        "NVIDIA's library libnvidia-ml.so.1 was not found: install the NVIDIA driver, "
        "or start the container with access to the GPUs"
    ),
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: (
        "the NVIDIA driver is not loaded: load it (sudo modprobe nvidia) or restart the machine"
    ),
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "NVIDIA's library and its kernel module have different versions, as after a driver update: restart the machine"
    ),
    pynvml.NVML_ERROR_NO_PERMISSION: "no permission to use the NVIDIA driver: get access to /dev/nvidia*",
}
# Errors after which no value of a GPU is valid until NVML is initialized again.
_OUT_OF_ORDER = {
    pynvml.NVML_ERROR_UNINITIALIZED: "the NVIDIA driver went away while it was being read",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver went away while it was being read",
    pynvml.NVML_ERROR_GPU_IS_LOST: "GPU is lost: it fell off the bus or was switched off; restart the machine",
    pynvml.NVML_ERROR_RESET_REQUIRED: "GPU needs a reset: run nvidia-smi --gpu-reset or restart the machine",
}


class Nvml:
    """NVML, initialized at the first reading and again after an error; kept between, since that is slow."""

    def __init__(self) -> None:
        self._started = False

    def read(self) -> GpuReading:
        """Read all GPUs; blocks for as long as the driver does."""
        taken_at = time.time()
        try:
            if not self._started:
                pynvml.nvmlInit()
                self._started = True
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            self.close()
            reason = _NO_NVML.get(error.value, f"NVML failed ({error}): see what nvidia-smi and dmesg say")
            return GpuReading(error=reason, taken_at=taken_at)
        gpus = tuple(gpu for index in range(count) for gpu in _read_gpu(index))
        if any(gpu.error for gpu in gpus):
            self.close()  # so that the next reading sees a driver or GPU that has come back
        return GpuReading(gpus=gpus, taken_at=taken_at)

    def close(self) -> None:
        """Release the driver, if NVML is initialized."""
        if not self._started:
            return
        self._started = False
        try:
            pynvml.nvmlShutdown()
        except pynvml.NVMLError as error:
            log.debug("NVML did not shut down: %s", error)


def _read_gpu(index: int) -> Iterator[Gpu]:
    """Read the GPU at `index`, or its MIG devices if MIG mode is on."""
    identity: dict[str, Any] = {"index": index}
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        identity |= _identity(handle)
        mode = _value(lambda: pynvml.nvmlDeviceGetMigMode(handle))
        sensors = _sensors(handle)
        if mode is not None and mode[0] == pynvml.NVML_DEVICE_MIG_ENABLE:
            yield from _read_mig_devices(index, handle, identity, sensors)
            return
        utilization = _value(lambda: int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu))
        yield Gpu(**identity, **sensors, **_contents(handle), utilization_percent=utilization)
    except pynvml.NVMLError as error:
        yield Gpu(**identity, error=_OUT_OF_ORDER.get(error.value, f"NVML cannot reach this GPU ({error})"))


def _read_mig_devices(index: int, parent: object, identity: dict[str, Any], sensors: dict[str, Any]) -> Iterator[Gpu]:
    """Read the MIG devices of the GPU at `index`; yield the GPU itself, with an error, if it has none."""
    found = False
    for mig_index in range(_value(lambda: int(pynvml.nvmlDeviceGetMaxMigDeviceCount(parent))) or 0):
        handle = _value(partial(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, parent, mig_index))
        if handle is None:  # no MIG device was created at this index
            continue
        found = True
        device = _identity(handle)
        error = None if device["uuid"] else "its UUID cannot be read, and CUDA knows a MIG device by no other name"
        yield Gpu(index=index, mig_index=mig_index, **device, **sensors, **_contents(handle), error=error)
    if not found:
        yield Gpu(
            **identity, **sensors, error="MIG mode is on but there is no MIG device: create one or switch MIG off"
        )


def _identity(handle: object) -> dict[str, Any]:
    uuid = _value(lambda: _text(lambda: pynvml.nvmlDeviceGetUUID(handle))) or ""
    name = _value(lambda: _text(lambda: pynvml.nvmlDeviceGetName(handle))) or "unknown GPU"
    # A comma or space in a UUID would make it a list of GPUs in CUDA_VISIBLE_DEVICES.
    return {"uuid": re.sub(r"[^A-Za-z0-9/-]", "", uuid)[:80], "name": name[:64]}


def _sensors(handle: object) -> dict[str, Any]:
    """Read temperature (°C) and power (W) of a whole GPU."""
    sensor = pynvml.NVML_TEMPERATURE_GPU
    return {
        "temperature_c": _value(
            lambda: int(pynvml.nvmlDeviceGetTemperatureV(handle, sensor)),
            lambda: int(pynvml.nvmlDeviceGetTemperature(handle, sensor)),
        ),
        "power_w": _value(lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000),
    }


def _contents(handle: object) -> dict[str, Any]:
    """Read memory (MiB) and computing processes of a GPU or MIG device."""
    memory = _value(
        lambda: pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2),
        lambda: pynvml.nvmlDeviceGetMemoryInfo(handle),
    )
    processes = _value(
        lambda: pynvml.nvmlDeviceGetComputeRunningProcesses_v3(handle),
        lambda: pynvml.nvmlDeviceGetComputeRunningProcesses_v2(handle),
    )
    fields: dict[str, Any] = {}
    if memory is not None:
        fields |= {"memory_used_mib": _mib(memory.used), "memory_total_mib": _mib(memory.total)}
    if processes is not None:
        fields["processes"] = tuple(
            GpuProcess(pid=one.pid, memory_mib=_mib(one.usedGpuMemory), user=_owner(one.pid)) for one in processes
        )
    return fields


def _owner(pid: int) -> str:
    """Return the name of the owner of a process; "" in a container that hides it."""
    try:
        return _user_name(os.stat(f"/proc/{pid}").st_uid)  # noqa: PTH116
    except OSError:
        return ""


@lru_cache
def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _mib(size: int | None) -> int | None:
    return None if size is None else size // _MIB


def _value(*calls: Callable[[], _T]) -> _T | None:
    """Return the result of the first of `calls` that the driver supports, newest form first; None if of none.

    Raises:
        NVMLError: The whole GPU does not work.
    """
    for call in calls:
        try:
            return call()
        except pynvml.NVMLError as error:
            if error.value in _OUT_OF_ORDER:
                raise
    return None


def _text(call: Callable[[], str]) -> str:
    """Return the text of `call` for a screen: bad bytes replaced, invisible characters removed."""
    try:
        text = call()
    except UnicodeDecodeError as error:  # pynvml decodes strictly
        text = error.object.decode(errors="replace")
    return "".join(character for character in text if character.isprintable())
