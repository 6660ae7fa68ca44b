"""read_gpus and GpuPoller for all answers of NVML, through the real pynvml and a fake library."""

import os
import pwd
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from pmssm.supervisor.gpus.models import Gpu, GpuProcess, GpuReading
from pmssm.supervisor.gpus.poller import read_gpus
from support.fake_nvml import FakeNvml, fake_gpu

READER = """
import sys
from pmssm.supervisor.gpus import read_gpus
for _ in sys.stdin:
    print(read_gpus().model_dump_json(), flush=True)
"""

POLLER = """
import sys, time
from pmssm.supervisor.gpus.poller import GpuPoller
poller = GpuPoller(0.02)
for _ in sys.stdin:
    reading = poller.latest()
    print(reading.model_dump_json() if reading else "", flush=True)
    print(poller.age(time.monotonic()) or 0, flush=True)
poller.stop()
"""

DEADLINE_S = 30


class Program:
    """A Python program that answers a line with lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def request_line(self) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.next_line()

    def next_line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def reading(self) -> GpuReading:
        return GpuReading.model_validate_json(self.request_line())

    def gpus(self) -> tuple[Gpu, ...]:
        """The GPUs, without the owners of processes: a made-up pid may be anybody's."""
        return tuple(_without_owners(gpu) for gpu in self.reading().gpus)


def _without_owners(gpu: Gpu) -> Gpu:
    if not gpu.processes:
        return gpu
    return gpu.model_copy(update={"processes": tuple(p.model_copy(update={"user": ""}) for p in gpu.processes)})


@contextmanager
def program(code: str, env: dict[str, str]) -> Iterator[Program]:
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Program(process)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def machine(fake_nvml: Callable[..., FakeNvml]) -> FakeNvml:
    return fake_nvml()


@pytest.fixture(scope="module")
def reader(machine: FakeNvml) -> Iterator[Program]:
    """One process reads for all tests: that is faster, and no test's trouble may outlast it."""
    with program(READER, machine.env) as one:
        yield one


def test_every_figure_of_a_gpu_is_read_in_its_unit(machine: FakeNvml, reader: Program) -> None:
    machine.set(
        fake_gpu(0, used_mib=800, total_mib=81559, utilization=93, temperature=61, power_mw=312500, processes={42: 797})
    )
    assert reader.gpus() == (
        Gpu(
            index=0,
            uuid="GPU-00000000-0000-4000-8000-000000000000",
            name="NVIDIA Fake H100",
            utilization_percent=93,
            memory_used_mib=800,
            memory_total_mib=81559,
            temperature_c=61,
            power_w=312.5,
            processes=(GpuProcess(pid=42, memory_mib=797),),
        ),
    )


def test_a_reading_says_when_it_was_taken(machine: FakeNvml, reader: Program) -> None:
    machine.set()
    before = time.time()
    assert before <= reader.reading().taken_at <= time.time()


def test_a_driver_without_gpus_is_no_error(machine: FakeNvml, reader: Program) -> None:
    machine.set()
    assert (reader.reading().gpus, reader.reading().error) == ((), None)


@pytest.mark.parametrize(
    ("function", "figure"),
    [
        ("nvmlDeviceGetUtilizationRates", "utilization_percent"),
        ("nvmlDeviceGetPowerUsage", "power_w"),
    ],
)
@pytest.mark.parametrize("error", ["NOT_SUPPORTED", "NO_PERMISSION", "TIMEOUT", "FUNCTION_NOT_FOUND", "UNKNOWN"])
def test_an_error_spoils_one_figure_of_one_gpu(
    machine: FakeNvml, reader: Program, function: str, figure: str, error: str
) -> None:
    machine.set(fake_gpu(0), fake_gpu(1, errors={function: error}))
    whole, spoiled = reader.gpus()
    assert spoiled.error is None
    assert spoiled == whole.model_copy(update={"index": 1, "uuid": spoiled.uuid, figure: None})


def test_a_uuid_or_name_that_cannot_be_read_leaves_the_gpu_usable(machine: FakeNvml, reader: Program) -> None:
    machine.set(fake_gpu(0, errors={"nvmlDeviceGetUUID": "UNKNOWN", "nvmlDeviceGetName": "UNKNOWN"}))
    (gpu,) = reader.reading().usable
    assert (gpu.uuid, gpu.name, gpu.memory_used_mib) == ("", "unknown GPU", 3)


