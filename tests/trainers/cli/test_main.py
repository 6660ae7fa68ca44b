from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from pmssm.trainers.cli.main import commands
from pmssm.trainers.cli.train_commands import OPTION_GROUPS, make_command
from pmssm.trainers.data.prepared import load_prepared
from pmssm.trainers.data.reading import FORMATS
from pmssm.trainers.data.targets import TARGETS
from pmssm.trainers.inference.model_file import load_surrogate
from pmssm.trainers.inference.surrogate import OutsideTrainingWarning
from pmssm.trainers.models.recipes import RECIPES, Recipe
from support.trainer_commands import StartedCommand

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., StartedCommand]
Write = Callable[..., Path]

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[(info|warning|error) {2,5}\] [a-z_]{3,20} *\| .+")

SETTINGS = {
    "transformer": ("--epochs", 3, "--batch-size", 100),
    "transformer_tabular": ("--epochs", 3, "--batch-size", 100),
    "mlp": ("--epochs", 15, "--batch-size", 50),
}


def only_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line on stderr; the process ended with exit code 2."""
    assert done.returncode == 2, done
    (line,) = done.stderr.splitlines()
    assert LINE.fullmatch(line), line
    assert "[error    ]" in line
    return line


def wait_for(process: StartedCommand, text: str) -> list[str]:
    """The lines up to the one that has `text`."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"{text!r} never came: {lines}")


def interrupt(start: Start, arguments: tuple[object, ...], signum: int, after: str) -> tuple[int, str]:
    """Exit status and the whole output of a trainer that gets a signal once it has printed `after`."""
    process = start(*arguments)
    lines = wait_for(process, after)
    process.send_signal(signum)
    rest, _ = process.communicate(timeout=60)
    return process.returncode, "".join(lines) + rest


def outcome(output: Path) -> tuple[dict[str, torch.Tensor], list[list[str]]]:
    """The saved weights, and the metrics without their seconds."""
    model = torch.load(output / "model.pt", weights_only=True)
    with (output / "metrics.csv").open() as file:
        return model["weights"][0], [row[:-1] for row in csv.reader(file)]


@pytest.mark.parametrize("name", list(SETTINGS))
def test_a_training_stopped_killed_and_resumed_is_bit_for_bit_the_uninterrupted_one(
    name: str, prepared: Path, tmp_path: Path, cli: Run, start_cli: Start
) -> None:
    settings = (name, "--data", prepared, "--threads", 2, *SETTINGS[name])
    whole = cli(*settings, "--output", tmp_path / "whole")
    assert whole.returncode == 0, whole
    assert all(LINE.fullmatch(line) for line in whole.stdout.splitlines())
    assert whole.stderr == ""

    broken = (*settings, "--output", tmp_path / "broken", "--checkpoint-seconds", 0.2)
    status, output = interrupt(start_cli, broken, signal.SIGTERM, "Epoch 0001")
    assert status == 143, output
    assert "Checkpoint saved at epoch 000" in output
    assert "Stopped by SIGTERM" in output

    status, output = interrupt(start_cli, broken, signal.SIGKILL, "Epoch 0002")
    assert status == -signal.SIGKILL
    assert "Resumed at epoch 000" in output
    assert f"Training for {SETTINGS[name][1]} epochs" in output

    if name == "transformer":
        longer = cli(*broken, "--epochs", 9)
        assert "with epochs, which the cosine schedule spans, 3, this one has 9; use 3, or" in only_line(longer)

    resumed = cli(*broken)
    assert resumed.returncode == 0, resumed
    weights, metrics = outcome(tmp_path / "whole")
    weights_resumed, metrics_resumed = outcome(tmp_path / "broken")
    assert metrics == metrics_resumed
    assert len(metrics) == 1 + int(str(SETTINGS[name][1]))
    assert weights.keys() == weights_resumed.keys()
    for key, value in weights.items():
        assert torch.equal(value, weights_resumed[key]), key


@pytest.fixture(scope="module")
def trained(prepared: Path, tmp_path_factory: pytest.TempPathFactory, cli: Run) -> tuple[Path, str]:
    """The output of a finished mlp training of 3 epochs, and what it printed."""
    output = tmp_path_factory.mktemp("trained") / "mlp"
    done = cli("mlp", "--data", prepared, "--output", output, "--epochs", 3, "--threads", 1)
    assert done.returncode == 0, done
    return output, done.stdout


