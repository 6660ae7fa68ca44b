"""What `evaluate` says of models: the sentence on top, warnings, and evaluation.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.requirements import Requirement
from ..inference.surrogate import Surrogate
from .holdout import Holdout
from .model_scores import ALL, ClassScores
from .outcome_scores import OutcomeScores
from .tables import percent


@dataclass(frozen=True)
class LoadedModel:
    """A model to evaluate.

    Attributes:
        name: Name in tables: that of its training.
        path: Its model.pt.
        surrogate: The model.
        known: Fingerprints of the points that its training used; None if they are not in the file.
        neutralino_lsp: Whether it was trained on points whose lightest sparticle is a neutralino.
        require: Conditions that its training points satisfy.
    """

    name: str
    path: Path
    surrogate: Surrogate
    known: NDArray[np.int64] | None
    neutralino_lsp: bool
    require: tuple[Requirement, ...]


@dataclass(frozen=True)
class EvaluatedModel:
    """Figures of one model.

    Attributes:
        model: The model.
        seen: Number of holdout points that its training used; None: unknown.
        outside: Number of holdout points outside its training range.
        predicted: Predictions, physical, shape (n,).
        source: Where its errors come from; empty if it states none.
        classes: Figures by class of the lightest sparticle, "all" first.
        outcomes: Quality of its second head by outcome; empty if it has none.
    """

    model: LoadedModel
    seen: int | None
    outside: int
    predicted: NDArray[np.float64]
    source: str
    classes: Mapping[str, ClassScores]
    outcomes: Mapping[str, OutcomeScores]


def warnings_about(evaluated: Sequence[EvaluatedModel], points: int) -> list[str]:
    """Return lines about points that a model has seen or should not be asked for."""
    lines = []
    for one in evaluated:
        name = one.model.name
        if one.seen is None:
            lines.append(f"{name}: the model keeps no fingerprints of its training points, so it is unknown whether "
                         "it has seen these points; train it again with this version to know")  # fmt: skip
        elif one.seen:
            lines.append(f"{name}: {one.seen:,} of the {points:,} points ({percent(one.seen / points)}) were used in "
                         "its training, so its figures are too good; provide other points")  # fmt: skip
        if one.outside:
            lines.append(f"{name}: {one.outside:,} of the {points:,} points ({percent(one.outside / points)}) lie "
                         "outside its training range; it gives no guarantee there")  # fmt: skip
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
        "points": len(holdout.known.true),
        "models": {
            one.model.name: {
                "path": str(one.model.path),
                "target": one.model.surrogate.target.as_dict(),
                "points_used_in_training": one.seen,
                "points_outside_training_range": one.outside,
                "stated_errors": one.source or None,
                "classes": {
                    name: {key: None if part is None else asdict(part) for key, part in figures._asdict().items()}
                    for name, figures in one.classes.items()
                },
                "outcomes": {name: asdict(figures) for name, figures in one.outcomes.items()},
            }
            for one in evaluated
        },
    }
