"""Which run gets which GPU, and when: the fake NVML has the GPUs, everything else is real."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from support.cli_sandbox import CliSandbox

# The shape of the pMSSM plan; each training shows the GPU it was given.
PLAN = """
[runs.prepare]
command = ["true"]
slot = "none"
[runs.transformer]
command = ["sh", "-c", "echo device=$CUDA_VISIBLE_DEVICES order=$CUDA_DEVICE_ORDER threads=$OMP_NUM_THREADS; sleep 0.7"]
after = ["prepare"]
slot = 0
[runs.transformer_tabular]
command = ["sh", "-c", "echo device=$CUDA_VISIBLE_DEVICES; sleep 0.7"]
after = ["prepare"]
slot = 1
[runs.mlp]
command = ["sh", "-c", "echo device=$CUDA_VISIBLE_DEVICES"]
after = ["transformer", "transformer_tabular"]
slot = 1
[runs.report]
command = ["sh", "-c", "echo device=$CUDA_VISIBLE_DEVICES"]
after_end = ["transformer", "transformer_tabular", "mlp"]
slot = "none"
"""

SHARED_1 = "slot = 1\ngpu_memory_mib = 800"
MakeBox = Callable[[dict[str, str]], CliSandbox]


@pytest.fixture
def run_plan(make_box: MakeBox, fake_nvml: Any) -> Callable[..., dict[str, Any]]:  # noqa: ANN401
    """Runs PLAN on a machine with so many GPUs; gives status, uuids and box."""

    def run(gpus: int, *options: str, **env: str) -> dict[str, Any]:
        fake = fake_nvml(gpus=gpus)
        box = make_box({**fake.env, **env})
        box.ok("--headless", "--plan", box.plan(PLAN), *options)
        return {**box.status(), "box": box}

    return run


def _overlap(status: dict[str, Any], one: str, other: str) -> bool:
    a, b = status["runs"][one], status["runs"][other]
    return a["started"] < b["ended"] and b["started"] < a["ended"]


def _gpus(status: dict[str, Any]) -> list[int | None]:
    return [status["runs"][name]["gpu"] for name in ("transformer", "transformer_tabular", "mlp")]


def test_with_three_gpus_the_transformers_overlap_on_1_and_2_and_the_mlp_follows_on_2(run_plan: Any) -> None:  # noqa: ANN401
    status = run_plan(3)
    assert status["mode"] == "parallel"
    assert _gpus(status) == [1, 2, 2]
    assert _overlap(status, "transformer", "transformer_tabular")
    ends = [status["runs"][name]["ended"] for name in ("transformer", "transformer_tabular")]
    assert status["runs"]["mlp"]["started"] >= max(ends)


def test_two_runs_share_the_only_gpu_where_both_fit(make_box: MakeBox, fake_nvml: Any) -> None:  # noqa: ANN401
    box = make_box(fake_nvml(gpus=1).env)
    plan = box.plan(PLAN.replace("slot = 0", "slot = 0\ngpu_memory_mib = 800").replace("slot = 1", SHARED_1))
    assert "Parallel training on 1 GPU is possible!" in box.ok("check", "--share-gpu", "--plan", plan)
    box.ok("--headless", "--share-gpu", "--plan", plan)
    status = box.status()
    assert _gpus(status) == [0, 0, 0]
    assert _overlap(status, "transformer", "transformer_tabular")
    assert f"threads={max(1, len(os.sched_getaffinity(0)) // 2)}" in box.log("transformer")


def test_sharing_and_taking_turns_exclude_each_other(make_box: MakeBox, fake_nvml: Any) -> None:  # noqa: ANN401
    told = make_box(fake_nvml(gpus=1).env).run("check", "--share-gpu", "--no-parallel")
    assert told.returncode == 2
    assert "give one of them" in told.stderr


def test_each_run_sees_its_own_gpu_by_uuid_in_pci_order(run_plan: Any) -> None:  # noqa: ANN401
    status = run_plan(3)
    devices = {name: run["cuda_visible_devices"] for name, run in status["runs"].items()}
    assert devices["prepare"] == devices["report"] == ""
    assert devices["transformer"].startswith("GPU-") and devices["transformer"] != devices["transformer_tabular"]
    assert devices["mlp"] == devices["transformer_tabular"]
    for name in ("transformer", "transformer_tabular", "mlp"):
        assert f"device={devices[name]}" in status["box"].log(name)
    assert "order=PCI_BUS_ID" in status["box"].log("transformer")


def test_concurrent_runs_share_the_cores(run_plan: Any) -> None:  # noqa: ANN401
    cores = len(os.sched_getaffinity(0))
    assert f"threads={max(1, cores // 2)}" in run_plan(3)["box"].log("transformer")
    assert f"threads={cores}" in run_plan(3, "--no-parallel")["box"].log("transformer")


@pytest.mark.parametrize(
    ("gpus", "options", "expected"),
    [
        (1, (), [0, 0, 0]),
        (3, ("--no-parallel",), [1, 1, 1]),
        (4, ("--gpus", "3"), [3, 3, 3]),
        (3, ("--gpus", "none"), [None, None, None]),
        (0, (), [None, None, None]),
    ],
)
def test_with_one_slot_the_runs_follow_one_another(
    run_plan: Any,  # noqa: ANN401
    gpus: int,
    options: tuple[str, ...],
    expected: list[int | None],
) -> None:
    status = run_plan(gpus, *options)
    assert status["mode"] == "sequential"
    assert _gpus(status) == expected
    assert not _overlap(status, "transformer", "transformer_tabular")


def test_runs_on_several_cpu_slots_train_at_once_and_see_no_gpu(run_plan: Any) -> None:  # noqa: ANN401
    status = run_plan(3, "--cpu-slots", "2")
    assert status["mode"] == "parallel"
    assert _gpus(status) == [None, None, None]
    assert _overlap(status, "transformer", "transformer_tabular")
    assert "device=\n" in status["box"].log("transformer_tabular")
    assert f"threads={max(1, len(os.sched_getaffinity(0)) // 2)}" in status["box"].log("transformer")
    assert "transformer_tabular: starting attempt 1 on CPU slot 1" in status["box"].log("training")


def test_gpus_pins_the_choice_within_an_inherited_cuda_visible_devices(run_plan: Any) -> None:  # noqa: ANN401
    # The box drops the variable of the test's own shell, so it is set after that.
    assert _gpus(run_plan(4, "--gpus", "3,0")) == [3, 0, 0]


def test_the_figures_of_the_gpus_are_in_the_status(make_box: MakeBox, fake_nvml: Any) -> None:  # noqa: ANN401
    box = make_box(fake_nvml(gpus=3).env)
    box.ok("--detach", "--plan", box.plan('[runs.a]\ncommand = ["sleep", "600"]\n'))
    status = box.wait(lambda status: len(status["gpus"]) == 3 and status["runs"]["a"]["pid"])
    figures = {"utilization_percent", "memory_used_mib", "memory_total_mib", "temperature_c", "power_w"}
    assert all({"index", "uuid", "name", "error", *figures} <= gpu.keys() for gpu in status["gpus"])
    assert [gpu["index"] for gpu in status["gpus"]] == [0, 1, 2]
    box.ok("kill", "a")
    box.wait(lambda status: status["state"] == "finished")
