"""The main job with the real trainers: the built-in plan on the embedded sample."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.cli_sandbox import CliSandbox

RUNS = ["prepare", "transformer", "transformer_tabular", "mlp", "report"]
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # small steps take more CPU time on several
PARAMETERS = {"transformer": 795_777, "transformer_tabular": 803_330, "mlp": 1_411_713}


@pytest.mark.long(30)
@pytest.mark.timeout(400)
def test_the_quick_look_trains_all_three_on_two_gpus_and_says_how_well(
    make_box: Callable[[dict[str, str]], CliSandbox],
    fake_nvml: Any,  # noqa: ANN401
) -> None:
    """PyTorch finds no CUDA behind the fake NVML and trains on the CPU; the supervisor cannot tell the difference."""
    box = make_box({**fake_nvml(gpus=3).env, **ONE_THREAD})
    output = box.ok("--headless", "--testing", "--epochs", "2", timeout=300)
    status = box.status()
    runs = status["runs"]
    assert list(runs) == RUNS and {run["state"] for run in runs.values()} == {"succeeded"}
    assert status["mode"] == "parallel"
    assert runs["transformer"]["started"] < runs["transformer_tabular"]["ended"]
    assert runs["transformer_tabular"]["started"] < runs["transformer"]["ended"]
    assert runs["mlp"]["started"] >= max(runs["transformer"]["ended"], runs["transformer_tabular"]["ended"])
    assert runs["report"]["started"] >= runs["mlp"]["ended"]
    page = Path(status["folder"]) / "report" / "report.html"
    assert output.splitlines()[-1] == f"report: {page}"
    for name in PARAMETERS:
        assert f"<td>{name}</td>" in page.read_text()
        _check_training(Path(status["folder"]) / name, runs[name], output)


def _check_training(folder: Path, run: dict[str, Any], output: str) -> None:
    name = folder.name
    result = json.loads((folder / "result.json").read_text())
    assert result["parameters"] == PARAMETERS[name]
    assert f"{result['r2']:.4g}" in output
    progress = run["progress"]
    assert progress["epoch"] == progress["epochs"] == result["epochs"]
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, result["epochs"] + 1))
    assert min(float(row["val_mse"]) for row in rows) == pytest.approx(result["val_mse_normalised"], rel=1e-3)
    for picture in ("loss_curve.png", "true_vs_predicted.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    assert (folder / "model.pt").stat().st_size > 1_000_000


def test_data_without_a_branch_end_the_session_with_exit_code_2_and_say_which(box: CliSandbox) -> None:
    (box.folder / "points.csv").write_text("IN_meL,MO_Omega\n100.0,0.1\n")
    done = box.run("--headless", "--data", "points.csv", timeout=120)
    assert done.returncode == 2
    assert "IN_meR" in box.log("prepare") and "points.csv" in box.log("prepare")
    assert "Traceback" not in box.log("prepare")
    assert "report.html" not in done.stdout
    assert box.states() == {"prepare": "failed", **dict.fromkeys(RUNS[1:], "blocked")}


DIVERGING = """
[runs.diverging]
command = ["{python}", "-P", "-m", "pmssm.trainers", "mlp", "--data", "{session}/data", "--output", "{output}",
           "--testing", "--learning-rate", "1e6"]
after = ["prepare"]

[runs.successor]
command = ["true"]
after = ["diverging"]
"""


@pytest.mark.long(25)
@pytest.mark.timeout(200)
def test_the_worked_example_of_a_sweep_ends_with_statistics_of_its_seeds_and_the_names_of_what_failed(
    box: CliSandbox,
) -> None:
    box.env |= ONE_THREAD
    sweep = (Path(__file__).parents[2] / "examples" / "plans" / "sweep.toml").read_text()
    fewer = sweep.replace("[1, 2, 3]", "[1, 2]").replace("[1e-4, 1e-3]", "[1e-3]")
    plan = fewer.replace('after_end = ["mlp"]', 'after_end = ["mlp", "successor"]') + DIVERGING
    done = box.run("--headless", "--testing", "--epochs", "1", "--plan", box.plan(plan), timeout=150)
    assert done.returncode == 1
    runs = ["mlp-seed1-learning_rate0.001", "mlp-seed2-learning_rate0.001"]
    failures = {"diverging": "failed", "successor": "blocked"}
    assert box.states() == {**dict.fromkeys(["prepare", *runs, "report"], "succeeded"), **failures}
    (summary,) = box.logs.glob("session_*/summary.json")
    figure = json.loads(summary.read_text())["groups"]["mlp-learning_rate0.001"]["val_mse"]
    results = [json.loads((summary.parent / name / "result.json").read_text())["val_mse"] for name in runs]
    assert figure["mean"] == pytest.approx(sum(results) / 2)
    assert f"{figure['mean']:.4g} ± {figure['deviation']:.2g} (2)" in done.stdout
    page = Path(done.stdout.splitlines()[-1].removeprefix("report: ")).read_text()
    assert "Seeds taken together" in page
    assert all(f"{name}: {state}" in page for name, state in failures.items())