def test_an_older_driver_answers_the_older_calls(machine: FakeNvml, reader: Program) -> None:
    newer = ["nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetTemperatureV"]
    machine.set(fake_gpu(0, processes={42: 7}, errors=dict.fromkeys(newer, "FUNCTION_NOT_FOUND")))
    (gpu,) = reader.gpus()
    assert (gpu.memory_used_mib, gpu.temperature_c, gpu.processes) == (3, 40, (GpuProcess(pid=42, memory_mib=7),))


@pytest.mark.parametrize("error", ["INSUFFICIENT_SIZE", "NO_PERMISSION", "NOT_SUPPORTED"])
def test_processes_are_unknown_where_the_list_cannot_be_had(machine: FakeNvml, reader: Program, error: str) -> None:
    lists = [f"nvmlDeviceGetComputeRunningProcesses_v{version}" for version in (2, 3)]
    machine.set(fake_gpu(0, processes={42: 7}, errors=dict.fromkeys(lists, error)))
    assert [gpu.processes for gpu in reader.gpus()] == [None]


def test_no_process_and_unknown_processes_are_distinguished(machine: FakeNvml, reader: Program) -> None:
    machine.set(fake_gpu(0, used_mib=9000))
    assert [gpu.processes for gpu in reader.gpus()] == [()]


def test_processes_come_with_the_name_of_their_user(machine: FakeNvml, reader: Program) -> None:
    machine.set(fake_gpu(0, processes={os.getpid(): 5, 2**22 + 1: 5}))
    (gpu,) = reader.reading().gpus
    assert [process.user for process in gpu.processes or ()] == [pwd.getpwuid(os.getuid()).pw_name, ""]


def test_the_memory_of_a_process_can_be_unknown(machine: FakeNvml, reader: Program) -> None:
    machine.set(fake_gpu(0, processes=dict.fromkeys(range(1, 200))))
    (gpu,) = reader.gpus()
    assert gpu.processes == tuple(GpuProcess(pid=pid, memory_mib=None) for pid in range(1, 200))


@pytest.mark.parametrize("function", ["*", "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetPowerUsage"])
def test_a_lost_gpu_is_listed_as_lost_and_the_others_go_on(machine: FakeNvml, reader: Program, function: str) -> None:
    machine.set(fake_gpu(0), fake_gpu(1, errors={function: "GPU_IS_LOST"}), fake_gpu(2))
    first, lost, last = reader.gpus()
    assert first.error is last.error is None
    assert lost.error is not None
    assert lost.error.startswith("GPU is lost")
    assert (lost.index, lost.memory_used_mib, lost.temperature_c, lost.processes) == (1, None, None, None)


@pytest.mark.parametrize("error", ["NO_PERMISSION", "INSUFFICIENT_POWER", "IRQ_ISSUE", "RESET_REQUIRED", "UNKNOWN"])
def test_a_gpu_without_a_handle_still_appears_by_index(machine: FakeNvml, reader: Program, error: str) -> None:
    machine.set(fake_gpu(0), fake_gpu(1, errors={"nvmlDeviceGetHandleByIndex_v2": error}))
    reading = reader.reading()
    assert [gpu.index for gpu in reading.gpus] == [0, 1]
    assert [gpu.index for gpu in reading.usable] == [0]
    assert reading.gpus[1].error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("DRIVER_NOT_LOADED", "the NVIDIA driver is not loaded: load it (sudo modprobe nvidia) or restart"),
        ("LIB_RM_VERSION_MISMATCH", "different versions, as after a driver update: restart the machine"),
        ("LIBRARY_NOT_FOUND", "libnvidia-ml.so.1 was not found: install the NVIDIA driver"),
        ("NO_PERMISSION", "no permission to use the NVIDIA driver: get access"),
        ("UNKNOWN", "NVML failed (Unknown Error): see what nvidia-smi"),
    ],
)
@pytest.mark.parametrize("function", ["nvmlInitWithFlags", "nvmlDeviceGetCount_v2"])
def test_a_driver_in_trouble_is_one_sentence_with_a_remedy(
    machine: FakeNvml, reader: Program, function: str, error: str, expected: str
) -> None:
    machine.set(fake_gpu(0), errors={function: error})
    reading = reader.reading()
    assert reading.gpus == ()
    assert reading.error is not None
    assert expected in reading.error
    assert "\n" not in reading.error
    machine.set(fake_gpu(0))
    assert reader.reading().error is None


