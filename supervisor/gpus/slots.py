"""What a slot is, and what a run on it gets to see. Pure: no NVML, no files, no clock."""

from pydantic import BaseModel, ConfigDict

from .models import GpuReading


class Slot(BaseModel):
    """A place for runs: a GPU, or the CPU (then `gpu_index` and `gpu_uuid` are None).

    It holds one run at a time unless it is shared: then as many as expect at most `shared_mib` together.
    """

    model_config = ConfigDict(frozen=True)

    index: int
    gpu_index: int | None = None
    gpu_uuid: str | None = None
    name: str
    shared_mib: int | None = None


def cuda_environment(slot: Slot | None) -> dict[str, str]:
    """The variables that show a run its GPU and no other; a CPU slot, or no slot, sees no GPU."""
    if slot is None or slot.gpu_index is None:
        return {"CUDA_VISIBLE_DEVICES": ""}
    # A GPU whose UUID can't be read is named by index, which PCI_BUS_ID makes the same as NVML's.
    return {"CUDA_VISIBLE_DEVICES": slot.gpu_uuid or str(slot.gpu_index), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def available_slots(slots: tuple[Slot, ...] | None, reading: GpuReading | None) -> tuple[Slot, ...] | None:
    """The slots without those whose GPU was lost meanwhile; all of them where none is left, or nobody knows."""
    if not slots or reading is None or not reading.usable:
        return slots
    lost = _is_lost(slots, reading)
    return tuple(slot for slot in slots if slot not in lost) or slots


def lost_slot_warnings(slots: tuple[Slot, ...] | None, reading: GpuReading | None) -> list[str]:
    """A note on each slot whose GPU is no longer there, or no longer works, while NVML still tells of others."""
    if not slots or reading is None or not reading.gpus:
        return []
    lost = _is_lost(slots, reading)
    which = "runs start there all the same: no other slot is left" if len(lost) == len(slots) else "no run starts there"
    return [f"{slot.name} is lost; {which}" for slot in lost]


def _is_lost(slots: tuple[Slot, ...], reading: GpuReading) -> list[Slot]:
    working = {gpu.uuid for gpu in reading.usable}
    return [slot for slot in slots if slot.gpu_uuid is not None and slot.gpu_uuid not in working]


def free_memory(reading: GpuReading | None) -> dict[str, int]:
    """MiB that nobody holds, by the UUID of each GPU of which that is known."""
    gpus = reading.usable if reading else ()
    return {gpu.uuid: gpu.memory_free_mib for gpu in gpus if gpu.memory_free_mib is not None}
