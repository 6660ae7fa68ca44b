"""`report`: one page and its pictures, from the folder of a session."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment

from ..data.lsp import PURE
from ..data.prepared import load_prepared
from ..data.targets import Target
from ..files import write_atomic
from ..log import LOGGER
from .plots import loss_curves, residuals, true_against_predicted
from .scores import PointScores, Values, by_lsp, is_significant, score
from .trainings import TrainedRun, baselines, find_runs, groups, physical

EXPECTED_MIB = {"PMSSMTransformer": 800, "PMSSMTransformerTabular": 800, "PMSSMFeedForward": 1500}
HEADS = (
    "normalised MSE",
    "MSE",
    "R²",
    "MAE",
    "median rel. error",
    "within 10 %",
    "within 20 %",
    "within 50 %",
    "0.12 ± 0.02",
)


def build_report(session: Path, data: Path, output: Path) -> None:
    """Nothing; `output` holds `report.html`, which needs no other file, and the same pictures as PNGs.

    Raises NotPreparedError where `data` holds no prepared arrays; a training without a model is said on the page.
    """
    prepared = load_prepared(data)
    target, truth = prepared.target, np.asarray(prepared.val_targets, dtype=np.float64)
    true = physical(truth, prepared)
    trained = find_runs(session, prepared, output)
    LOGGER.info("%d trainings found, computing the baselines", len(trained))
    runs = sorted((run for run in [*trained, *baselines(prepared)] if run.predicted is not None), key=_error)
    figures = {run.name: score(true, *_values(run)) for run in runs}
    parts = {run.name: by_lsp(true, *_values(run), np.asarray(prepared.val_lsp)) for run in runs}
    sentence = recommendation(runs, figures, target)
    heads = HEADS if target.branch == "MO_Omega" else HEADS[:-1]  # Planck has measured nothing else
    points = np.asarray(prepared.val_inputs, dtype=np.float64) * prepared.scaling.std[:-1] + prepared.scaling.mean[:-1]
    varied = [place for place, std in enumerate(prepared.scaling.std[:-1]) if std > 0]
    names = [prepared.meta["parameters"][place] for place in varied]
    pictures = {"Loss curves": {"loss_curves": loss_curves(trained)}} if any(run.losses for run in trained) else {}
    for run in (run for run in runs if not run.baseline):
        pictures[run.name] = {
            f"{run.name}_true_vs_predicted": true_against_predicted(run, true, target),
            f"{run.name}_residuals": residuals(run, true, points[:, varied], names, target),
        }
    page = Environment(autoescape=True).from_string((resources.files(__package__) / "page.html").read_text())
    html = page.render(
        label=target.label,
        subtitle=f"{session.name}: {len(true):,} validation points, {len(prepared.train_targets):,} training points",
        recommendation=sentence,
        problems=[f"{run.name}: {run.problem}" for run in trained if run.problem],
        tables=[
            ranking(runs, figures, heads, target),
            *seed_table(runs, figures, groups(session)),
            *lsp_tables(runs, parts, heads),
            costs(trained),
        ],
        pictures={
            title: {name: base64.b64encode(png).decode() for name, png in group.items()}
            for title, group in pictures.items()
        },
    )
    output.mkdir(parents=True, exist_ok=True)
    for name, png in (picture for group in pictures.values() for picture in group.items()):
        write_atomic(output / f"{name}.png", lambda file, png=png: file.write(png))  # type: ignore[misc]
    write_atomic(output / "report.html", lambda file: file.write(html.encode()))
    LOGGER.info("%s", sentence)
    LOGGER.info("Report in %s", output / "report.html")


def _values(run: TrainedRun) -> tuple[Values, Values]:
    assert run.predicted is not None and run.squares is not None
    return run.predicted, run.squares


def _error(run: TrainedRun) -> float:
    return float(np.mean(_values(run)[1]))


def recommendation(runs: Sequence[TrainedRun], figures: Mapping[str, PointScores], target: Target) -> str:
    """A sentence that says which of `runs`, best first, to use."""
    models = [run for run in runs if not run.baseline]
    if not models:
        return "No training left a model, so there is none to use."
    best = models[0]
    of_best = figures[best.name]
    text = f"Use {best.name}: the smallest normalised error of {target.learned} ({of_best.mse_normalised:.4f}), "
    text += f"{_percent(of_best.within_20, 0)} of the validation points within 20 %."
    if len(models) > 1 and not is_significant(_values(best)[1], _values(models[1])[1]):
        text += f" Its lead over {models[1].name} is within the statistical error of these points."
    rivals = [run for run in runs if run.baseline and _error(run) <= _error(best)]
    if rivals:
        text += f" But {rivals[0].name} does as well or better ({figures[rivals[0].name].mse_normalised:.4f}): "
        text += "train longer, or take a better model."
    return text


def _cells(one: PointScores) -> list[str]:
    shares = (one.within_10, one.within_20, one.within_50, one.planck)
    r2 = "n/a" if one.r2 is None else f"{round(one.r2, 4) + 0.0:.4f}"  # no -0.0000
    numbers = [f"{one.mse_normalised:.4f}", f"{one.mse:.3e}", r2, f"{one.mae:#.4g}"]
    return [*numbers, _percent(one.median_relative), *map(_percent, shares)]


def _percent(value: float | None, digits: int = 1) -> str:
    return "n/a" if value is None else f"{100 * value:.{digits}f} %"


def _row(run: TrainedRun, cells: Sequence[str], *, best: bool = False) -> dict[str, Any]:
    return {"kind": "baseline" if run.baseline else "best" if best else "", "cells": [run.name, *cells]}


def ranking(
    runs: Sequence[TrainedRun], figures: Mapping[str, PointScores], heads: Sequence[str], target: Target
) -> dict[str, Any]:
    """The table of all runs, best first."""
    first = next((run.name for run in runs if not run.baseline), "")
    rows = [_row(run, _cells(figures[run.name])[: len(heads)], best=run.name == first) for run in runs]
    note = (
        f"Errors on the validation points. Normalised MSE: of z-scores of {target.learned}; it ranks, is what was "
        "trained on, and chose each training's best epoch, on these same points. All other figures are physical."
    )
    if target.transform == "log":
        note += f" A few points predicted far too large can spoil the physical MSE and R² of a good {target.learned}."
    if len(heads) == len(HEADS):
        note += " 0.12 ± 0.02: of the points that truly lie there, the share that is predicted there."
    note += " Baselines in italics."
    return {"title": "Ranking", "heads": ["", *heads], "rows": rows, "note": note, "aligned": True}


def lsp_tables(
    runs: Sequence[TrainedRun], parts: Mapping[str, Mapping[str, PointScores]], heads: Sequence[str]
) -> list[dict[str, Any]]:
    """The same table for the points of each lightest sparticle; none where the files did not say which."""
    kinds = dict.fromkeys(kind for each in parts.values() for kind in each)
    return [
        {
            "title": f"Lightest sparticle: {kind}",
            "heads": ["", *heads],
            "rows": [_row(run, _cells(parts[run.name][kind])[: len(heads)]) for run in runs],
            "note": f"{parts[runs[0].name][kind].points:,} validation points."
            + (f" Mixed: a neutralino no component of which reaches {_percent(PURE, 0)}." if kind == "mixed" else ""),
            "aligned": True,
        }
        for kind in kinds
    ]


def seed_table(
    runs: Sequence[TrainedRun], figures: Mapping[str, PointScores], names: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Mean ± standard deviation of trainings that differ in nothing but the seed; none where there are no such.

    `names`: the group of each run, where the session has named it.
    """
    alike: dict[str, list[TrainedRun]] = defaultdict(list)
    for run in runs:
        if not run.baseline:
            alike[run.kind].append(run)
    several = [group for group in alike.values() if len(group) > 1]
    rows = []
    for group in sorted(several, key=lambda group: np.mean([_error(run) for run in group])):
        each = [figures[run.name] for run in group]
        own = {names.get(run.name, "") for run in group}
        cells = [
            (own.pop() if len(own) == 1 else "") or ", ".join(sorted(run.name for run in group)),
            str(len(group)),
            _spread([one.mse_normalised for one in each], ".4f"),
            _spread([one.r2 for one in each], ".4f"),
            _spread([one.median_relative for one in each], ".1%"),
            _spread([one.within_10 for one in each], ".1%"),
            _spread([one.within_20 for one in each], ".1%"),
            _spread([one.within_50 for one in each], ".1%"),
        ]
        rows.append({"kind": "", "cells": cells})
    heads = ["", "seeds", "normalised MSE", "R²", "median rel. error", "within 10 %", "within 20 %", "within 50 %"]
    note = "Mean ± standard deviation of trainings that differ in their seed alone, best first."
    return [{"title": "Seeds taken together", "heads": heads, "rows": rows, "note": note}] if rows else []


def _spread(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return "n/a"
    return f"{np.mean(known):{form}} ± {np.std(known, ddof=1):{form}}".replace("%", "", 1).replace("%", " %")


def costs(runs: Sequence[TrainedRun]) -> dict[str, Any]:
    """The table of what each training cost."""
    heads = ["", "model", "parameters", "epochs", "wall time", "peak memory", "expected GPU memory", "device"]
    rows = []
    for run in runs:
        said, model = run.result, str(run.result.get("model", ""))
        memory, seconds = said.get("peak_memory_mib"), said.get("wall_time_s")
        expected = f"{EXPECTED_MIB[model]} MiB" if model in EXPECTED_MIB else ""
        cells = [model, f"{said.get('parameters', 0):,}" if said else "", str(said.get("epochs", len(run.losses)))]
        cells += [
            f"{seconds:,.0f} s" if seconds is not None else "",
            f"{memory:,.0f} MiB" if memory is not None else "",
        ]
        rows.append(_row(run, [*cells, expected, str(said.get("device", ""))]))
    note = "On a CPU the peak memory is that of the whole process."
    return {"title": "Cost", "heads": heads, "rows": rows, "note": note}