def test_a_shutdown_that_fails_harms_nothing(machine: FakeNvml, reader: Program) -> None:
    machine.set(fake_gpu(0), errors={"nvmlShutdown": "UNKNOWN"})
    assert reader.reading().error is None


def test_no_library_is_one_sentence_with_a_remedy(env_without_nvml: dict[str, str]) -> None:
    with program(READER, env_without_nvml) as reader:
        reading = reader.reading()
    assert reading.gpus == ()
    assert reading.error is not None
    assert "libnvidia-ml.so.1 was not found: install the NVIDIA driver" in reading.error


def test_this_machine_can_be_read_whatever_it_has() -> None:
    assert isinstance(read_gpus(), GpuReading)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"\x1b[31mRed\x1b[0m \x07GPU", "[31mRed[0m GPU"),
        (b"bad \xff\xfe bytes", "bad \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} bytes"),
        ("right\N{RIGHT-TO-LEFT OVERRIDE}left\N{ZERO WIDTH SPACE}\x9b".encode(), "rightleft"),
        (b"[/red]", "[/red]"),
        (b"x" * 90, "x" * 64),
    ],
)
def test_a_name_is_made_harmless(machine: FakeNvml, reader: Program, raw: bytes, shown: str) -> None:
    machine.set(fake_gpu(0, name=raw))
    assert [gpu.name for gpu in reader.gpus()] == [shown]


def test_a_uuid_can_never_become_a_list_of_gpus(machine: FakeNvml, reader: Program) -> None:
    machine.set(fake_gpu(0, uuid="GPU-1, GPU-2\t\x1b[0m"))
    assert [gpu.uuid for gpu in reader.gpus()] == ["GPU-1GPU-20m"]


def test_mig_devices_take_the_place_of_their_gpu(machine: FakeNvml, reader: Program) -> None:
    parts = (fake_gpu(0, uuid="MIG-a", total_mib=9728, processes={42: 100}), None, fake_gpu(0, uuid="MIG-b"))
    machine.set(fake_gpu(0), fake_gpu(1, mig=parts, temperature=55))
    whole, first, second = map(_without_owners, reader.reading().usable)
    assert (whole.label, first.label, second.label) == ("GPU 0", "GPU 1 MIG 0", "GPU 1 MIG 2")
    assert (first.uuid, first.memory_total_mib, first.processes) == (
        "MIG-a",
        9728,
        (GpuProcess(pid=42, memory_mib=100),),
    )
    assert (first.temperature_c, first.utilization_percent) == (55, None)


def test_a_gpu_in_mig_mode_without_mig_devices_is_not_usable(machine: FakeNvml, reader: Program) -> None:
    machine.set(fake_gpu(0, mig=(None, None)))
    (gpu,) = reader.gpus()
    assert gpu.error == "MIG mode is on but there is no MIG device: create one or switch MIG off"


def test_a_mig_device_without_a_uuid_is_not_usable(machine: FakeNvml, reader: Program) -> None:
    machine.set(fake_gpu(0, mig=(fake_gpu(0, uuid="MIG-a", errors={"nvmlDeviceGetUUID": "UNKNOWN"}),)))
    assert reader.reading().usable == ()