def test_the_log_has_the_documented_lines(trained: tuple[Path, str]) -> None:
    lines = trained[1].splitlines()
    assert all(
        re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[info     \] mlp                  \| ", line) for line in lines
    )
    assert any(line.endswith("| Training for 3 epochs") for line in lines)
    scores = r"Train MSE = \d+\.\d{6} \| Val MSE = \d+\.\d{6} \| LR = 1\.000000e-04"
    epochs = [line for line in lines if re.search(rf"\| Epoch \d{{4}} \| {scores}$", line)]
    assert [line.split("| Epoch ")[1][:4] for line in epochs] == ["0001", "0002", "0003"]


def test_a_finished_training_leaves_model_metrics_plots_and_a_flat_result(
    trained: tuple[Path, str], prepared: Path
) -> None:
    output = trained[0]
    result = json.loads((output / "result.json").read_text())
    assert list(result) == [
        "model", "parameters", "epochs", "best_epoch", "target", "y_transform", "val_mse_normalised", "r2_normalised",
        "val_mse", "val_mae", "median_relative_error", "r2", "wall_time_s", "peak_memory_mib", "device", "precision",
    ]  # fmt: skip
    assert (result["model"], result["parameters"], result["epochs"]) == ("PMSSMFeedForward", 1_411_713, 3)
    assert result["device"] == "cpu"
    assert result["peak_memory_mib"] > 50
    for name in ("loss_curve.png", "true_vs_predicted.png"):
        assert (output / name).read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in output.iterdir() if not path.name.startswith(".")) == sorted(
        [
            "checkpoint.pt",
            "loss_curve.png",
            "metrics.csv",
            "metrics.jsonl",
            "model.pt",
            "result.json",
            "true_vs_predicted.png",
        ]
    )
    meta = load_prepared(prepared)
    predicted = (
        load_surrogate(output / "model.pt").models[0](torch.from_numpy(np.array(meta.val_inputs))).detach().numpy()
    )
    mse = float(np.mean((predicted.astype(float) - meta.val_targets) ** 2))
    assert mse == pytest.approx(result["val_mse_normalised"], rel=1e-5)
    assert mse * meta.scaling.std[-1] ** 2 == pytest.approx(result["val_mse"], rel=1e-5)
    assert 1 - mse / np.var(meta.val_targets) == pytest.approx(result["r2"], abs=1e-5)


def test_the_surrogate_takes_physical_points_and_warns_of_those_outside_the_training_range(
    trained: tuple[Path, str], make_rows: Callable[..., np.ndarray]
) -> None:
    surrogate = load_surrogate(trained[0] / "model.pt")
    points = np.clip(make_rows(5, seed=9)[:, :-1], surrogate.scaling.minimum[:-1], surrogate.scaling.maximum[:-1])
    omega = surrogate(points)
    assert omega.shape == (5,)
    assert omega.dtype == np.float64
    assert np.abs(omega).max() < 2
    points[0, 4] = 4001.0  # was constant in the training
    with pytest.warns(OutsideTrainingWarning, match="training range of IN_mqL1$"):
        assert (surrogate(points) == omega).all()
    with pytest.raises(ValueError, match=r"points must be \(n, 19\), not \(19,\)"):
        surrogate(points[0])


def test_a_start_on_a_finished_training_writes_the_same_results_again(
    trained: tuple[Path, str], prepared: Path, cli: Run
) -> None:
    output = trained[0]
    before = (output / "result.json").read_bytes()
    (output / "result.json").unlink()
    done = cli("mlp", "--data", prepared, "--output", output, "--epochs", 3, "--threads", 1)
    assert done.returncode == 0
    assert "Already trained: 3 of 3 epochs" in done.stdout
    assert "| Epoch 00" not in done.stdout
    assert (output / "result.json").read_bytes() == before


def test_a_checkpoint_of_other_settings_is_refused(trained: tuple[Path, str], prepared: Path, cli: Run) -> None:
    done = cli("mlp", "--data", prepared, "--output", trained[0], "--epochs", 3, "--seed", 7)
    assert "checkpoint.pt: belongs to a training with seed 42, this one has 7; use 42, or start over" in only_line(done)
    done = cli("mlp", "--data", prepared, "--output", trained[0], "--epochs", 2)
    assert "already has 3 epochs, more than --epochs 2" in only_line(done)


