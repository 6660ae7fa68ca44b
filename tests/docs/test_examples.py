"""The examples do what the documentation promises."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pmssm.supervisor.plan import load_plan
from pmssm.supervisor.plan.loader import parse_plan
from support.cli_sandbox import CliSandbox

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PLANS = sorted((EXAMPLES / "plans").glob("*.toml"))
SNIPPETS = [
    pytest.param(snippet, id=f"{page.name}-{number}")
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for number, snippet in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
    if "[runs." in snippet
]


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model.pt, trained for one epoch on the embedded sample."""
    folder = tmp_path_factory.mktemp("model")
    run("-m", "pmssm.trainers", "prepare", "--testing", "--output", "data", cwd=folder)
    options = ("--data", "data", "--output", "mlp", "--testing", "--epochs", 1, "--threads", 1)
    run("-m", "pmssm.trainers", "mlp", *options, cwd=folder)
    return folder / "mlp" / "model.pt"


def test_the_script_scans_two_parameters_and_draws_them(model: Path, tmp_path: Path) -> None:
    output = run(EXAMPLES / "surrogate.py", model, "--output", "scan.png", cwd=tmp_path)
    assert (tmp_path / "scan.png").read_bytes().startswith(b"\x89PNG")
    assert re.search(r"^scan\.png: \S.* between \S+ and \S+$", output, re.MULTILINE)
    assert "outside the training range" not in output


def test_the_sampler_samples_two_parameters_and_draws_them(model: Path, tmp_path: Path) -> None:
    output = run(EXAMPLES / "sampling.py", model, "--steps", 40, "--output", "samples.png", cwd=tmp_path)
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")
    assert re.search(r"^samples\.png: 960 samples, \d+ % of the steps accepted$", output, re.MULTILINE)
    assert "outside the training range" not in output


def test_the_notebook_runs_from_top_to_bottom(model: Path, tmp_path: Path) -> None:
    notebook = json.loads((EXAMPLES / "surrogate.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert cells[0].startswith("MODEL = ")
    program = "\n".join([f"MODEL = {str(model)!r}", *cells[1:], "assert prediction.shape == m1.shape"])
    (tmp_path / "cells.py").write_text(program)
    assert "outside the training range" not in run("-W", "error", "cells.py", cwd=tmp_path)


def test_the_notebook_is_committed_without_output() -> None:
    notebook = json.loads((EXAMPLES / "surrogate.ipynb").read_text(encoding="utf-8"))
    assert all(cell.get("outputs", []) == [] for cell in notebook["cells"])


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_a_plan_of_the_examples_can_be_loaded(plan: Path) -> None:
    assert load_plan(plan).runs


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_a_plan_in_the_documentation_can_be_loaded(snippet: str) -> None:
    assert parse_plan(snippet, "documentation").runs


def test_the_plan_of_two_steps_runs_as_it_is(box: CliSandbox) -> None:
    box.ok("--headless", "--plan", str(EXAMPLES / "plans" / "two_steps.toml"))
    assert box.states() == {"scan": "succeeded", "fit": "succeeded"}
    assert box.log("fit").splitlines()[-1] == "mean 3"
    assert box.status()["runs"]["scan"]["progress"] == {"epoch": 5, "epochs": 5}
