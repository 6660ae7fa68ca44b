"""Can this machine train in parallel? `python tests/test_parallel_gpus.py` prints what `pmssm-supervise check` prints.

With pytest it tests that answer on machines with fake GPUs. As a script it does without pytest.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.fake_nvml import FakeNvml

COMMAND = [str(Path(sys.executable).with_name("pmssm-supervise")), "check"]


def lines_of(command: list[str], env: dict[str, str]) -> list[str]:
    """The lines that `command` prints; it must exit 0 and complain about nothing."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def check(env: dict[str, str]) -> list[str]:
    return lines_of(COMMAND, env)


def places(lines: list[str]) -> dict[str, str]:
    """Where each run would train, from the part of the report under `Runs:`."""
    part = lines[lines.index("Runs:") + 1 :]
    rows = [line.split(maxsplit=1) for line in part[: part.index("")]]
    return {run: place for run, place in rows}  # noqa: C416 - dict() of lists of two says less


def test_with_three_gpus_the_transformers_train_side_by_side_and_the_mlp_on_the_second(
    fake_nvml: Callable[..., "FakeNvml"],
) -> None:
    lines = check(fake_nvml(gpus=3).env)
    assert lines[-1] == "✓ Parallel training on 2 GPUs is possible!"
    assert places(lines) == {
        "prepare": "takes no slot, sees no GPU",
        "transformer": "GPU 1",
        "transformer_tabular": "GPU 2",
        "mlp": "GPU 2",
        "report": "takes no slot, sees no GPU",
    }


def test_with_two_gpus_parallel_training_is_possible(fake_nvml: Callable[..., "FakeNvml"]) -> None:
    lines = check(fake_nvml(gpus=2).env)
    assert lines[-1] == "✓ Parallel training on 2 GPUs is possible!"
    assert (places(lines)["transformer"], places(lines)["mlp"]) == ("GPU 1", "GPU 0")


def test_with_one_gpu_the_runs_go_one_after_the_other_on_it(fake_nvml: Callable[..., "FakeNvml"]) -> None:
    lines = check(fake_nvml(gpus=1).env)
    assert lines[-1] == (
        "No parallel training: GPU 0 is the only GPU to use. The runs will train one after the other on GPU 0."
    )
    assert {places(lines)[run] for run in ("transformer", "transformer_tabular", "mlp")} == {"GPU 0"}


def test_without_a_gpu_the_runs_go_one_after_the_other_on_the_cpu(fake_nvml: Callable[..., "FakeNvml"]) -> None:
    lines = check(fake_nvml(gpus=0).env)
    assert lines[-1] == (
        "No parallel training: the NVIDIA driver reports no GPU. The runs will train one after the other on the CPU."
    )
    assert places(lines)["transformer"] == "CPU"


def test_without_nvml_it_says_so_and_what_to_do(env_without_nvml: dict[str, str]) -> None:
    last = check(env_without_nvml)[-1]
    assert "libnvidia-ml.so.1 was not found: install the NVIDIA driver" in last
    assert last.endswith("The runs will train one after the other on the CPU.")


def test_a_gpu_in_use_by_somebody_else_is_shown_and_left_alone(fake_nvml: Callable[..., "FakeNvml"]) -> None:
    from support.fake_nvml import fake_gpu

    lines = check(fake_nvml(gpus=[fake_gpu(0), fake_gpu(1, processes={4242: 700}), fake_gpu(2)]).env)
    assert "  GPU 1 is in use by 1 other process" in lines
    assert any(line.endswith("pid 4242") for line in lines)
    assert (places(lines)["transformer"], places(lines)["transformer_tabular"]) == ("GPU 0", "GPU 2")
    assert lines[-1] == "✓ Parallel training on 2 GPUs is possible!"


def test_a_lost_gpu_is_shown_and_left_out(fake_nvml: Callable[..., "FakeNvml"]) -> None:
    from support.fake_nvml import fake_gpu

    lines = check(fake_nvml(gpus=[fake_gpu(0), fake_gpu(1, errors={"*": "GPU_IS_LOST"})]).env)
    assert any("GPU 1 is left out: GPU is lost" in line for line in lines)
    assert lines[-1].endswith("The runs will train one after the other on GPU 0.")


def test_gpus_hidden_by_the_environment_are_not_used(fake_nvml: Callable[..., "FakeNvml"]) -> None:
    lines = check(fake_nvml(gpus=4).env | {"CUDA_VISIBLE_DEVICES": "3"})
    assert lines[-1].endswith("The runs will train one after the other on GPU 3.")


def test_this_file_as_a_script_prints_the_same(fake_nvml: Callable[..., "FakeNvml"]) -> None:
    env = fake_nvml(gpus=3).env
    assert lines_of([sys.executable, __file__], env) == check(env)


if __name__ == "__main__":
    os.execv(COMMAND[0], COMMAND)