def poll_until(poller: Program, condition: Callable[[GpuReading, float], bool]) -> GpuReading:
    """Return the first reading that fulfils `condition`; fail after the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        latest, age = poller.request_line(), float(poller.next_line())
        if latest and condition(reading := GpuReading.model_validate_json(latest), age):
            return reading
    raise AssertionError(f"not within {DEADLINE_S} s")


def test_figures_go_stale_while_a_call_hangs_and_recover_after_it(fake_nvml: Callable[..., FakeNvml]) -> None:
    fake = fake_nvml(gpus=1)
    with program(POLLER, fake.env) as poller:
        poll_until(poller, lambda reading, _: len(reading.gpus) == 1)
        fake.set(fake_gpu(0, utilization=50, hangs={"nvmlDeviceGetPowerUsage": 3600}))
        stale = poll_until(poller, lambda _, age: age > 1)
        assert stale.gpus[0].utilization_percent == 0
        fake.set(fake_gpu(0, utilization=60))
        poll_until(poller, lambda reading, age: reading.gpus[0].utilization_percent == 60 and age < 1)


def test_nothing_waits_for_a_driver_that_hangs_from_the_start(fake_nvml: Callable[..., FakeNvml]) -> None:
    fake = fake_nvml(gpus=1)
    fake.set(fake_gpu(0), hangs={"nvmlInitWithFlags": 3600})
    code = POLLER + "print('ended', flush=True)"
    with program(code, fake.env) as poller:
        assert (poller.request_line(), poller.next_line()) == ("", "0")


def test_a_single_reading_does_not_wait_for_ever_either(fake_nvml: Callable[..., FakeNvml]) -> None:
    fake = fake_nvml(gpus=1)
    fake.set(fake_gpu(0), hangs={"nvmlInitWithFlags": 3600})
    with program(READER.replace("read_gpus()", "read_gpus(timeout_s=0.1)"), fake.env) as reader:
        reading = reader.reading()
    assert reading.error == "the NVIDIA driver does not answer (waited 0.1 s): see what dmesg says"


def test_a_program_ends_though_its_poller_hangs(fake_nvml: Callable[..., FakeNvml]) -> None:
    fake = fake_nvml(gpus=1)
    fake.set(fake_gpu(0), hangs={"nvmlInitWithFlags": 3600})
    program = [sys.executable, "-c", POLLER]
    subprocess.run(program, env=fake.env, input="\n", text=True, timeout=DEADLINE_S, check=True)


def test_a_gpu_that_comes_back_is_seen_again(fake_nvml: Callable[..., FakeNvml]) -> None:
    """As with the real NVML, a lost GPU stays lost until NVML is started afresh."""
    fake = fake_nvml(gpus=2)
    with program(POLLER, fake.env) as poller:
        poll_until(poller, lambda reading, _: len(reading.usable) == 2)
        fake.set(fake_gpu(0), fake_gpu(1, errors={"*": "GPU_IS_LOST"}))
        poll_until(poller, lambda reading, _: len(reading.usable) == 1)
        fake.set(fake_gpu(0), fake_gpu(1))
        poll_until(poller, lambda reading, _: len(reading.usable) == 2)


def test_a_driver_that_goes_away_and_comes_back_is_seen(fake_nvml: Callable[..., FakeNvml]) -> None:
    fake = fake_nvml(gpus=1)
    with program(POLLER, fake.env) as poller:
        poll_until(poller, lambda reading, _: len(reading.usable) == 1)
        gone = dict.fromkeys(("nvmlInitWithFlags", "nvmlDeviceGetCount_v2"), "DRIVER_NOT_LOADED")
        fake.set(errors=gone)
        poll_until(poller, lambda reading, _: reading.error is not None and "not loaded" in reading.error)
        fake.set(fake_gpu(0))
        poll_until(poller, lambda reading, _: len(reading.usable) == 1)


def test_gpus_renumbered_between_polls_keep_their_uuids(fake_nvml: Callable[..., FakeNvml]) -> None:
    fake = fake_nvml(gpus=2)
    with program(POLLER, fake.env) as poller:
        before = poll_until(poller, lambda reading, _: len(reading.gpus) == 2)
        fake.set(fake_gpu(1), fake_gpu(0))
        after = poll_until(poller, lambda reading, _: reading.gpus[0].uuid == before.gpus[1].uuid)
        assert [gpu.index for gpu in after.gpus] == [0, 1]
        assert after.gpus[1].uuid == before.gpus[0].uuid


def test_each_reading_is_handed_to_the_callback_and_its_failure_ends_nothing(
    fake_nvml: Callable[..., FakeNvml],
) -> None:
    code = """
import queue
from pmssm.supervisor.gpus.poller import GpuPoller
seen = queue.Queue()
def on_reading(reading):
    seen.put(reading)
    raise RuntimeError("a listener's own fault")
poller = GpuPoller(0.01, on_reading)
for _ in range(3):
    print(len(seen.get(timeout=30).gpus))
poller.stop()
"""
    fake = fake_nvml(gpus=2)
    done = subprocess.run(
        [sys.executable, "-c", code], env=fake.env, capture_output=True, text=True, timeout=DEADLINE_S, check=True
    )
    assert done.stdout.split() == ["2", "2", "2"]


def test_importing_the_module_does_not_import_pynvml() -> None:
    code = "import sys, pmssm.supervisor.gpus; sys.exit('pynvml' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_reading_survives_the_wire() -> None:
    reading = GpuReading(gpus=(Gpu(index=0, uuid="GPU-0", processes=(GpuProcess(pid=1),)),), taken_at=1.5)
    assert GpuReading.model_validate_json(reading.model_dump_json()) == reading
