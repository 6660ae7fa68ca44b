"""The text of `pmssm-supervise status`."""

from pmssm.supervisor.cli.status import status_lines
from pmssm.supervisor.gpus.models import Gpu
from pmssm.supervisor.session.snapshot import RunView, Snapshot
from pmssm.supervisor.session.state import RunState
from support.snapshots import make_snapshot

GPU = Gpu(
    index=1,
    uuid="GPU-1",
    name="NVIDIA H100",
    utilization_percent=97,
    memory_used_mib=812,
    memory_total_mib=81559,
    temperature_c=54,
    power_w=311.7,
)
TRAINING = RunView(
    state=RunState.RUNNING,
    attempt=1,
    gpu=1,
    started=1000.0,
    progress={"epoch": 100, "epochs": 2000, "train_loss": 0.123456789, "val_loss": 1.5e-05},
    eta_s=3723,
)
WAITING = RunView(state=RunState.WAITING, reason="waits for transformer")


def snapshot(**changes: object) -> Snapshot:
    return make_snapshot(**{"runs": {"transformer": TRAINING, "mlp": WAITING}, "gpus": (GPU,), **changes})


def test_the_whole_status_reads_as_a_page() -> None:
    assert status_lines(snapshot(notes=("GPU 2 is in use",))) == [
        "session 20260122_153100 (pmssm): running, parallel, engine 42",
        "note: GPU 2 is in use",
        "",
        "run          state    gpu  progress  train     val      elapsed  to go    why",
        "───────────  ───────  ───  ────────  ────────  ───────  ───────  ───────  ─────────────────────",
        "transformer  running  1    100/2000  0.123457  1.5e-05  1:15     1:02:03",
        "mlp          waiting                                                      waits for transformer",
        "",
        "gpu  name         use   memory           temperature  power",
        "───  ───────────  ────  ───────────────  ───────────  ─────",
        "1    NVIDIA H100  97 %  812 / 81559 MiB  54 °C        312 W",
        "",
        "files: /logs/session_20260122_153100",
    ]


def test_what_nvml_does_not_tell_is_not_invented() -> None:
    lines = status_lines(snapshot(gpus=(Gpu(index=3, error="GPU is lost"),)))
    assert lines[-3].split() == ["3", "n/a", "n/a", "/", "n/a", "n/a", "n/a", "GPU", "is", "lost"]


def test_a_live_session_without_gpu_figures_says_why() -> None:
    lines = status_lines(snapshot(gpus=(), gpu_error="NVML has not answered yet"))
    assert "no GPU readings: NVML has not answered yet" in lines


def test_a_session_without_engine_says_so_and_nothing_of_gpus() -> None:
    lines = status_lines(snapshot(gpus=(), gpu_error="nobody asks", engine_pid=None, mode=None, state="finished"))
    assert lines[0] == "session 20260122_153100 (pmssm): finished, slots not chosen yet, no engine"
    assert not any("GPU" in line for line in lines)


def test_an_ended_run_shows_how_long_it_took_and_not_how_long_ago_it_was() -> None:
    ended = TRAINING.model_copy(update={"state": RunState.SUCCEEDED, "ended": 1010.0, "eta_s": None})
    line = status_lines(snapshot(runs={"a": ended}))[4]
    assert "10.0 s" in line
    assert "1:15" not in line


def test_a_stalled_run_is_marked() -> None:
    assert "running (stalled)" in status_lines(snapshot(runs={"a": TRAINING.model_copy(update={"stalled": True})}))[4]


def test_a_clock_that_stepped_back_shows_no_negative_time() -> None:
    line = status_lines(snapshot(taken_at=0.0))[4]
    assert "-" not in line.replace("1.5e-05", "")


def test_a_run_of_epochs_without_a_goal_shows_the_epoch() -> None:
    run = TRAINING.model_copy(update={"progress": {"epoch": 7}})
    assert status_lines(snapshot(runs={"a": run}))[4].split()[:4] == ["a", "running", "1", "7"]


def test_columns_that_no_run_fills_are_left_out() -> None:
    head = status_lines(snapshot(runs={"a": RunView(state=RunState.RUNNING, started=1000.0)}))[2]
    assert head.split() == ["run", "state", "elapsed"]


def test_the_reason_for_no_gpu_is_said_once() -> None:
    lines = status_lines(snapshot(gpus=(), notes=("GPUs cannot be read: no driver",), gpu_error="no driver"))
    assert sum("no driver" in line for line in lines) == 1


def test_jobs_are_shown_with_number_node_and_the_reason_why_they_wait() -> None:
    running = RunView(state=RunState.RUNNING, launcher="slurm", job_id="314", node="n7", started=1000.0)
    pending = RunView(state=RunState.PENDING, launcher="slurm", job_id="315", reason="waits for a free GPU")
    here = RunView(state=RunState.SUCCEEDED)  # it took a slot, which says nothing about the jobs
    runs = {"a": running, "b": pending, "prepare": here}
    lines = status_lines(snapshot(mode="sequential", runs=runs, gpus=(), gpu_error="no driver"))
    assert "running, jobs of a batch system, engine 42" in lines[0]
    assert lines[2].split() == ["run", "state", "job", "node", "elapsed", "why"]
    assert lines[4].split() == ["a", "running", "314", "n7", "1:15"]
    assert lines[5].split(maxsplit=3) == ["b", "pending", "315", "waits for a free GPU"]
    assert "no GPU readings here: no driver" in lines


def test_rounds_are_one_row_that_counts_them() -> None:
    runs = {
        "t-r01": RunView(state=RunState.SUCCEEDED, attempt=1),
        "t-r02": RunView(state=RunState.RUNNING, attempt=1, started=1000.0),
        "t-r03": RunView(state=RunState.WAITING),
    }
    lines = status_lines(snapshot(runs=runs), {"t": tuple(runs)})
    assert [line.split()[:3] for line in lines[4:6]] == [["t-r02", "2/3", "running"], []]
