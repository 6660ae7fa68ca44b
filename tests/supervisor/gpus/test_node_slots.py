"""Slots on the nodes of an allocation: this machine, n1, comes first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.gpus.models import Gpu, GpuReading
from pmssm.supervisor.gpus.node_slots import NodeShare, select_node_slots
from pmssm.supervisor.gpus.slot_selection import SlotRequest, SlotSelection
from pmssm.supervisor.gpus.visible_devices import GpuRequestError

NO_NVML = GpuReading(error="no driver", taken_at=0)
TWO_WITH_TWO = (NodeShare("n1", (0, 1), 4), NodeShare("n2", (2, 3), 5))


def nvml(count: int) -> GpuReading:
    return GpuReading(gpus=tuple(Gpu(index=index, uuid=f"GPU-{index}") for index in range(count)), taken_at=0)


def select(reading: GpuReading, *shares: NodeShare, width: int = 8, **options: object) -> SlotSelection:
    request = SlotRequest(width=width, preferred=(), **options)  # type: ignore[arg-type]
    return select_node_slots(reading, request, frozenset(), "n1", shares)


def names(selection: SlotSelection) -> list[str]:
    return [slot.name for slot in selection.slots]


def test_the_gpus_of_this_machine_come_first_and_those_of_other_nodes_by_what_slurm_has_granted() -> None:
    selection = select(nvml(2), *TWO_WITH_TWO)
    assert names(selection) == ["GPU 0", "GPU 1", "n2 GPU 2", "n2 GPU 3"]
    assert [slot.index for slot in selection.slots] == [0, 1, 2, 3] and selection.mode == "parallel"
    here, there = selection.slots[0], selection.slots[3]
    assert (here.node, here.gpu_uuid, here.granted, here.cores) == ("", "GPU-0", None, None)
    assert (there.node, there.gpu_uuid, there.granted, there.gpu_index, there.cores) == ("n2", None, (1, 2), 3, 2)


def test_without_nvml_the_grant_of_slurm_counts_on_this_machine_too() -> None:
    selection = select(NO_NVML, *TWO_WITH_TWO)
    assert names(selection) == ["GPU 0", "GPU 1", "n2 GPU 2", "n2 GPU 3"]
    assert [slot.granted for slot in selection.slots] == [(0, 2), (1, 2), (0, 2), (1, 2)]


def test_no_more_gpus_are_taken_than_the_plan_needs() -> None:
    assert names(select(nvml(2), *TWO_WITH_TWO, width=3)) == ["GPU 0", "GPU 1", "n2 GPU 2"]
    assert names(select(NO_NVML, *TWO_WITH_TWO, width=1)) == ["GPU 0"]


def test_indices_count_on_each_node_among_its_granted_gpus() -> None:
    assert names(select(nvml(2), *TWO_WITH_TWO, gpus="1")) == ["GPU 1", "n2 GPU 3"]
    assert names(select(NO_NVML, *TWO_WITH_TWO, gpus="1,0", width=1)) == ["GPU 1", "GPU 0", "n2 GPU 3", "n2 GPU 2"]


def test_an_index_that_a_node_does_not_have_is_named_with_the_node() -> None:
    with pytest.raises(GpuRequestError, match=r"--gpus 1: there is no GPU 1 on n2, which has 0$"):
        select(nvml(2), NodeShare("n1", (0, 1)), NodeShare("n2", (0,)), gpus="1")


def test_a_gpu_that_is_named_twice_is_refused() -> None:
    with pytest.raises(GpuRequestError, match="--gpus 1,01: a GPU is named twice"):
        select(NO_NVML, *TWO_WITH_TWO, gpus="1,01")


def test_one_node_without_gpu_says_why_its_runs_train_one_after_the_other() -> None:
    selection = select(NO_NVML, NodeShare("n1"))
    assert names(selection) == ["CPU"] and selection.reason == "GPUs cannot be read: no driver"


def test_uuids_name_gpus_of_this_machine_alone() -> None:
    selection = select(nvml(2), *TWO_WITH_TWO, gpus="GPU-1")
    assert names(selection) == ["GPU 1"] and "by their UUIDs" in selection.notes[-1]
    with pytest.raises(GpuRequestError, match="GPUs cannot be read"):
        select(NO_NVML, *TWO_WITH_TWO, gpus="GPU-1")


def test_a_node_without_gpu_is_left_out_where_another_has_one() -> None:
    selection = select(NO_NVML, NodeShare("n1"), NodeShare("n2", (0,)), NodeShare("n3"))
    assert names(selection) == ["n2 GPU 0"] and selection.mode == "sequential"
    assert [note.partition(":")[0] for note in selection.notes] == ["no run trains on n1", "no run trains on n3"]


def test_gpus_that_slurm_has_not_granted_get_a_note() -> None:
    selection = select(nvml(2), NodeShare("n1"))
    assert names(selection) == ["GPU 0", "GPU 1"] and "granted no GPU on n1" in selection.notes[-1]
    assert not select(nvml(2), *TWO_WITH_TWO).notes


def test_without_any_gpu_each_node_has_one_slot_on_its_cpu() -> None:
    selection = select(NO_NVML, NodeShare("n1", cores=8), NodeShare("n2", cores=8))
    assert names(selection) == ["CPU", "n2 CPU"] and selection.slots[1].cores == 8
    assert names(select(NO_NVML, *TWO_WITH_TWO, gpus="none")) == ["CPU", "n2 CPU"]


def test_cpu_slots_are_counted_per_node() -> None:
    selection = select(nvml(2), *TWO_WITH_TWO, cpu_slots=2)
    assert names(selection) == ["CPU slot 0", "CPU slot 1", "n2 CPU slot 0", "n2 CPU slot 1"]
    assert selection.slots[3].cores == 2


@pytest.mark.parametrize("reading", [nvml(2), NO_NVML])
def test_one_run_at_a_time_stays_on_this_machine(reading: GpuReading) -> None:
    selection = select(reading, *TWO_WITH_TWO, parallel=False)
    assert names(selection) == ["GPU 0"] and selection.reason == "--no-parallel asks for one run at a time"


def test_a_user_who_hides_all_gpus_here_trains_on_the_other_nodes() -> None:
    assert names(select(NO_NVML, *TWO_WITH_TWO, inherited="")) == ["n2 GPU 2", "n2 GPU 3"]


shares = st.builds(
    NodeShare, st.sampled_from(["n1", "n2", "n3"]), st.sampled_from([(), (0,), (0, 1), (2, 5, 7)]), st.integers(1, 9)
)


@given(
    st.sampled_from([NO_NVML, nvml(1), nvml(3)]),
    st.lists(shares, max_size=3, unique_by=lambda share: share.node),
    st.integers(1, 5),
    st.booleans(),
    st.none() | st.integers(1, 3),
)
def test_there_is_always_a_slot_and_no_gpu_has_two(
    reading: GpuReading, nodes: list[NodeShare], width: int, parallel: bool, cpu_slots: int | None
) -> None:
    parallel = parallel or cpu_slots is not None
    selection = select(reading, *nodes, width=width, parallel=parallel, cpu_slots=cpu_slots)
    assert [slot.index for slot in selection.slots] == list(range(len(selection.slots))) != []
    gpus = [(slot.node, slot.gpu_index) for slot in selection.slots if slot.gpu_index is not None]
    assert len(set(gpus)) == len(gpus) and (cpu_slots is not None or len(selection.slots) <= width)
    assert (selection.mode == "parallel") == (len(selection.slots) > 1) == (selection.reason == "")
    assert len({slot.gpu_index is None for slot in selection.slots}) == 1
