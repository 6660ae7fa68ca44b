"""What a launcher is given for an attempt: variables of the slot's GPU, cores, fence."""

from pathlib import Path

from pmssm.supervisor.engine.attempt_spec import attempt_spec, concurrent_runs
from pmssm.supervisor.gpus.slots import Slot
from pmssm.supervisor.launchers.attempt_files import FENCE_VARIABLE, AttemptSpec
from pmssm.supervisor.plan.loader import parse_plan
from pmssm.supervisor.session.events import AttemptStarting
from pmssm.supervisor.session.folder import SessionFolder, SessionSettings

PLAN = parse_plan('[runs.a]\ncommand = ["true"]\n', "plan.toml")
HERE = Slot(index=0, gpu_index=4, name="GPU 4", granted=(1, 2))
THERE = Slot(index=1, gpu_index=5, name="n2 GPU 5", node="n2", granted=(0, 2), cores=3)
CPU_THERE = Slot(index=2, name="n2 CPU", node="n2")


def spec(slot: Slot, launcher: str = "srun", *, is_fenced: bool = False, **environment: str) -> AttemptSpec:
    settings = SessionSettings(parallel=True, gpus=None, threads=None, environment=environment)
    starting = AttemptStarting(at=0, run="a", attempt=2, slot=slot, fresh=False, log_offset=0, launcher=launcher)
    folder = SessionFolder(Path("/logs"), "20261127_100000")
    return attempt_spec(PLAN, settings, starting, folder, concurrent=1, is_fenced=is_fenced)


def test_a_step_gets_the_cores_of_its_node_and_leaves_the_gpu_to_it() -> None:
    step = spec(THERE, CUDA_VISIBLE_DEVICES="0,1")
    fence = {FENCE_VARIABLE: "/logs/session_20261127_100000/a/newest_attempt:2"}
    assert step.given == {"OMP_NUM_THREADS": "3", **fence}
    assert (step.node, step.granted) == ("n2", (0, 2)) and "attempt 2 on n2 GPU 5: true" in step.header


def test_a_step_on_a_cpu_sees_no_gpu_and_unknown_cores_are_not_guessed() -> None:
    step = spec(CPU_THERE)
    assert step.given["CUDA_VISIBLE_DEVICES"] == "" and "OMP_NUM_THREADS" not in step.given
    assert (step.node, step.granted) == ("n2", None)


def test_the_users_own_number_of_threads_counts_on_all_nodes() -> None:
    assert "OMP_NUM_THREADS" not in spec(THERE, OMP_NUM_THREADS="7").given


def test_a_granted_gpu_of_this_machine_is_one_of_those_that_slurm_names() -> None:
    here = spec(HERE, "local", CUDA_VISIBLE_DEVICES="4,5", ROCR_VISIBLE_DEVICES="4,5")
    assert (here.given["CUDA_VISIBLE_DEVICES"], here.given["ROCR_VISIBLE_DEVICES"]) == ("5", "5")
    assert FENCE_VARIABLE not in here.given


def test_an_attempt_here_is_fenced_where_an_older_one_may_come_back_elsewhere() -> None:
    assert spec(HERE, "local", is_fenced=True).given[FENCE_VARIABLE].endswith("/a/newest_attempt:2")


def test_runs_on_other_nodes_take_no_cores_of_this_machine() -> None:
    assert concurrent_runs(PLAN, (HERE, THERE, CPU_THERE)) == 1
