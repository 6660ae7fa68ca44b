"""From the command line's options to a session on disk: all checked first, and nothing half-written."""

import os
from pathlib import Path

import pytest
from pmssm.supervisor.cli import new_session
from pmssm.supervisor.cli.continued_session import continue_session
from pmssm.supervisor.cli.new_session import create_session
from pmssm.supervisor.cli.session_options import SessionOptions
from pmssm.supervisor.gpus.models import Gpu, GpuReading
from pmssm.supervisor.gpus.visible_devices import GpuRequestError
from pmssm.supervisor.ipc.engine_lock import EngineLock
from pmssm.supervisor.ipc.socket_path import RuntimeFolderError
from pmssm.supervisor.plan.errors import PlanError
from pmssm.supervisor.session.events import AttemptStarting, EngineStarted, SessionFinished
from pmssm.supervisor.session.folder import SessionError, SessionFolder, latest_session
from pmssm.supervisor.session.journal import Journal

PLAN = '[runs.a]\ncommand = ["true"]\n'


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A logs folder that does not exist yet, in a working folder of its own."""
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here / "some" / "logs"


def begin(logs: Path, plan: str | None = None, **options: object) -> SessionFolder:
    plan_file = None
    if plan is not None:
        plan_file = logs.parent.parent / "my.toml"
        plan_file.write_text(plan)
    folder, lock = create_session(logs, SessionOptions(plan_file=plan_file, **options))  # type: ignore[arg-type]
    lock.release()
    return folder


def command_of(folder: SessionFolder, run: str) -> str:
    return " ".join(folder.load_plan().runs[run].command)


def finish(folder: SessionFolder) -> None:
    journal = Journal(folder.journal)
    journal.append(SessionFinished(at=2))
    journal.close()


# What is asked for


def test_without_options_the_trainers_keep_their_own_defaults(logs: Path) -> None:
    folder = begin(logs)
    assert list(folder.load_plan().runs) == ["prepare", "transformer", "transformer_tabular", "mlp", "report"]
    assert command_of(folder, "mlp").endswith(f"--output {folder.run_folder('mlp')}")
    assert latest_session(logs) == folder


def test_options_reach_the_runs_they_concern(logs: Path) -> None:
    folder = begin(
        logs,
        epochs=500,
        batch_size=64,
        learning_rate=1e-3,
        early_stopping=True,
        patience=7,
        seed=1,
        ensemble=4,
        precision="bf16",
        testing=True,
        n_datasets=2,
        n_samples=100,
        calibration=0.1,
        threads=3,
        tensorboard=True,
        target="cls",
        target_below=1.5,
        y_transform="log",
        neutralino_lsp=True,
        tree="points",
        branches=("in_*", "At=A_t"),
        require=("SP_m_h > 0",),
    )
    assert command_of(folder, "prepare").endswith(
        "--target cls --target-below 1.5 --y-transform log --neutralino-lsp --require SP_m_h > 0 --tree points "
        "--branches in_* --branches At=A_t --n-datasets 2 --n-samples 100 --calibration 0.1 --seed 1 --testing"
    )
    for run in ("transformer", "transformer_tabular", "mlp"):
        assert command_of(folder, run).endswith(
            "--epochs 500 --batch-size 64 --learning-rate 0.001 --early-stopping --patience 7 --seed 1 "
            "--ensemble 4 --precision bf16 --threads 3 --testing --tensorboard"
        )
    assert folder.load_settings().threads == 3


def test_data_is_found_from_wherever_the_engine_runs(logs: Path) -> None:
    (Path.cwd() / "scan").mkdir()
    for name in ("b.root", "a.root"):
        (Path.cwd() / "scan" / name).touch()
    folder = begin(logs, data=("scan/*.root", str(Path.cwd() / "scan")))
    here = Path.cwd()
    assert f"--data {here}/scan/*.root --data {here}/scan" in command_of(folder, "prepare")


def test_the_shells_environment_is_kept_whatever_its_bytes(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODD", "\udcff line\nbreak")
    assert begin(logs).load_settings().environment == dict(os.environ)


def test_a_plan_of_ones_own_is_resolved_from_the_present_folder(logs: Path) -> None:
    folder = begin(logs, '[runs.a]\ncommand = ["{python}", "{run}"]\ncwd = "sub"\n')
    assert folder.load_plan().runs["a"].cwd == str(Path.cwd() / "sub")


# What is refused, with nothing written


def refusal(logs: Path, error: type[Exception], **asked: object) -> str:
    """The one line of the refusal; nothing was written."""
    with pytest.raises(error) as caught:
        begin(logs, **asked)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.isprintable()
    assert not logs.parent.exists()
    return message


def test_a_placeholder_that_means_nothing(logs: Path) -> None:
    message = refusal(logs, PlanError, plan='[runs.a]\ncommand = ["{sesion}"]\n')
    assert message.endswith("my.toml: runs.a.command: unknown placeholder '{sesion}' (did you mean 'session'?)")


def test_a_broken_plan(logs: Path) -> None:
    assert refusal(logs, PlanError, plan='[runs.a]\nafter = ["a"]\n').endswith("my.toml: runs.a.command: is required")


@pytest.mark.parametrize(("option", "placeholder"), [("epochs", "training_options"), ("n_samples", "prepare_options")])
def test_an_option_that_no_command_takes_up(logs: Path, option: str, placeholder: str) -> None:
    message = refusal(logs, PlanError, plan=PLAN, **{option: 3})
    shown = f"--{option.replace('_', '-')}"
    assert message.endswith(f"my.toml: no command has {{{placeholder}}}, so {shown} would have no effect")


def test_an_option_that_one_of_two_takers_takes_up_is_no_error(logs: Path) -> None:
    plan = '[runs.a]\ncommand = ["true", "{training_options}"]\n'
    assert command_of(begin(logs, plan, seed=3), "a") == "true --seed 3"


@pytest.mark.parametrize("pattern", ["nothing.root", "nothing/*.root", "~nobody_of_that_name/x", "x" * 300, "a\0b"])
def test_data_that_is_not_there(logs: Path, pattern: str) -> None:
    with pytest.raises(SessionError, match="no such file; give scan files, a folder, or a quoted glob"):
        begin(logs, data=(pattern,))
    assert not logs.parent.exists()


def test_gpus_that_are_not_there(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = GpuReading(gpus=(Gpu(index=0, uuid="GPU-0"), Gpu(index=1, uuid="GPU-1")), taken_at=0)
    monkeypatch.setattr(new_session, "read_gpus", lambda: machine)
    assert refusal(logs, GpuRequestError, gpus="5") == "--gpus 5: there is no GPU 5; this machine has 0-1"
    assert refusal(logs, GpuRequestError, gpus="1,1") == "--gpus 1,1: GPU 1 is named twice"
    assert begin(logs, gpus="1,0").load_settings().gpus == "1,0"


def test_an_unsafe_runtime_folder(logs: Path) -> None:
    folder = Path(os.environ["XDG_RUNTIME_DIR"]) / "pmssm-supervise"
    folder.mkdir()
    folder.chmod(0o777)
    assert "is not a private folder of yours" in refusal(logs, RuntimeFolderError)


def test_a_file_in_place_of_the_logs_folder(logs: Path) -> None:
    logs.parent.mkdir()
    logs.touch()
    with pytest.raises(SessionError, match="cannot write there: File exists; choose another folder with --logs"):
        begin(logs)
    assert [path.name for path in logs.parent.iterdir()] == ["logs"]


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_logs_folder_without_permission(logs: Path) -> None:
    logs.mkdir(parents=True)
    logs.chmod(0o500)
    with pytest.raises(SessionError, match="cannot write there: Permission denied; choose another folder with --logs"):
        begin(logs)


# One session at a time


def test_a_second_session_is_refused_while_an_engine_holds_the_folder(logs: Path) -> None:
    first = begin(logs)
    lock = EngineLock(logs)
    assert lock.acquire()
    with pytest.raises(SessionError, match=rf"a session is running in this folder \({first.stamp}\); see it with") as e:
        begin(logs)
    assert str(e.value).isprintable()
    lock.release()
    assert latest_session(logs) == first


def test_an_interrupted_session_is_not_forgotten(logs: Path) -> None:
    first = begin(logs)
    journal = Journal(first.journal)
    journal.append(EngineStarted(at=1, pid=1))
    journal.close()
    with pytest.raises(SessionError, match=rf"session {first.stamp} was interrupted; go on with it"):
        begin(logs)
    assert latest_session(logs) == first


def test_after_a_finished_session_comes_the_next(logs: Path) -> None:
    first = begin(logs)
    finish(first)
    second = begin(logs)
    assert second.stamp > first.stamp


def test_beginning_a_session_does_not_keep_the_lock(logs: Path) -> None:
    begin(logs)
    lock = EngineLock(logs)
    assert lock.acquire()
    lock.release()


@pytest.fixture
def session_of_jobs(logs: Path, monkeypatch: pytest.MonkeyPatch) -> SessionFolder:
    """A session of a login node, whose only run is a job; we are inside an allocation."""
    folder = begin(logs, PLAN)
    folder.plan.write_text(folder.plan.read_text().replace("[runs.a]\n", '[runs.a]\nlauncher = "slurm"\n'))
    assert not folder.load_plan().runs["a"].is_local
    monkeypatch.setenv("SLURM_JOB_ID", "123")
    monkeypatch.setenv("SLURMD_NODENAME", "n1")
    return folder


def test_a_session_of_jobs_goes_on_inside_an_allocation_without_jobs(
    session_of_jobs: SessionFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    continued = continue_session(session_of_jobs.logs)
    assert continued is not None
    continued[1].release()
    assert session_of_jobs.load_plan().runs["a"].is_local
    assert "inside allocation 123 nothing is submitted: all runs start on its nodes" in capsys.readouterr().err


def test_a_session_with_a_job_in_slurm_does_not_go_on_inside_an_allocation(session_of_jobs: SessionFolder) -> None:
    journal = Journal(session_of_jobs.journal)
    journal.append(AttemptStarting(at=1.0, run="a", attempt=1, fresh=False, log_offset=0, launcher="slurm"))
    journal.close()
    for _ in range(2):  # the lock is free again
        with pytest.raises(SessionError, match=r"has jobs in Slurm \(a\); end it with `pmssm-supervise down` first"):
            continue_session(session_of_jobs.logs)
    assert not session_of_jobs.load_plan().runs["a"].is_local
