"""Parser of `--gpus` and CUDA_VISIBLE_DEVICES, which name GPUs by index or UUID. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UserError
from .models import Gpu, GpuReading

# Values with which users and batch systems hide all GPUs on purpose.
_HIDDEN = {"", "-1", "NoDevFiles"}


class GpuRequestError(UserError):
    """A request for GPUs that cannot be used; the message is one line that names the option and what exists."""


def visible_gpus(reading: GpuReading, inherited: str | None) -> tuple[list[tuple[Gpu, ...]], list[str]]:
    """Return the GPUs that index 0, 1, … stands for, and notes for the log.

    CUDA_VISIBLE_DEVICES is read as CUDA does: the list ends before the first name that is not that of a GPU.

    Args:
        reading: The GPUs as NVML reports them.
        inherited: CUDA_VISIBLE_DEVICES; None if not set.

    Returns:
        For each index a GPU, or the MIG devices of one; broken GPUs are included.
    """
    indices = sorted({gpu.index for gpu in reading.gpus})
    physical = {index: tuple(gpu for gpu in reading.gpus if gpu.index == index) for index in indices}
    if inherited is None or not physical:
        return list(physical.values()), []
    visible: list[tuple[Gpu, ...]] = []
    for name in (part.strip() for part in inherited.split(",")):
        named = physical.get(int(name), ()) if _is_index(name) else tuple(_by_uuid(name, reading.gpus))
        if not named or (not _is_index(name) and len(named) > 1):
            note = f"CUDA_VISIBLE_DEVICES={inherited!r}: {name!r} is no GPU of this machine; it ends the list"
            return visible, [] if name in _HIDDEN else [note]
        if named not in visible:
            visible.append(named)
    return visible, []


def requested_gpus(
    requested: str, reading: GpuReading, visible: Sequence[tuple[Gpu, ...]], inherited: str | None
) -> list[Gpu]:
    """Return the GPUs that `--gpus` names, in its order.

    Args:
        requested: Value of `--gpus`.
        reading: The GPUs as NVML reports them.
        visible: For each index the GPUs that it stands for, as from `visible_gpus`.
        inherited: CUDA_VISIBLE_DEVICES; None if not set.

    Raises:
        GpuRequestError: The value is malformed, names a GPU twice, or names one that cannot be used.
    """
    option = f"--gpus {requested.strip() if requested.strip() and requested.isprintable() else repr(requested)}"
    names = [name.strip() for name in requested.split(",")]
    if not all(names):
        raise GpuRequestError(f"{option}: expected indices or UUIDs with commas between them, as in 1,2, or none")
    if not any(visible):
        raise GpuRequestError(f"{option}: {no_gpu_reason(reading, inherited)}")
    chosen: list[Gpu] = []
    for name in names:
        gpu = _one_gpu(name, option, visible, inherited)
        if gpu.error is not None:
            raise GpuRequestError(f"{option}: {gpu.label} cannot be used: {gpu.error}")
        if gpu in chosen:
            raise GpuRequestError(f"{option}: {gpu.label} is named twice")
        chosen.append(gpu)
    return chosen


def _one_gpu(name: str, option: str, visible: Sequence[tuple[Gpu, ...]], inherited: str | None) -> Gpu:
    """Return the GPU called `name` in `option`; raise GpuRequestError unless there is exactly one."""
    where = "this machine has" if inherited is None else f"CUDA_VISIBLE_DEVICES={inherited!r} leaves"
    if _is_index(name):
        found = visible[int(name)] if int(name) < len(visible) else ()
        exists = "0" if len(visible) == 1 else f"0-{len(visible) - 1}"
    elif name.startswith(("GPU-", "MIG-")) and name.isprintable():
        everything = [gpu for entry in visible for gpu in entry]
        found = tuple(_by_uuid(name, everything))
        exists = ", ".join(gpu.uuid for gpu in everything if gpu.uuid) or "none whose UUID can be read"
    else:
        raise GpuRequestError(f"{option}: {name!r} is neither an index nor a UUID (GPU-… or MIG-…)")
    if not found:
        raise GpuRequestError(f"{option}: there is no GPU {name}; {where} {exists}")
    if len(found) > 1:
        raise GpuRequestError(f"{option}: {name} could be any of {', '.join(gpu.uuid for gpu in found)}")
    return found[0]


def _by_uuid(name: str, gpus: Sequence[Gpu]) -> list[Gpu]:
    """Return the GPUs whose UUID is `name` or, as CUDA allows, begins with it."""
    if not name.startswith(("GPU-", "MIG-")):
        return []
    return [gpu for gpu in gpus if gpu.uuid == name] or [gpu for gpu in gpus if gpu.uuid.startswith(name)]


def _is_index(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 10


def hides_all(inherited: str | None) -> bool:
    """Return whether CUDA_VISIBLE_DEVICES hides every GPU on purpose."""
    return inherited is not None and inherited.split(",")[0].strip() in _HIDDEN


def no_gpu_reason(reading: GpuReading, inherited: str | None) -> str:
    """Return why no GPU can be used, in words."""
    if reading.error is not None:
        return f"GPUs cannot be read: {reading.error}"
    if not reading.gpus:
        return "the NVIDIA driver reports no GPU"
    if hides_all(inherited):
        return f"CUDA_VISIBLE_DEVICES={inherited!r} hides every GPU"
    if inherited is not None:
        return f"CUDA_VISIBLE_DEVICES={inherited!r} leaves no working GPU"
    return "; ".join(f"{gpu.label}: {gpu.error}" for gpu in sorted(reading.gpus, key=pci_order))


def pci_order(gpu: Gpu) -> tuple[int, int]:
    """Return the key that sorts GPUs in the order of the PCI bus."""
    return (gpu.index, -1 if gpu.mig_index is None else gpu.mig_index)
