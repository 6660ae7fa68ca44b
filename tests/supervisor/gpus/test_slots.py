"""Slots: the environment of a run on one, and slots whose GPU is lost."""

import pytest
from pmssm.supervisor.gpus.models import Gpu, GpuReading
from pmssm.supervisor.gpus.slots import Slot, cuda_environment, lost_slot_warnings


def gpu(index: int) -> Gpu:
    return Gpu(index=index, uuid=f"GPU-{index}aaa")


def reading(*gpus: Gpu, error: str | None = None) -> GpuReading:
    return GpuReading(gpus=gpus, error=error, taken_at=0)


# The environment of a run


def test_a_run_sees_its_gpu_by_uuid_and_no_other() -> None:
    slot = Slot(index=0, gpu_index=1, gpu_uuid="GPU-1aaa", name="GPU 1")
    assert cuda_environment(slot) == {"CUDA_VISIBLE_DEVICES": "GPU-1aaa", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def test_a_run_sees_a_gpu_without_a_uuid_by_index() -> None:
    slot = Slot(index=0, gpu_index=0, name="GPU 0")
    assert cuda_environment(slot) == {"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


@pytest.mark.parametrize("slot", [None, Slot(index=0, name="CPU")])
def test_a_run_without_a_gpu_sees_none(slot: Slot | None) -> None:
    assert cuda_environment(slot) == {"CUDA_VISIBLE_DEVICES": ""}


# Lost GPUs


def test_a_slot_whose_gpu_is_lost_or_gone_has_a_note_as_long_as_nvml_lists_others() -> None:
    slots = tuple(Slot(index=n, gpu_index=n, gpu_uuid=f"GPU-{n}aaa", name=f"GPU {n}") for n in (1, 2))
    assert lost_slot_warnings(slots, reading(gpu(0), gpu(1), gpu(2))) == []
    assert lost_slot_warnings(slots, reading(gpu(0), gpu(1))) == ["GPU 2 is lost; no run starts there"]
    there = "runs still start there: no other slot is left"
    assert lost_slot_warnings(slots, reading(gpu(0))) == [f"GPU 1 is lost; {there}", f"GPU 2 is lost; {there}"]
    assert (
        lost_slot_warnings(slots, reading(error="no driver"))
        == lost_slot_warnings(slots, None)
        == lost_slot_warnings(None, None)
        == []
    )
    assert lost_slot_warnings((Slot(index=0, name="CPU"),), reading(gpu(0))) == []
