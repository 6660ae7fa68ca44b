"""Scan files made on the spot, and the command line as a user calls it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerContext
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pmssm.trainers.data.columns import COLUMNS, PARAMETERS, TREE
from support.trainer_commands import StartedCommand, make_server, run_command

torch.set_num_threads(1)

Rows = NDArray[np.float64]
Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., StartedCommand]


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., Rows]:
    """A function that gives usable rows, `(n, 20)`, with a target that can be learned."""

    def make(count: int, seed: int = 1) -> Rows:
        random = np.random.default_rng(seed)
        rows = random.uniform(-2000, 2000, (count, len(COLUMNS)))
        rows[:, 4] = 4000.0
        rows[:, -1] = 0.5 + 0.4 * np.sin(rows[:, 10] / 500) * np.cos(rows[:, 0] / 700)
        return rows

    return make


def write_root(path: Path, columns: Mapping[str, Rows], tree: str = TREE) -> Path:
    import uproot

    with uproot.recreate(path) as file:
        file.mktree(tree, dict.fromkeys(columns, np.float64))
        if len(next(iter(columns.values()))):
            file[tree].extend(dict(columns))
    return path


@pytest.fixture(scope="session")
def root_file(make_rows: Callable[..., Rows]) -> Callable[..., Path]:
    """A function that writes a scan as ROOT; `rename`, `drop` and `tree` spoil it."""

    def write(
        path: Path,
        rows: Rows | None = None,
        *,
        rename: Mapping[str, str] | None = None,
        drop: str = "",
        tree: str = TREE,
    ) -> Path:
        rows = make_rows(50) if rows is None else rows
        names = [(rename or {}).get(name, name) for name in COLUMNS]
        columns = {name: rows[:, i] for i, name in enumerate(names) if name != drop}
        return write_root(path, {"model": np.arange(len(rows), dtype=np.float64), **columns}, tree)

    return write


@pytest.fixture(scope="session")
def csv_file(make_rows: Callable[..., Rows]) -> Callable[..., Path]:
    """A function that writes a scan as CSV, every number with all its digits."""

    def write(path: Path, rows: Rows | None = None) -> Path:
        rows = make_rows(50) if rows is None else rows
        lines = [",".join(COLUMNS), *(",".join(repr(float(value)) for value in row) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


@pytest.fixture(scope="session")
def trainer_server() -> ForkServerContext:
    """Makes the processes of trainers."""
    return make_server()


@pytest.fixture(scope="session")
def cli(trainer_server: ForkServerContext) -> Run:
    """A function that runs `python -m pmssm.trainers …` to its end."""

    def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return run_command(trainer_server, arguments, cwd)

    return run


@pytest.fixture
def start_cli(trainer_server: ForkServerContext, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """A function that starts `python -m pmssm.trainers …`, stdout and stderr in one pipe."""

    def start(*arguments: object) -> StartedCommand:
        return StartedCommand(trainer_server, arguments, tmp_path_factory.mktemp("started"))

    return start


@pytest.fixture(scope="session")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, cli: Run, root_file: Callable[..., Path], make_rows: Callable[..., Rows]
) -> Path:
    """A prepared folder of 360 training and 40 validation rows."""
    folder = tmp_path_factory.mktemp("prepared")
    root_file(folder / "scan.root", make_rows(400))
    done = cli("prepare", "--data", folder / "scan.root", "--output", folder / "data")
    assert done.returncode == 0, done.stderr
    return folder / "data"


@pytest.fixture(scope="session")
def inputs() -> torch.Tensor:
    """z-scores, `(40, 19)` float64."""
    return torch.randn(40, len(PARAMETERS), dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="session")
def model(prepared: Path, tmp_path_factory: pytest.TempPathFactory, cli: Run) -> Path:
    """The model.pt of an ensemble of two perceptrons, trained for one epoch."""
    output = tmp_path_factory.mktemp("model")
    done = cli("mlp", "--data", prepared, "--output", output, "--epochs", 1, "--threads", 1, "--ensemble", 2)
    assert done.returncode == 0, done
    return output / "model.pt"


@pytest.fixture(scope="session")
def physics_data(tmp_path_factory: pytest.TempPathFactory, cli: Run) -> Path:
    """2,000 rows of the embedded sample with all features and the ratio target; 312 rows calibrate intervals."""
    folder = tmp_path_factory.mktemp("physics") / "data"
    done = cli("prepare", "--output", folder, "--testing", "--features", "physics", "--y-transform", "ratio",
               "--calibration", 0.2)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "45 features join the 19 parameters" in done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def physics_model(physics_data: Path, tmp_path_factory: pytest.TempPathFactory, cli: Run) -> Path:
    """The model.pt of two small networks."""
    output = tmp_path_factory.mktemp("physics_model")
    done = cli("mlp_plr_small", "--data", physics_data, "--output", output, "--epochs", 6, "--threads", 1,
               "--loss", "l1", "--ensemble", 2)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return output / "model.pt"
