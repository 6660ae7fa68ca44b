"""`evaluate`: models side by side on files of truth that no training has seen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.requirements import parse_requirement
from ..data.scan_files import ScanSelection
from ..device import choose_device
from ..errors import OptionError
from ..files import write_atomic
from ..inference.fingerprints import is_known
from ..inference.model_file import from_saved, known_fingerprints, read_model
from ..log import LOGGER
from .holdout import Holdout, read_holdout
from .model_scores import ALL, default_threshold, score_model
from .outcome_scores import score_outcomes
from .page import render_page, write_page
from .plots import confusion_plot, coverage_plot, reliability_plot, true_against_predicted
from .summary import EvaluatedModel, LoadedModel, best_of, to_json, warnings_about
from .tables import Table, outcome_tables, tables_of

RELATIVE_SIGMA = 0.1
"""Standard deviation, relative to the threshold, of targets other than the relic density."""


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
    default, default_sigma = default_threshold(target)
    threshold = default if threshold is None else threshold
    if sigma is None:
        sigma = RELATIVE_SIGMA * abs(threshold or 1.0) if default_sigma is None else default_sigma
    selections = [
        ScanSelection(
            one.surrogate.target, one.neutralino_lsp, tree=tree, branches=tuple(branches), require=one.require
        )
        for one in models
    ]
    holdout = read_holdout(patterns, selections)
    evaluated = []
    for number, (model, outcomes) in enumerate(zip(models, holdout.outcomes, strict=True), start=1):
        LOGGER.info("Model %d/%d %s", number, len(models), model.name)
        evaluated.append(_evaluate(model, holdout, outcomes, threshold, sigma))
    problems = warnings_about(evaluated, len(holdout.known.true))
    for problem in problems:
        LOGGER.warning("%s", problem)
    tables = [
        *tables_of({one.model.name: one.classes for one in evaluated}, target),
        *outcome_tables({one.model.name: one.outcomes for one in evaluated}),
    ]
    plots = _plots(evaluated, holdout)
    sentence = best_of(evaluated)
    html = render_page(
        title=f"Evaluation of {target.label}",
        subtitle=f"{len(holdout.known.true):,} points of {', '.join(path.name for path in holdout.files)}",
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


def _evaluate(
    model: LoadedModel, holdout: Holdout, outcomes: NDArray[np.int8], threshold: float | None, sigma: float
) -> EvaluatedModel:
    """Return the figures of one model; `outcomes` are those of all rows by its own cuts."""
    surrogate, points = model.surrogate, holdout.known.points
    members = surrogate.predict_members(points, warn=False)
    source, classes = score_model(surrogate, holdout.known, members, threshold, sigma)
    has_head = surrogate.usability is not None
    return EvaluatedModel(
        model,
        seen=None if model.known is None else int(is_known(model.known, surrogate.scaling, points).sum()),
        outside=int(surrogate.outside_training_range(points).any(axis=1).sum()),
        predicted=np.asarray(members.mean(axis=0)),
        source=source,
        classes=classes,
        outcomes=score_outcomes(surrogate.outcomes(holdout.all_points), outcomes) if has_head else {},
    )


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
        require = tuple(parse_requirement(text) for text in saved.get("require", []))
        models.append(
            LoadedModel(own_name, path, surrogate, known_fingerprints(saved), bool(saved["neutralino_lsp"]), require)
        )
    first = models[0]
    for model in models[1:]:
        if model.surrogate.target.branch != first.surrogate.target.branch:
            raise OptionError(f"{model.path}: predicts {model.surrogate.target.branch}, but {first.path} predicts "
                              f"{first.surrogate.target.branch}; evaluate them separately")  # fmt: skip
    return models


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
                model.name, one.predicted, holdout.known.true, model.surrogate.target
            )
        }
        if verdicts is not None:
            group[f"model_{number}_confusion"] = confusion_plot(model.name, verdicts)
        if one.outcomes:
            group[f"model_{number}_reliability"] = reliability_plot(model.name, one.outcomes)
        plots[model.name] = group
    return plots