def test_more_epochs_and_a_damaged_checkpoint_and_fresh(prepared: Path, tmp_path: Path, cli: Run) -> None:
    arguments = ("mlp", "--data", prepared, "--output", tmp_path, "--threads", 1)
    assert cli(*arguments, "--epochs", 2).returncode == 0
    (tmp_path / ".checkpoint.pt.abc.tmp").write_bytes(b"half a checkpoint of an attempt that was killed")
    longer = cli(*arguments, "--epochs", 3)
    assert not (tmp_path / ".checkpoint.pt.abc.tmp").exists()
    assert "Resumed at epoch 0003" in longer.stdout
    content = bytearray((tmp_path / "checkpoint.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "checkpoint.pt").write_bytes(content)
    fallen_back = cli(*arguments, "--epochs", 3)
    assert fallen_back.returncode == 0
    assert "checkpoint.pt is damaged" in fallen_back.stdout
    assert "Going on from the checkpoint before" in fallen_back.stdout
    fresh = cli(*arguments, "--epochs", 3, "--fresh", "--seed", 7)
    assert fresh.returncode == 0
    assert "Epoch 0001" in fresh.stdout
    assert "Resumed" not in fresh.stdout


def test_a_nan_loss_ends_with_exit_1_and_one_line(prepared: Path, tmp_path: Path, cli: Run) -> None:
    done = cli("mlp", "--data", prepared, "--output", tmp_path, "--epochs", 5, "--learning-rate", 1e30, "--threads", 1)
    assert done.returncode == 1, done
    (line,) = done.stderr.splitlines()
    assert "the loss is not finite in epoch 1" in line
    assert "--learning-rate below 1e+30" in line
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGXCPU])
def test_the_warning_of_a_batch_system_ends_with_a_checkpoint_and_128_plus_n(
    number: signal.Signals, prepared: Path, tmp_path: Path, start_cli: Start
) -> None:
    name = next(iter(SETTINGS))
    arguments = (name, "--data", prepared, "--threads", 1, *SETTINGS[name], "--output", tmp_path, "--epochs", 2000)
    status, output = interrupt(start_cli, arguments, number, "Epoch 0001")
    assert status == 128 + number, output
    assert f"Stopped by {number.name}" in output and "Checkpoint saved at epoch" in output


def test_sigint_ends_with_130_and_a_second_trainer_is_kept_out(
    prepared: Path, tmp_path: Path, cli: Run, start_cli: Start
) -> None:
    arguments = ("mlp", "--data", prepared, "--output", tmp_path, "--threads", 1)
    first = start_cli(*arguments)
    wait_for(first, "Epoch 0001")
    assert "another trainer uses this folder" in only_line(cli(*arguments))
    first.send_signal(signal.SIGINT)
    rest, _ = first.communicate(timeout=60)
    assert first.returncode == 130
    assert "Stopped by SIGINT" in rest


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("mlp", "--data", "{tmp}", "--output", "{tmp}/out"), "contains no prepared data"),
        (("mlp", "--data", "{data}", "--output", "{tmp}/file/out"), "Not a directory"),
        (("prepare", "--testing", "--output", "{tmp}/file/out"), "Not a directory"),
        (("prepare", "--output", "/proc/out", "--testing"), "/proc/out"),
        (("mlp", "--data", "{data}", "--output", "{tmp}/out", "--device", "cuda"), "PyTorch finds no CUDA GPU"),
        (("prepare", "--output", "{tmp}/out", "--data", "{tmp}/none*.root"), "none*.root': no ROOT, CSV"),
    ],
)
def test_an_error_is_one_line_with_exit_2_and_leaves_nothing(
    arguments: tuple[str, ...], expected: str, prepared: Path, tmp_path: Path, cli: Run
) -> None:
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    (tmp_path / "file").touch()
    done = cli(*(argument.format(tmp=tmp_path, data=prepared) for argument in arguments))
    assert expected in only_line(done)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size] == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("mlp", "--data", "d", "--output", "o", "--epoch", "3"), "No such option '--epoch'"),
        (("mlp", "--data", "d", "--output", "o", "--epochs", "0"), "'--epochs': 0 is not in the range x>=1"),
        (("mlp", "--data", "d", "--output", "o", "--learning-rate", "nan"), "nan is not a finite number"),
        (("mlp", "--data", "d"), "Missing option '--output'"),
        (("prepare",), "Missing option '--output'"),
        (("prepar",), "No such command 'prepar'"),
    ],
)
def test_a_bad_option_is_one_line_with_exit_2(arguments: tuple[str, ...], expected: str, cli: Run) -> None:
    assert expected in only_line(cli(*arguments))


