"""The trainings of a session, finished or not, and baselines."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..data.prepared import PreparedData
from ..errors import TrainerError
from ..inference.batched import predict
from ..inference.model_file import from_saved, read_model
from ..log import LOGGER
from .figures import ModelFigures, model_figures

Values = NDArray[np.float64]

BASELINE_ROWS = 500_000
"""Largest number of rows for gradient boosting: enough for its trees, and it takes seconds."""

ROWS_PER_THREAD = 50_000
"""With fewer rows, threads of gradient boosting wait for each other most of the time: 1,000 rows took six times longer
with two."""


@dataclass(frozen=True)
class TrainedRun:
    """A training or a baseline.

    Attributes:
        name: Name of the run.
        predicted: Predictions for the validation part, physical, shape (n,); None without a model.
        squares: Squared errors of z-scores, shape (n,); None without a model.
        problem: Why there is no model, or what is wrong with it.
        result: Contents of result.json.
        losses: Epoch, training and validation MSE of z-scores.
        kind: Equal for trainings that differ only in their seed.
        baseline: Whether it is a baseline.
        figures: What the model states of its errors, and what its inputs matter; None without a model.
    """

    name: str
    predicted: Values | None = None
    squares: Values | None = None
    problem: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    losses: list[tuple[int, float, float]] = field(default_factory=list)
    kind: str = ""
    baseline: bool = False
    figures: ModelFigures | None = None


def values(run: TrainedRun) -> tuple[Values, Values]:
    """Return predictions and squared errors of a run that has a model."""
    assert run.predicted is not None and run.squares is not None
    return run.predicted, run.squares


def normalised_mse(run: TrainedRun) -> float:
    """Return the mean squared error of z-scores, by which the report ranks."""
    return float(np.mean(values(run)[1]))


def physical(scores: Values, prepared: PreparedData) -> Values:
    """Convert z-scores of the validation points, shape (…, n), to physical values."""
    learned = scores * prepared.scaling.std[-1] + prepared.scaling.mean[-1]
    return prepared.target.backward(learned, prepared.val_reference)


def find_runs(session: Path, prepared: PreparedData, report: Path) -> list[TrainedRun]:
    """Return all trainings of a session, sorted by name.

    Args:
        session: Folder with one folder per training.
        prepared: Data of the report.
        report: Folder of the report, which is not a training.
    """
    states = _states(session)
    folders = {path.name: path for path in session.iterdir() if path.is_dir() and path.resolve() != report.resolve()}
    trained = [name for name, path in folders.items() if (path / "metrics.csv").exists()]
    without_folder = [name for name, state in states.items() if state not in ("succeeded", "running")]
    names = dict.fromkeys(sorted(trained) + [name for name in without_folder if name not in ("prepare", report.name)])
    runs = []
    for number, name in enumerate(names, start=1):
        LOGGER.info("Training %d/%d %s", number, len(names), name)
        runs.append(read_run(session / name, states.get(name, ""), prepared))
    return runs


def read_run(folder: Path, state: str, prepared: PreparedData) -> TrainedRun:
    """Return the training in `folder`.

    Args:
        folder: Output folder of the training.
        state: State of the run according to the session, or an empty text.
        prepared: Data of the report.
    """
    losses = read_losses(folder / "metrics.csv")
    if not (folder / "model.pt").exists():
        ended = state or "not finished"
        return TrainedRun(folder.name, problem=f"{ended}, {len(losses)} epochs trained, no model", losses=losses)
    try:
        saved = read_model(folder / "model.pt")
        surrogate = from_saved(saved, folder / "model.pt")
    except (TrainerError, OSError) as error:
        return TrainedRun(folder.name, problem=str(error), losses=losses)
    scaling = prepared.scaling
    same_width = surrogate.inputs.width == prepared.val_inputs.shape[1]
    if not (
        same_width and np.array_equal(surrogate.scaling.mean, scaling.mean) and surrogate.target == prepared.target
    ):
        return TrainedRun(folder.name, problem="trained on other data than those of this report", losses=losses)
    inputs = torch.from_numpy(np.array(prepared.val_inputs))
    each = [predict(model, inputs) for model in surrogate.models]
    scores = torch.stack(each).double().numpy()  # (models, n)
    settings = {key: value for key, value in saved["settings"].items() if key not in ("seed", "checkpoint_seconds")}
    members = physical(scores, prepared)
    return TrainedRun(
        folder.name,
        predicted=np.asarray(members.mean(axis=0)),
        squares=np.square(scores - prepared.val_targets).mean(axis=0),
        problem="" if state in ("", "succeeded") else f"{state}; the model is from an earlier attempt",
        result=_read_object(folder / "result.json"),
        losses=losses,
        kind=json.dumps([saved["name"], settings], sort_keys=True, default=str),
        figures=model_figures(surrogate, prepared, members),
    )


def baselines(prepared: PreparedData) -> list[TrainedRun]:
    """Return two baselines: the mean of the training part, and gradient boosting."""
    from sklearn.ensemble import HistGradientBoostingRegressor  # noqa: PLC0415 (1 s)
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    rows = slice(None, BASELINE_ROWS)  # the rows were split at random
    trees = HistGradientBoostingRegressor(max_iter=300, early_stopping=False, random_state=0)
    threads = max(1, min(torch.get_num_threads(), len(prepared.train_targets[rows]) // ROWS_PER_THREAD))
    with threadpool_limits(threads, user_api="openmp"):
        trees.fit(prepared.train_inputs[rows], prepared.train_targets[rows])
    predictions = {
        "mean of the training points": np.zeros(len(prepared.val_targets)),
        "gradient boosting": np.asarray(trees.predict(prepared.val_inputs), dtype=np.float64),
    }
    return [
        TrainedRun(name, physical(scores, prepared), np.square(scores - prepared.val_targets), baseline=True)
        for name, scores in predictions.items()
    ]


def read_losses(path: Path) -> list[tuple[int, float, float]]:
    """Return the rows of a metrics.csv; unreadable rows are left out."""
    try:
        with path.open(newline="") as file:
            return [(int(row["epoch"]), float(row["train_mse"]), float(row["val_mse"])) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def run_groups(session: Path) -> dict[str, str]:
    """Return the group of each run, by name, if the session defines groups."""
    return _run_states(session, "group")


def _states(session: Path) -> dict[str, str]:
    return _run_states(session, "state")


def _run_states(session: Path, key: str) -> dict[str, str]:
    runs = _read_object(session / "summary.json").get("runs", {})
    return {name: str(run.get(key) or "") for name, run in runs.items()} if isinstance(runs, dict) else {}


def _read_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
