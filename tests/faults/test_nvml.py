"""NVML fails in every way it knows while a session runs: the session goes on, and the screen says what is unknown."""

from collections.abc import Callable, Mapping

import pytest
from support.cli_sandbox import CliSandbox
from support.fake_nvml import FakeNvml, fake_gpu
from support.process_table import UNTIL_GO, engine_of, events, exit_of, kill_engine, pid_of, shell_run, wait_until_gone

# The shape of the pMSSM plan.
PLAN = (
    shell_run("one", UNTIL_GO, slot=0)
    + shell_run("two", UNTIL_GO, slot=1)
    + shell_run("mlp", "echo device=$CUDA_VISIBLE_DEVICES", slot=1, after=["one", "two"])
)
GPUS = [fake_gpu(number) for number in range(3)]

Made = tuple[CliSandbox, FakeNvml]


@pytest.fixture
def session(make_box: Callable[[Mapping[str, str]], CliSandbox], fake_nvml: Callable[..., FakeNvml]) -> Made:
    """Two runs on GPUs 1 and 2 of three, side by side."""
    fake = fake_nvml(gpus=GPUS)
    box = make_box(fake.env)
    box.ok("--detach", "--plan", box.plan(PLAN))
    status = box.wait(lambda status: status["runs"]["one"]["pid"] and status["runs"]["two"]["pid"])
    assert [status["runs"][run]["gpu"] for run in ("one", "two")] == [1, 2]
    return box, fake


def goes_on(box: CliSandbox) -> None:
    """The session ends as if nothing had happened."""
    (box.folder / "go").touch()
    for run in ("one", "two", "mlp"):
        assert exit_of(box, run)["exit_code"] == 0
        assert len(events(box, "attempt_starting", run)) == 1


EVERYWHERE = {
    "DRIVER_NOT_LOADED": "not loaded",
    "LIB_RM_VERSION_MISMATCH": "different versions",
    "UNKNOWN": "nvidia-smi",
}


def everywhere(error: str) -> dict[str, str]:
    """The error from every call that is not about one GPU."""
    return {"nvmlInitWithFlags": error, "nvmlDeviceGetCount_v2": error}


@pytest.mark.parametrize("fault", EVERYWHERE)
def test_an_nvml_that_fails_as_a_whole_is_reported_with_its_reason_and_comes_back(session: Made, fault: str) -> None:
    box, fake = session
    errors, expected = everywhere(fault), EVERYWHERE[fault]
    fake.set(*GPUS, errors=errors)
    status = box.wait(lambda status: status["gpu_error"])
    assert expected in status["gpu_error"] and status["gpus"] == []
    assert [status["runs"][run]["gpu"] for run in ("one", "two")] == [1, 2]
    assert f"no GPU readings: {status['gpu_error']}" in box.ok("status")
    fake.set(*GPUS)
    box.wait(lambda status: len(status["gpus"]) == 3 and status["gpu_error"] is None)
    fake.set(*GPUS, errors=errors)
    goes_on(box)


@pytest.mark.parametrize("fault", EVERYWHERE)
def test_a_session_that_starts_without_nvml_trains_on_the_cpu_and_gives_the_reason(
    make_box: Callable[[Mapping[str, str]], CliSandbox], fake_nvml: Callable[..., FakeNvml], fault: str
) -> None:
    fake = fake_nvml(gpus=GPUS)
    errors, expected = everywhere(fault), EVERYWHERE[fault]
    fake.set(*GPUS, errors=errors)
    box = make_box(fake.env)
    done = box.run("--headless", "--plan", box.plan(shell_run("a", "true", slot=0)))
    assert done.returncode == 0, done.stdout
    assert "sequential: CPU" in done.stdout and expected in done.stdout


def test_a_gpu_that_is_lost_is_shown_as_lost_and_gets_no_more_runs(session: Made) -> None:
    box, fake = session
    fake.set(GPUS[0], GPUS[1], fake_gpu(2, errors={"*": "GPU_IS_LOST"}))
    status = box.wait(lambda status: any(gpu["error"] for gpu in status["gpus"]))
    assert [gpu["error"] is None for gpu in status["gpus"]] == [True, True, False]
    assert "lost" in status["gpus"][2]["error"] and status["runs"]["two"]["state"] == "running"
    assert "GPU 2 is lost; no run starts there" in status["notes"]
    goes_on(box)
    assert f"device={GPUS[1].uuid}" in box.log("mlp")


