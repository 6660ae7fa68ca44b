"""Selection of slots: rules one by one, then properties that hold for any machine."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pmssm.supervisor.gpus.models import Gpu, GpuProcess, GpuReading
from pmssm.supervisor.gpus.slot_selection import SlotRequest, SlotSelection, select_slots
from pmssm.supervisor.gpus.slots import Slot
from pmssm.supervisor.gpus.visible_devices import GpuRequestError

OTHER_PROCESS = (GpuProcess(pid=4242, memory_mib=700),)


def gpu(index: int, **fields: object) -> Gpu:
    """An idle GPU of 80 GB whose UUID begins with its index: GPU-0…, GPU-1…."""
    idle = {"memory_used_mib": 3, "memory_total_mib": 81559, "utilization_percent": 0, "processes": ()}
    return Gpu.model_validate({"index": index, "uuid": f"GPU-{index}aaa", "name": "NVIDIA Fake"} | idle | fields)


def mig(index: int, mig_index: int, **fields: object) -> Gpu:
    return gpu(index, mig_index=mig_index, uuid=f"MIG-{index}{mig_index}aa", **fields)


def reading(*gpus: Gpu, error: str | None = None) -> GpuReading:
    return GpuReading(gpus=gpus, error=error, taken_at=0)


def idle(count: int) -> GpuReading:
    return reading(*map(gpu, range(count)))


def select(
    machine: GpuReading, requested: str | None = None, own_pids: frozenset[int] = frozenset(), **options: object
) -> SlotSelection:
    return select_slots(machine, SlotRequest(gpus=requested, **options), own_pids)  # type: ignore[arg-type]


def chosen(machine: GpuReading, requested: str | None = None, **options: object) -> list[int | None]:
    """The indices of the GPUs chosen."""
    return [slot.gpu_index for slot in select(machine, requested, **options).slots]


def refusal(machine: GpuReading, requested: str, **options: object) -> str:
    with pytest.raises(GpuRequestError) as caught:
        select(machine, requested, **options)
    return str(caught.value)


# Without a request


def test_two_runs_train_on_gpus_1_and_2() -> None:
    selection = select(idle(8))
    assert selection.slots == (
        Slot(index=0, gpu_index=1, gpu_uuid="GPU-1aaa", name="GPU 1"),
        Slot(index=1, gpu_index=2, gpu_uuid="GPU-2aaa", name="GPU 2"),
    )
    assert (selection.mode, selection.notes, selection.reason) == ("parallel", (), "")


def test_of_two_gpus_the_preferred_one_comes_first() -> None:
    assert chosen(idle(2)) == [1, 0]


def test_one_gpu_means_one_run_at_a_time() -> None:
    selection = select(idle(1))
    assert [slot.name for slot in selection.slots] == ["GPU 0"]
    assert (selection.mode, selection.reason) == ("sequential", "GPU 0 is the only GPU to use")


def test_no_gpu_means_the_cpu() -> None:
    selection = select(reading())
    assert selection.slots == (Slot(index=0, name="CPU"),)
    assert (selection.mode, selection.reason) == ("sequential", "the NVIDIA driver reports no GPU")


def test_without_nvml_the_reason_is_nvmls() -> None:
    assert select(reading(error="no driver: install it")).reason == "GPUs cannot be read: no driver: install it"


def test_no_parallel_takes_the_best_gpu_alone() -> None:
    selection = select(idle(3), parallel=False)
    assert [slot.gpu_index for slot in selection.slots] == [1]
    assert (selection.mode, selection.reason) == ("sequential", "--no-parallel asks for one run at a time")


def test_no_parallel_goes_to_the_second_preferred_gpu_when_the_first_is_taken() -> None:
    assert chosen(reading(gpu(0), gpu(1, processes=OTHER_PROCESS), gpu(2)), parallel=False) == [2]


def test_a_preferred_gpu_in_use_is_replaced_by_the_idlest_other_one_and_keeps_its_place() -> None:
    machine = reading(gpu(0, memory_used_mib=500), gpu(1, processes=OTHER_PROCESS), gpu(2), gpu(3))
    selection = select(machine)
    assert [slot.gpu_index for slot in selection.slots] == [3, 2]
    assert selection.notes == ("GPU 1 is in use by 1 other process",)


def test_the_idlest_has_most_free_memory_then_least_utilisation_then_the_lowest_index() -> None:
    taken = [gpu(1, processes=OTHER_PROCESS), gpu(2, processes=OTHER_PROCESS)]
    busy, calm, also_calm = gpu(0, utilization_percent=9), gpu(3), gpu(4)
    assert chosen(reading(busy, *taken, calm, also_calm)) == [3, 4]
    assert chosen(reading(gpu(0), *taken, gpu(3, memory_used_mib=900), gpu(4, memory_used_mib=None))) == [0, 3]


def test_a_lost_gpu_is_replaced_and_named() -> None:
    selection = select(reading(gpu(0), Gpu(index=1, error="GPU is lost"), gpu(2)))
    assert [slot.gpu_index for slot in selection.slots] == [0, 2]
    assert selection.notes == ("GPU 1 is left out: GPU is lost",)


def test_if_every_gpu_is_lost_the_cpu_trains_and_says_why() -> None:
    selection = select(reading(Gpu(index=1, error="needs a reset"), Gpu(index=0, error="GPU is lost")))
    assert [slot.name for slot in selection.slots] == ["CPU"]
    assert selection.reason == "GPU 0: GPU is lost; GPU 1: needs a reset"


def test_one_free_gpu_among_others_in_use_is_used_alone() -> None:
    selection = select(reading(gpu(0), gpu(1, processes=OTHER_PROCESS), gpu(2, processes=OTHER_PROCESS)))
    assert [slot.gpu_index for slot in selection.slots] == [0]
    assert (selection.mode, selection.reason) == ("sequential", "GPU 0 is the only free GPU")


def test_when_none_is_free_the_idlest_is_used_and_a_note_says_so() -> None:
    machine = reading(
        gpu(0, processes=OTHER_PROCESS, memory_used_mib=900), gpu(1, processes=OTHER_PROCESS, memory_used_mib=9000)
    )
    selection = select(machine)
    assert [slot.gpu_index for slot in selection.slots] == [0]
    assert selection.mode == "sequential"
    assert selection.notes[-1] == "no GPU is free; GPU 0, the idlest, is used"


def test_our_own_processes_do_not_make_a_gpu_in_use() -> None:
    machine = reading(gpu(0), gpu(1, processes=OTHER_PROCESS, memory_used_mib=9000), gpu(2))
    assert chosen(machine, own_pids=frozenset({4242})) == [1, 2]


@pytest.mark.parametrize("processes", [None, ()])
@pytest.mark.parametrize(("used", "total"), [(1025, 81559), (300, 2048)])
def test_held_memory_means_in_use_where_a_container_hides_the_processes(
    processes: tuple[GpuProcess, ...] | None, used: int, total: int
) -> None:
    held = gpu(1, processes=processes, memory_used_mib=used, memory_total_mib=total)
    assert chosen(reading(gpu(0), held, gpu(2))) == [0, 2]


def test_unknown_processes_and_little_memory_held_mean_free() -> None:
    assert chosen(reading(*(gpu(index, processes=None, memory_used_mib=600) for index in range(3)))) == [1, 2]


def test_a_gpu_without_room_for_the_largest_run_is_not_free() -> None:
    selection = select(reading(gpu(0), gpu(1, memory_total_mib=1200), gpu(2)), needed_mib=1500)
    assert [slot.gpu_index for slot in selection.slots] == [0, 2]
    assert selection.notes == ("GPU 1 has only 1197 MiB free of the 1500 MiB needed",)


def test_mig_devices_of_one_gpu_can_be_two_slots() -> None:
    selection = select(reading(mig(0, 0), mig(0, 1)))
    assert [slot.gpu_uuid for slot in selection.slots] == ["MIG-00aa", "MIG-01aa"]
    assert [slot.name for slot in selection.slots] == ["GPU 0 MIG 0", "GPU 0 MIG 1"]
    assert selection.mode == "parallel"


# With CUDA_VISIBLE_DEVICES set


@pytest.mark.parametrize(
    ("inherited", "expected"),
    [
        ("0,3", [0, 3]),
        ("3,2,1", [1, 2]),
        ("3", [3]),
        ("GPU-3,GPU-2", [3, 2]),
        (" 2 , 0 ", [0, 2]),
        ("2,2", [2]),
        ("2,-1,1", [2]),
        ("2,nonsense,1", [2]),
    ],
)
def test_only_inherited_gpus_are_candidates(inherited: str, expected: list[int]) -> None:
    assert chosen(idle(4), inherited=inherited) == expected


@pytest.mark.parametrize("inherited", ["", "-1", "NoDevFiles"])
def test_a_variable_that_hides_all_gpus_means_the_cpu(inherited: str) -> None:
    selection = select(idle(3), inherited=inherited)
    assert [slot.name for slot in selection.slots] == ["CPU"]
    assert (selection.reason, selection.notes) == (f"CUDA_VISIBLE_DEVICES={inherited!r} hides every GPU", ())
    assert refusal(idle(3), "0", inherited=inherited) == f"--gpus 0: CUDA_VISIBLE_DEVICES={inherited!r} hides every GPU"


def test_an_inherited_name_that_is_no_gpu_is_noted() -> None:
    selection = select(idle(3), inherited="1,7,2")
    assert [slot.gpu_index for slot in selection.slots] == [1]
    assert selection.notes == ("CUDA_VISIBLE_DEVICES='1,7,2': '7' is no GPU of this machine; it ends the list",)


def test_an_inherited_mig_device_and_its_gpu_are_not_taken_twice() -> None:
    assert chosen(reading(mig(0, 0)), inherited="0,MIG-00") == [0]


# With --gpus


@pytest.mark.parametrize(
    ("requested", "expected"),
    [("2,0", [2, 0]), ("0", [0]), ("GPU-2,GPU-0aaa", [2, 0]), (" 3 , GPU-1 ", [3, 1]), ("0,1,2,3", [0, 1, 2, 3])],
)
def test_as_many_slots_as_gpus_named_in_that_order(requested: str, expected: list[int]) -> None:
    selection = select(idle(4), requested)
    assert [slot.gpu_index for slot in selection.slots] == expected
    assert selection.mode == ("parallel" if len(expected) > 1 else "sequential")


def test_one_gpu_named_is_why_runs_go_one_after_the_other() -> None:
    assert select(idle(4), "3").reason == "--gpus 3 names one GPU"


def test_no_parallel_takes_the_first_gpu_named() -> None:
    assert chosen(idle(4), "3,1", parallel=False) == [3]


@pytest.mark.parametrize("requested", ["none", " None "])
def test_none_means_the_cpu(requested: str) -> None:
    selection = select(idle(4), requested)
    assert [slot.name for slot in selection.slots] == ["CPU"]
    assert selection.reason == "--gpus none asks for the CPU"


def test_several_cpu_slots_are_taken_where_they_are_asked_for_even_beside_free_gpus() -> None:
    selection = select(idle(2), cpu_slots=3)
    assert [(slot.index, slot.gpu_index, slot.name) for slot in selection.slots] == [
        (0, None, "CPU slot 0"),
        (1, None, "CPU slot 1"),
        (2, None, "CPU slot 2"),
    ]
    assert (selection.mode, selection.reason, selection.notes) == ("parallel", "", ())


def test_one_cpu_slot_is_one_run_at_a_time() -> None:
    selection = select(idle(2), cpu_slots=1, requested="none")
    assert [slot.name for slot in selection.slots] == ["CPU"]
    assert (selection.mode, selection.reason) == ("sequential", "--cpu-slots 1 asks for one run at a time")


def test_indices_count_within_the_inherited_variable() -> None:
    assert chosen(idle(4), "0,1", inherited="3,2") == [3, 2]
    assert refusal(idle(4), "2", inherited="3,2") == (
        "--gpus 2: there is no GPU 2; CUDA_VISIBLE_DEVICES='3,2' leaves 0-1"
    )


def test_a_uuid_outside_the_inherited_variable_is_refused() -> None:
    assert refusal(idle(4), "GPU-1", inherited="3,2") == (
        "--gpus GPU-1: there is no GPU GPU-1; CUDA_VISIBLE_DEVICES='3,2' leaves GPU-3aaa, GPU-2aaa"
    )


def test_a_lost_gpu_still_counts_as_an_index() -> None:
    machine = reading(Gpu(index=0, error="GPU is lost"), gpu(1))
    assert chosen(machine, "1") == [1]
    assert refusal(machine, "0") == "--gpus 0: GPU 0 cannot be used: GPU is lost"


def test_a_gpu_in_use_may_be_pinned_and_is_noted() -> None:
    selection = select(reading(gpu(0), gpu(1, processes=OTHER_PROCESS * 2)), "1,0")
    assert [slot.gpu_index for slot in selection.slots] == [1, 0]
    assert selection.notes == ("GPU 1 is in use by 2 other processes; --gpus selects it all the same",)


def test_mig_devices_are_named_by_uuid_or_by_the_index_of_a_gpu_with_one() -> None:
    machine = reading(gpu(0), mig(1, 0), mig(1, 1), mig(2, 0))
    assert [slot.gpu_uuid for slot in select(machine, "MIG-11,2,0").slots] == ["MIG-11aa", "MIG-20aa", "GPU-0aaa"]
    assert refusal(machine, "1") == "--gpus 1: 1 could be any of MIG-10aa, MIG-11aa"


@pytest.mark.parametrize(
    ("requested", "message"),
    [
        ("7", "--gpus 7: there is no GPU 7; this machine has 0-3"),
        ("1,1", "--gpus 1,1: GPU 1 is named twice"),
        ("1,GPU-1", "--gpus 1,GPU-1: GPU 1 is named twice"),
        ("GPU-1,GPU-1aaa", "--gpus GPU-1,GPU-1aaa: GPU 1 is named twice"),
        (
            "GPU-9",
            "--gpus GPU-9: there is no GPU GPU-9; this machine has GPU-0aaa, GPU-1aaa, GPU-2aaa, GPU-3aaa",
        ),
        ("GPU-", "--gpus GPU-: GPU- could be any of GPU-0aaa, GPU-1aaa, GPU-2aaa, GPU-3aaa"),
        ("cuda:1", "--gpus cuda:1: 'cuda:1' is neither an index nor a UUID (GPU-… or MIG-…)"),
        ("-1", "--gpus -1: '-1' is neither an index nor a UUID (GPU-… or MIG-…)"),
        ("none,1", "--gpus none,1: 'none' is neither an index nor a UUID (GPU-… or MIG-…)"),
        ("", "--gpus '': expected indices or UUIDs with commas between them, as in 1,2, or none"),
        ("1,", "--gpus 1,: expected indices or UUIDs with commas between them, as in 1,2, or none"),
        ("1\n", "--gpus '1\\n': there is no GPU 1; this machine has 0"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_line_that_says_what_exists(requested: str, message: str) -> None:
    assert refusal(idle(1 if "\n" in requested else 4), requested) == message


def test_a_request_without_any_gpu_says_why_there_is_none() -> None:
    assert refusal(reading(error="no driver: install it"), "1") == (
        "--gpus 1: GPUs cannot be read: no driver: install it"
    )


def test_a_gpu_without_a_uuid_is_a_slot_without_one() -> None:
    assert select(reading(gpu(0, uuid=""))).slots[0].gpu_uuid is None


# Properties

maybe_size = st.none() | st.integers(0, 90000)
processes = st.none() | st.lists(st.builds(GpuProcess, pid=st.integers(1, 3)), max_size=2).map(tuple)
gpu_values = st.fixed_dictionaries(
    {
        "memory_used_mib": maybe_size,
        "memory_total_mib": maybe_size,
        "utilization_percent": st.none() | st.integers(0, 100),
        "processes": processes,
        "error": st.none() | st.none() | st.just("GPU is lost"),
        "split": st.integers(0, 3),
    }
)


def machine_of(all_values: list[dict[str, object]]) -> GpuReading:
    gpus: list[Gpu] = []
    for index, values in enumerate(all_values):
        split = values["split"]
        assert isinstance(split, int)
        rest = {key: value for key, value in values.items() if key != "split"}
        gpus += [mig(index, part, **rest) for part in range(split)] or [gpu(index, **rest)]
    return reading(*gpus)


machines = st.lists(gpu_values, max_size=5).map(machine_of)
names = st.sampled_from(["0", "1", "2", "3", "4", "9", "-1", "x", *(f"GPU-{i}" for i in range(4)), "MIG-00", "MIG-1"])
id_lists = st.lists(names, max_size=4).map(",".join) | st.sampled_from(["", "none", "NoDevFiles"]) | st.text(max_size=6)
options = st.fixed_dictionaries(
    {
        "inherited": st.none() | id_lists,
        "parallel": st.booleans(),
        "own_pids": st.frozensets(st.integers(1, 3)),
        "needed_mib": st.integers(0, 3000),
    }
)


def ids(selection: SlotSelection) -> list[str]:
    return [slot.gpu_uuid for slot in selection.slots if slot.gpu_uuid is not None]


@given(machines, st.none() | id_lists, options)
def test_slots_are_distinct_usable_gpus_of_this_machine_or_one_cpu(
    machine: GpuReading, requested: str | None, opts: dict[str, object]
) -> None:
    try:
        selection = select(machine, requested, **opts)
    except GpuRequestError as error:
        assert requested is not None
        assert str(error).startswith("--gpus ")
        assert "\n" not in str(error)
        return
    assert [slot.index for slot in selection.slots] == list(range(len(selection.slots)))
    assert len(set(ids(selection))) == len(ids(selection))
    assert set(ids(selection)) <= {one.uuid for one in machine.usable}
    assert ids(selection) or [slot.name for slot in selection.slots] == ["CPU"]
    assert (selection.mode == "parallel") == (len(selection.slots) > 1) == (selection.reason == "")
    if not opts["parallel"]:
        assert len(selection.slots) == 1


@given(machines, st.lists(st.integers(0, 5), max_size=4), options)
def test_slots_are_among_the_inherited_gpus(machine: GpuReading, inherited: list[int], opts: dict[str, object]) -> None:
    selection = select(machine, **(opts | {"inherited": ",".join(map(str, inherited))}))
    assert {slot.gpu_index for slot in selection.slots} <= {*inherited, None}


@given(machines, options, st.randoms())
def test_the_selection_does_not_depend_on_the_order_of_the_reading(
    machine: GpuReading, opts: dict[str, object], random: Random
) -> None:
    shuffled = list(machine.gpus)
    random.shuffle(shuffled)
    assert select(machine, **opts) == select(reading(*shuffled), **opts)


@given(machines, options)
def test_free_gpus_are_never_passed_over_for_ones_in_use(machine: GpuReading, opts: dict[str, object]) -> None:
    selection = select(machine, **opts)
    noted = [
        slot.name
        for slot in selection.slots
        if any(note.startswith(f"{slot.name} is in use") for note in selection.notes)
    ]
    assert not noted or len(selection.slots) == 1


# Sharing


def test_a_shared_gpu_holds_what_is_free_on_it() -> None:
    selection = select(idle(1), share=True, needed_mib=800)
    assert [slot.shared_mib for slot in selection.slots] == [81556]
    assert (selection.mode, selection.reason) == ("parallel", "")
    assert selection.notes == ("GPU 0 is shared by runs that expect at most 81556 MiB together",)


def test_what_our_own_runs_hold_counts_as_free_for_them_and_what_others_hold_does_not() -> None:
    machine = reading(gpu(0, memory_used_mib=5000, processes=(GpuProcess(pid=1, memory_mib=1000), *OTHER_PROCESS)))
    selection = select(machine, share=True, own_pids=frozenset({1}), needed_mib=800)
    assert [slot.shared_mib for slot in selection.slots] == [81559 - 5000 + 1000]


def test_a_gpu_without_room_for_two_runs_is_no_parallel_training() -> None:
    selection = select(reading(gpu(0, memory_used_mib=80000)), share=True, needed_mib=800)
    assert selection.mode == "sequential"
    assert selection.reason.endswith("and GPU 0 has no room for two of the largest run")


def test_a_gpu_that_hides_its_memory_is_shared_by_nobody() -> None:
    selection = select(reading(gpu(0, memory_used_mib=None)), share=True, needed_mib=800)
    assert [slot.shared_mib for slot in selection.slots] == [None]
    assert selection.mode == "sequential"
    assert selection.notes == ("GPU 0 does not report its free memory, so it holds one run at a time",)


def test_the_cpu_is_shared_by_nobody() -> None:
    assert select(reading(), share=True) == select(reading())
