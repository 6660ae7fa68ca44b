"""`evaluate`: models side by side on files of truth that no training has seen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.scan_files import ScanSelection
from ..device import choose_device
from ..errors import OptionError
from ..files import write_atomic
from ..inference.fingerprints import is_known
from ..inference.model_file import from_saved, known_fingerprints, read_model
from ..inference.planck import PLANCK, PLANCK_SIGMA
from ..inference.surrogate import Surrogate
from ..log import LOGGER
from .holdout import Holdout, read_holdout
from .model_scores import ALL, ClassScores, score_model
from .page import render_page, write_page
from .plots import confusion_plot, coverage_plot, true_against_predicted
from .tables import Table, percent, tables_of

RELIC_DENSITY = "MO_Omega"
RELATIVE_SIGMA = 0.1
"""Standard deviation, relative to the threshold, of targets other than the relic density."""


@dataclass(frozen=True)
class LoadedModel:
    """A model to evaluate.

    Attributes:
        name: Name in tables: that of its training.
        path: Its model.pt.
        surrogate: The model.
        known: Fingerprints of the points that its training used; None if they are not in the file.
        neutralino_lsp: Whether it was trained on points whose lightest sparticle is a neutralino.
    """

    name: str
    path: Path
    surrogate: Surrogate
    known: NDArray[np.int64] | None
    neutralino_lsp: bool


@dataclass(frozen=True)
class EvaluatedModel:
    """Figures of one model.

    Attributes:
        model: The model.
        seen: Number of holdout points that its training used; None: unknown.
        predicted: Predictions, physical, shape (n,).
        source: Where its errors come from; empty if it states none.
        classes: Figures by class of the lightest sparticle, "all" first.
    """

    model: LoadedModel
    seen: int | None
    predicted: NDArray[np.float64]
    source: str
    classes: Mapping[str, ClassScores]


def evaluate_models(
    paths: Sequence[Path],
    patterns: Sequence[str],
    output: Path,
    *,
    threshold: float | None = None,
    sigma: float | None = None,
    tree: str,
    branches: Sequence[str],
    device: str = "auto",
) -> list[Table]:
    """Write evaluation.html, evaluation.json and the plots to `output`.

    Args:
        paths: model.pt of each model; all predict the same branch.
        patterns: Files, folders and globs with parameters and truth.
        output: Folder to write to.
        threshold: Smallest excluded value; None: 0.12 for the relic density, else no verdicts.
        sigma: Standard deviation of experiment and theory; None: a default.
        tree: Tree of ROOT files.
        branches: Values of `--branches`.
        device: `auto`, `cpu` or `cuda`.

    Returns:
        The tables of the page.

    Raises:
        TrainerError: A file or an option cannot be used.
    """
    models = load_models(paths, device)
    target = models[0].surrogate.target
    if threshold is None and target.branch == RELIC_DENSITY:
        threshold = PLANCK
    if sigma is None:
        sigma = PLANCK_SIGMA if target.branch == RELIC_DENSITY else RELATIVE_SIGMA * abs(threshold or 1.0)
    selections = [
        ScanSelection(model.surrogate.target, model.neutralino_lsp, tree=tree, branches=tuple(branches))
        for model in models
    ]
    holdout = read_holdout(patterns, selections)
    evaluated = []
    for number, model in enumerate(models, start=1):
        LOGGER.info("Model %d/%d %s", number, len(models), model.name)
        seen = _count_seen(model, holdout)
        evaluated.append(EvaluatedModel(model, seen, *score_model(model.surrogate, holdout, threshold, sigma)))
    problems = warnings_about(evaluated, len(holdout.true))
    for problem in problems:
        LOGGER.warning("%s", problem)
    tables = tables_of({one.model.name: one.classes for one in evaluated}, target)
    plots = _plots(evaluated, holdout)
    sentence = best_of(evaluated)
    html = render_page(
        title=f"Evaluation of {target.label}",
        subtitle=f"{len(holdout.true):,} points of {', '.join(path.name for path in holdout.files)}",
        sentence=sentence,
        problems=problems,
        tables=tables,
        plots=plots,
    )
    summary = json.dumps(to_json(evaluated, holdout), indent=1) + "\n"
    output.mkdir(parents=True, exist_ok=True)
    write_atomic(output / "evaluation.json", lambda file: file.write(summary.encode()))
    write_page(output, "evaluation.html", html, plots)
    LOGGER.info("%s", sentence)
    LOGGER.info("Evaluation in %s", output / "evaluation.html")
    return tables


def _count_seen(model: LoadedModel, holdout: Holdout) -> int | None:
    if model.known is None:
        return None
    return int(is_known(model.known, model.surrogate.scaling, holdout.points).sum())


def load_models(paths: Sequence[Path], device: str) -> list[LoadedModel]:
    """Load all models.

    Raises:
        ModelError: A file is not a model.
        OptionError: The models predict different branches.
    """
    torch_device = choose_device(device)
    names = [path.resolve().parent.name if path.name == "model.pt" else path.stem for path in paths]
    models = []
    for path, name in zip(paths, names, strict=True):
        saved = read_model(path)
        surrogate = from_saved(saved, path).to(torch_device)
        own_name = name if names.count(name) == 1 else str(path)
        models.append(LoadedModel(own_name, path, surrogate, known_fingerprints(saved), bool(saved["neutralino_lsp"])))
    first = models[0]
    for model in models[1:]:
        if model.surrogate.target.branch != first.surrogate.target.branch:
            raise OptionError(f"{model.path}: predicts {model.surrogate.target.branch}, but {first.path} predicts "
                              f"{first.surrogate.target.branch}; evaluate them separately")  # fmt: skip
    return models


def warnings_about(evaluated: Sequence[EvaluatedModel], points: int) -> list[str]:
    """Return one line per model that has seen points of the holdout, or for which this is unknown."""
    lines = []
    for one in evaluated:
        if one.seen is None:
            lines.append(f"{one.model.name}: the model keeps no fingerprints of its training points, so it is unknown "
                         "whether it has seen these points; train it again with this version to know")  # fmt: skip
        elif one.seen:
            lines.append(f"{one.model.name}: {one.seen:,} of the {points:,} points ({percent(one.seen / points)}) were "
                         "used in its training, so its figures are too good; provide other points")  # fmt: skip
    return lines


def best_of(evaluated: Sequence[EvaluatedModel]) -> str:
    """Return a sentence about the model with the most points within 10 %."""
    best = max(evaluated, key=lambda one: one.classes[ALL].scores.within_10)
    scores, verdicts, _ = best.classes[ALL]
    text = f"{best.model.name}: {percent(scores.within_10)} of {scores.points:,} points within 10 %"
    text += "" if len(evaluated) == 1 else f", the largest share of {len(evaluated)} models"
    if verdicts is not None:
        text += f"; {percent(verdicts.accuracy, 2)} right verdicts at {verdicts.threshold:g}"
    return text + "."


def to_json(evaluated: Sequence[EvaluatedModel], holdout: Holdout) -> dict[str, Any]:
    """Return the contents of evaluation.json."""
    return {
        "files": [str(path) for path in holdout.files],
        "rows_read": holdout.read,
        "points": len(holdout.true),
        "models": {
            one.model.name: {
                "path": str(one.model.path),
                "target": one.model.surrogate.target.as_dict(),
                "points_used_in_training": one.seen,
                "stated_errors": one.source or None,
                "classes": {
                    name: {key: None if part is None else asdict(part) for key, part in figures._asdict().items()}
                    for name, figures in one.classes.items()
                },
            }
            for one in evaluated
        },
    }


def _plots(evaluated: Sequence[EvaluatedModel], holdout: Holdout) -> dict[str, dict[str, bytes]]:
    curves = {
        one.model.name: np.array(figures.curve)
        for one in evaluated
        if (figures := one.classes[ALL].calibration) is not None
    }
    plots = {"Coverage of intervals": {"coverage": coverage_plot(curves)}} if curves else {}
    for number, one in enumerate(evaluated, start=1):
        model, verdicts = one.model, one.classes[ALL].verdicts
        group = {
            f"model_{number}_true_vs_predicted": true_against_predicted(
                model.name, one.predicted, holdout.true, model.surrogate.target
            )
        }
        if verdicts is not None:
            group[f"model_{number}_confusion"] = confusion_plot(model.name, verdicts)
        plots[model.name] = group
    return plots
