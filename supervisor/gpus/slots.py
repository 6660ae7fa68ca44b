"""Slots, and the GPU that a run on a slot sees. Pure: no NVML, no files, no clock."""

from pydantic import BaseModel, ConfigDict

from .models import GpuReading


class Slot(BaseModel):
    """A resource on which runs train: one GPU, or a share of the CPU.

    A slot holds one run at a time unless it is shared.

    Attributes:
        index: Number of the slot, from 0.
        gpu_index: NVML index; None for the CPU. On another machine it is the index that Slurm names.
        gpu_uuid: UUID of the GPU; None for the CPU, or if it could not be read.
        name: Name on screens: `GPU 1`, `CPU`; `CPU slot 3` if the CPU has several slots.
        shared_mib: If set, the slot holds several runs whose expected memory sums up to at most this many MiB.
        node: The machine, another node of the allocation of Slurm; "" for this one.
        granted: Position of the GPU among those that Slurm has granted on its machine, from 0, and their number; None
            for a GPU that NVML names.
        cores: Cores of another machine for one run; None where that is not known, and for this machine.
    """

    model_config = ConfigDict(frozen=True)

    index: int
    gpu_index: int | None = None
    gpu_uuid: str | None = None
    name: str
    shared_mib: int | None = None
    node: str = ""
    granted: tuple[int, int] | None = None
    cores: int | None = None


def cuda_environment(slot: Slot | None) -> dict[str, str]:
    """Return the variables that limit a run to the GPU of its slot; a CPU slot, or no slot, sees no GPU.

    Those for a GPU that Slurm has granted depend on the variables that Slurm has set: see `device_variables`.
    """
    if slot is not None and slot.granted is not None:
        return {}
    if slot is None or slot.gpu_index is None:
        return {"CUDA_VISIBLE_DEVICES": ""}
    # Without a UUID the index must do; with PCI_BUS_ID, CUDA counts as NVML does.
    return {"CUDA_VISIBLE_DEVICES": slot.gpu_uuid or str(slot.gpu_index), "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def available_slots(slots: tuple[Slot, ...] | None, reading: GpuReading | None) -> tuple[Slot, ...] | None:
    """Return the slots whose GPU still works; all of them if none is left, or if NVML cannot be read."""
    if not slots or reading is None or not reading.usable:
        return slots
    lost = _lost_slots(slots, reading)
    return tuple(slot for slot in slots if slot not in lost) or slots


def lost_slot_warnings(slots: tuple[Slot, ...] | None, reading: GpuReading | None) -> list[str]:
    """Return a warning for each slot whose GPU is gone or broken, while NVML still lists other GPUs."""
    if not slots or reading is None or not reading.gpus:
        return []
    lost = _lost_slots(slots, reading)
    effect = "runs still start there: no other slot is left" if len(lost) == len(slots) else "no run starts there"
    return [f"{slot.name} is lost; {effect}" for slot in lost]


def _lost_slots(slots: tuple[Slot, ...], reading: GpuReading) -> list[Slot]:
    working = {gpu.uuid for gpu in reading.usable}
    return [slot for slot in slots if slot.gpu_uuid is not None and slot.gpu_uuid not in working]


def free_memory(reading: GpuReading | None) -> dict[str, int]:
    """Return the free memory of each GPU, MiB, by UUID; GPUs of which it is unknown are left out."""
    gpus = reading.usable if reading else ()
    return {gpu.uuid: gpu.memory_free_mib for gpu in gpus if gpu.memory_free_mib is not None}
