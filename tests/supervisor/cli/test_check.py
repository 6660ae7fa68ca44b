"""The report of `pmssm-supervise check`, from plain data."""

from pmssm.supervisor.cli.check import report
from pmssm.supervisor.gpus.models import Gpu, GpuProcess, GpuReading
from pmssm.supervisor.gpus.slot_selection import SlotRequest, select_slots

RUNS = [
    ("prepare", "none"),
    ("transformer", 0),
    ("transformer_tabular", 1),
    ("mlp", 1),
    ("report", "none"),
    ("scan", None),
]


def lines_for(*gpus: Gpu, error: str | None = None, requested: str | None = None) -> list[str]:
    reading = GpuReading(gpus=gpus, error=error, taken_at=0)
    return report(reading, select_slots(reading, SlotRequest(gpus=requested)), RUNS)


def gpu(index: int, **values: object) -> Gpu:
    usual = {"uuid": f"GPU-{index}a2b3c4d-0000", "name": "NVIDIA H100", "memory_used_mib": 3, "memory_total_mib": 81559}
    return Gpu.model_validate({"index": index, "utilization_percent": 0, "processes": ()} | usual | values)


def test_the_whole_report_reads_as_a_page() -> None:
    busy = tuple(GpuProcess(pid=pid) for pid in range(41, 46))
    assert lines_for(
        gpu(0), gpu(1), gpu(2, processes=busy, utilization_percent=97), Gpu(index=3, error="GPU is lost")
    ) == [
        "GPUs:",
        "  GPU  name         uuid          memory used / total  use    used by",
        "  0    NVIDIA H100  GPU-0a2b3c4d  3 / 81559 MiB        0 %    none",
        "  1    NVIDIA H100  GPU-1a2b3c4d  3 / 81559 MiB        0 %    none",
        "  2    NVIDIA H100  GPU-2a2b3c4d  3 / 81559 MiB        97 %   pid 41, pid 42, pid 43 and 2 more",
        "  3    n/a          n/a           n/a / n/a MiB        n/a %  GPU is lost",
        "",
        "Runs:",
        "  prepare              takes no slot, sees no GPU",
        "  transformer          GPU 1",
        "  transformer_tabular  GPU 0",
        "  mlp                  GPU 0",
        "  report               takes no slot, sees no GPU",
        "  scan                 any of GPU 1, GPU 0",
        "",
        "Notes:",
        "  GPU 3 is left out: GPU is lost",
        "  GPU 2 is in use by 5 other processes",
        "",
        "✓ Parallel training on 2 GPUs is possible!",
    ]


def test_three_slots_are_counted() -> None:
    assert lines_for(gpu(0), gpu(1), gpu(2), requested="2,0,1")[-1] == "✓ Parallel training on 3 GPUs is possible!"


def test_slots_of_the_cpu_are_counted() -> None:
    reading = GpuReading(gpus=(), error="no driver: install it", taken_at=0)
    lines = report(reading, select_slots(reading, SlotRequest(cpu_slots=2)), RUNS)
    assert "  transformer_tabular  CPU slot 1" in lines
    assert "  scan                 any of CPU slot 0, CPU slot 1" in lines
    assert lines[-1] == "✓ 2 runs at a time on the CPU are possible!"


def test_no_gpu_is_no_table() -> None:
    lines = lines_for(error="no driver: install it")
    assert lines[:2] == ["GPUs:", "  none seen"]
    assert lines[-1] == (
        "No parallel training: GPUs cannot be read: no driver: install it. "
        "The runs will train one after the other on the CPU."
    )


def test_unseen_and_unknown_processes_differ_from_none() -> None:
    lines = lines_for(gpu(0, memory_used_mib=9000), gpu(1, processes=None), gpu(2))
    assert [line.split("%")[1].strip() for line in lines[2:5]] == ["a hidden process", "unknown", "none"]