def test_help_imports_none_of_the_slow_libraries(cli: Run) -> None:
    code = (
        "import sys; from pmssm.trainers.cli.main import commands\n"
        "for args in (['--help'], ['prepare', '--help'], ['mlp', '--help']):\n"
        "    commands.main(args, standalone_mode=False)\n"
        "print(sorted({'torch', 'numpy', 'pandas', 'uproot', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--checkpoint-seconds" in done.stdout
    assert cli("--help").returncode == 0


def test_testing_runs_prepare_and_a_trainer_on_a_few_rows(tmp_path: Path, cli: Run) -> None:
    done = cli("prepare", "--testing", "--output", tmp_path / "data")
    assert done.returncode == 0, done
    assert "2,000 rows" in done.stdout
    done = cli("mlp", "--data", tmp_path / "data", "--output", tmp_path / "mlp", "--testing", "--epochs", 2)
    assert done.returncode == 0, done
    assert "1,024 rows to train" in done.stdout
    assert "Training for 2 epochs" in done.stdout


def test_each_recipe_has_a_command_with_its_learning_rate_and_what_a_resume_needs() -> None:
    assert set(RECIPES) < set(commands.commands)
    for name, schedule in {"mlp": "may use more --epochs", "tabm": "needs the same --epochs"}.items():
        help_text = " ".join(CliRunner().invoke(commands, [name, "--help"]).output.split())
        assert RECIPES[name].summary in help_text
        assert f"[default: {RECIPES[name].learning_rate}; x>0]" in help_text
        assert schedule in help_text


def test_the_help_of_a_training_groups_each_option_once() -> None:
    command = commands.commands["mlp"]
    names = [str(param.name) for param in command.params]
    assert sorted(name for group in OPTION_GROUPS.values() for name in group) == sorted(names)
    help_text = CliRunner().invoke(commands, ["mlp", "--help"]).output
    assert re.findall(r"^(\w+):$", help_text, re.MULTILINE) == [*OPTION_GROUPS, "Options"]
    assert all(help_text.count(f"\n  {param.opts[0]} ") == 1 for param in command.params)


def test_no_summary_of_a_command_is_cut() -> None:
    help_text = CliRunner().invoke(commands, ["--help"], terminal_width=80).output
    assert "..." not in help_text.partition("Commands:")[2]


def test_a_recipe_alone_makes_a_command() -> None:
    recipe = Recipe("mlp:PMSSMFeedForward", "a model of tomorrow", 0.5, 0.0, cosine=True, clip_norm=None)
    assert "Train a model of tomorrow." in CliRunner().invoke(make_command("tomorrow", recipe), ["--help"]).output


def test_the_help_of_prepare_names_every_format_and_target() -> None:
    help_text = CliRunner().invoke(commands, ["prepare", "--help"]).output
    for each in FORMATS:
        assert each.name in help_text
    for target in TARGETS.values():
        assert target.branch in help_text


def test_output_goes_through_any_encoding_and_into_closed_streams(csv_file: Write, tmp_path: Path) -> None:
    points = csv_file(tmp_path / "points.csv")
    command = f"{sys.executable} -m pmssm.trainers check --data {points}"
    for encoding in ("ascii", "latin-1", "utf-8"):
        done = subprocess.run(
            ["sh", "-c", command], env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True, check=True
        )
        assert "Constant in the training part" in done.stdout.decode(encoding)
        assert done.stderr == b""
    assert subprocess.run(["sh", "-c", f"{command} <&- >&- 2>&-"], check=False).returncode == 0


@pytest.mark.parametrize("name", ["--help", *commands.commands])
def test_help_is_ascii(name: str) -> None:
    assert CliRunner().invoke(commands, [name, "--help"]).output.isascii()
