"""What the rounds of a session have produced: simulated points and trained models, chain by chain."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..data.columns import LSP_COLUMNS, PARAMETERS, TREE, Column, parameter_columns
from ..data.lsp import classify
from ..data.reading import SUFFIXES, read_chunks
from ..data.targets import RELIC_DENSITY
from ..errors import DataError, TrainerError
from .hits import Goal

Values = NDArray[np.float64]

SEED = re.compile(r"(?:^|-)seed-?\w+")
"""Part of the name of a chain that only repeats a measurement."""

POINTS_STEM, RESULT, MODEL, HOLDOUT, JOURNAL = "points", "result.json", "model.pt", "holdout.npz", "journal.jsonl"
ACCURACY = ("holdout_median_relative_error", "median_relative_error")
"""Figures of result.json that tell how good a model is: on the fixed holdout, else on the validation part."""


@dataclass(frozen=True)
class Simulated:
    """Simulated points of one round.

    Attributes:
        points: Parameters, shape (n, 19).
        omega: Relic density; -1 for a failed point, shape (n,).
        classes: Index into LSP_CLASSES, shape (n,).
    """

    points: Values
    omega: Values
    classes: NDArray[np.int8]


class Holdout(NamedTuple):
    """Values of the fixed holdout, each of shape (n,)."""

    true: Values
    predicted: Values


@dataclass
class Chain:
    """One chain of rounds.

    Attributes:
        name: Values of its matrix, such as `seed1-strategy-random`; empty without a matrix.
        arm: The same without the seed.
        simulated: Simulated points by round.
        accuracy: Median relative error on the fixed holdout, else on the validation part, by round.
        holdout: True and predicted values of the fixed holdout, by round.
        seconds: Duration of each run, all attempts together, by its name without round and chain.
    """

    name: str
    arm: str
    simulated: dict[int, Simulated] = field(default_factory=dict)
    accuracy: dict[int, float] = field(default_factory=dict)
    holdout: dict[int, Holdout] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def error_near(self, number: int, goal: Goal) -> float:
        """Return the median relative error of a round on the points of the holdout that are hits; nan without any."""
        if number not in self.holdout:
            return np.nan
        true, predicted = self.holdout[number]
        hits = goal.hits(true)
        return float(np.median(np.abs(predicted[hits] / true[hits] - 1))) if hits.any() else np.nan


def read_chains(session: Path) -> tuple[list[Chain], list[str]]:
    """Read the results of all finished runs of the rounds.

    A run whose folder has `points.root` (or another format) is a simulation; one with `result.json` and `model.pt` is
    a training.

    Args:
        session: Folder of a session whose plan has rounds.

    Returns:
        The chains that have simulated points, and what could not be read, one line each.

    Raises:
        DataError: The folder is not that of a session with rounds.
    """
    chains: dict[str, Chain] = {}
    problems: list[str] = []
    durations = read_durations(session / JOURNAL)
    for run, number, name, line in _runs_of_rounds(session):
        chain = chains.setdefault(name, Chain(name, SEED.sub("", name).strip("-") or "all"))
        if run in durations:
            chain.seconds.setdefault(line.removesuffix(f"-{name}"), []).append(durations[run])
        try:
            _read_run(session / run, number, chain)
        except (TrainerError, OSError, ValueError, KeyError, BadZipFile) as error:
            problems.append(f"{run}: {error}")
    found = [chain for chain in chains.values() if chain.simulated]
    if not found:
        raise DataError(f"{session}: no run of a round has simulated points; a simulation writes "
                        f"{POINTS_STEM}.root into its folder")  # fmt: skip
    return found, problems


def read_durations(journal: Path) -> dict[str, float]:
    """Return the seconds of all attempts of each run together, as far as the journal of the session knows them."""
    seconds: dict[str, float] = {}
    try:
        lines = journal.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return seconds
    for line in lines:
        with suppress(ValueError, KeyError, TypeError):  # the last line may be incomplete
            event = json.loads(line)
            if event["kind"] == "attempt_ended":
                seconds[event["run"]] = seconds.get(event["run"], 0.0) + float(event["exit"]["duration_s"])
    return seconds


def _runs_of_rounds(session: Path) -> Iterator[tuple[str, int, str, str]]:
    """Yield name, round, chain and line of each run with a round.

    Raises:
        DataError: The plan cannot be read, or has no rounds.
    """
    try:
        plan: Mapping[str, Any] = tomllib.loads((session / "plan.toml").read_text(encoding="utf-8"))
        runs = [
            (name, run["round"], run.get("chain", ""), run.get("line", name))
            for name, run in plan["runs"].items()
            if "round" in run
        ]
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise DataError(f"{session}: contains no plan of a session; use the folder logs/session_<stamp>") from None
    if not all(list(map(type, values)) == [int, str, str] for _, *values in runs):
        raise DataError(f"{session / 'plan.toml'}: round, chain and line of a run must be a number and two texts")
    if not runs:
        raise DataError(f"{session}: the plan of the session has no rounds; add rounds and each_round")
    yield from runs


def _read_run(folder: Path, number: int, chain: Chain) -> None:
    files = [folder / f"{POINTS_STEM}{suffix}" for suffix in SUFFIXES]
    if path := next((file for file in files if file.is_file()), None):
        chain.simulated[number] = read_simulation(path)
    elif (folder / MODEL).is_file() and (folder / RESULT).is_file():
        result = json.loads((folder / RESULT).read_bytes())
        value = next((result[name] for name in ACCURACY if name in result), None)
        if isinstance(value, int | float):
            chain.accuracy[number] = float(value)
        if (folder / HOLDOUT).is_file():
            with np.load(folder / HOLDOUT) as arrays:
                chain.holdout[number] = Holdout(arrays["true"], arrays["predicted"])


def read_simulation(path: Path) -> Simulated:
    """Read a scan of simulated points.

    Raises:
        DataError: The file cannot be read.
    """
    also = [Column(RELIC_DENSITY, (RELIC_DENSITY,)), *(Column(name, (name,), required=False) for name in LSP_COLUMNS)]
    rows = np.concatenate(list(read_chunks(path, parameter_columns(also=also), tree=TREE)))
    width = len(PARAMETERS)
    return Simulated(rows[:, :width], rows[:, width], classify(rows[:, width + 1 :]))