def test_an_nvml_that_hangs_makes_the_figures_old_and_nothing_else_slow(session: Made) -> None:
    box, fake = session
    engine = engine_of(box)
    fake.set(GPUS[0], fake_gpu(1, hangs={"nvmlDeviceGetPowerUsage": 600}), GPUS[2])
    old = box.wait(lambda status: status["taken_at"] - status["gpu_taken_at"] > 4)
    assert (old["runs"]["one"]["state"], len(old["gpus"])) == ("running", 3)
    goes_on(box)
    wait_until_gone(engine)  # it does not wait for the call to return


def test_an_nvml_that_hangs_from_the_beginning_delays_what_needs_a_gpu_and_nothing_else(
    make_box: Callable[[Mapping[str, str]], CliSandbox], fake_nvml: Callable[..., FakeNvml]
) -> None:
    fake = fake_nvml(gpus=GPUS)
    fake.set(*GPUS, hangs={"nvmlInitWithFlags": 600})
    box = make_box(fake.env)
    plan = shell_run("prepare", "true") + shell_run("a", "true", slot=0, after=["prepare"])
    box.ok("--detach", "--plan", box.plan(plan))
    assert exit_of(box, "prepare")["exit_code"] == 0
    status = box.status()
    assert (status["runs"]["a"]["state"], status["runs"]["a"]["reason"]) == ("queued", "waits for NVML")
    assert status["gpu_error"] == "NVML has not answered yet"
    fake.set(*GPUS)
    assert exit_of(box, "a")["exit_code"] == 0


def test_figures_that_a_gpu_does_not_support_are_unknown_one_by_one(session: Made) -> None:
    box, fake = session
    missing = {
        "nvmlDeviceGetUtilizationRates": "NOT_SUPPORTED",
        "nvmlDeviceGetTemperature": "NOT_SUPPORTED",
        "nvmlDeviceGetTemperatureV": "NOT_SUPPORTED",
        "nvmlDeviceGetComputeRunningProcesses_v2": "NOT_SUPPORTED",
        "nvmlDeviceGetComputeRunningProcesses_v3": "NOT_SUPPORTED",
    }
    fake.set(GPUS[0], fake_gpu(1, errors=missing), GPUS[2])
    status = box.wait(lambda status: status["gpus"][1]["utilization_percent"] is None)
    gpu = status["gpus"][1]
    assert (gpu["temperature_c"], gpu["processes"], gpu["error"]) == (None, None, None)
    assert gpu["memory_used_mib"] == 3 and status["gpus"][0]["utilization_percent"] == 0
    assert "n/a" in box.ok("status")
    goes_on(box)


@pytest.mark.parametrize("listed", [{}, {2**22 + 7: 700}], ids=["none", "by the ids of the host"])
def test_in_a_container_that_hides_processes_the_gpu_of_a_run_is_not_known(
    session: Made, listed: dict[int, int]
) -> None:
    box, fake = session
    one = pid_of(box, "one")
    fake.set(GPUS[0], fake_gpu(1, processes={one: 700}), GPUS[2])
    seen = box.wait(lambda status: status["runs"]["one"]["gpu_actual"])
    assert seen["runs"]["one"] | {"gpu_actual": [1], "gpu_memory_mib": 700} == seen["runs"]["one"]
    fake.set(GPUS[0], fake_gpu(1, used_mib=703, processes=listed), GPUS[2])
    hidden = box.wait(lambda status: status["runs"]["one"]["gpu_actual"] is None)
    assert hidden["runs"]["one"]["gpu_memory_mib"] is None and hidden["runs"]["one"]["state"] == "running"
    goes_on(box)


def test_gpus_that_are_counted_in_another_order_are_known_by_their_uuids(session: Made) -> None:
    box, fake = session
    fake.set(GPUS[2], GPUS[0], GPUS[1])
    status = box.wait(lambda status: status["gpus"][0]["uuid"] == GPUS[2].uuid)
    assert [status["runs"][run]["gpu"] for run in ("one", "two")] == [2, 0]
    goes_on(box)
    assert f"device={GPUS[2].uuid}" in box.log("mlp")


def test_with_a_pinned_gpu_lost_a_new_engine_reports_it_and_the_runs_go_on(
    make_box: Callable[[Mapping[str, str]], CliSandbox], fake_nvml: Callable[..., FakeNvml]
) -> None:
    fake = fake_nvml(gpus=GPUS)
    box = make_box(fake.env)
    box.ok("--detach", "--gpus", "1,2", "--plan", box.plan(PLAN))
    pid_of(box, "one")
    pid_of(box, "two")
    fake.set(GPUS[0], GPUS[1], fake_gpu(2, errors={"*": "GPU_IS_LOST"}))
    kill_engine(box)
    assert box.states() == {"one": "running", "two": "running", "mlp": "waiting"}
    goes_on(box)
