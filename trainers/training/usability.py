"""Training of the second head, which tells usable points from those that are cut."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..data.model_inputs import physics_columns
from ..data.outcomes import OUTCOMES, USABLE
from ..data.prepared import PreparedData
from ..data.scan import TRAIN, VAL
from ..data.standardize import fit_standardizer
from ..inference.scan_rows import scan_rows
from ..inference.usability import OutcomeClassifier, Usability
from .adamw import FlatAdamW
from .flat_parameters import FlatParameters

MIN_OUTCOME_ROWS = 20
"""An outcome with fewer training rows is not learned."""

MIN_CALIBRATION_ROWS = 50
"""With fewer validation rows the probabilities stay as they are."""

MAX_ROWS = 100_000
"""Largest number of training rows: more would take minutes and are hardly better."""

EPOCHS, BATCH_ROWS = 10, 512
LEARNING_RATE, WEIGHT_DECAY = 4e-3, 1e-2


def train_usability(prepared: PreparedData, *, seed: int, epochs: int) -> Usability | None:
    """Train the second head on the training rows and calibrate it on the validation rows.

    Args:
        prepared: Prepared scan.
        seed: Seed of the weights and of the order of the rows.
        epochs: Largest number of epochs.

    Returns:
        None if no outcome besides `usable` is frequent enough, or if the folder does not contain the cut rows.
    """
    points, outcomes = scan_rows(prepared, TRAIN)
    random = np.random.default_rng(seed)
    chosen = np.sort(random.permutation(len(points))[:MAX_ROWS])
    points, outcomes = points[chosen], outcomes[chosen]
    counts = np.bincount(outcomes, minlength=len(OUTCOMES))
    present = tuple(int(index) for index in np.flatnonzero(counts >= MIN_OUTCOME_ROWS))
    if USABLE not in present or len(present) < 2:
        return None
    rows = np.column_stack([points, physics_columns(points)])
    kept = np.isin(outcomes, present) & np.isfinite(rows).all(axis=1)
    rows, outcomes = rows[kept], outcomes[kept]
    scaling = fit_standardizer(lambda: [rows])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = Usability(OutcomeClassifier(rows.shape[1], len(present)), present, scaling)
    inputs, _ = head.inputs.compute(torch.from_numpy(rows[:, : points.shape[1]]))
    fit_classifier(head.classifier, inputs, _class_numbers(outcomes, present), random, min(epochs, EPOCHS))
    head.temperature = _fit_temperature(head, *scan_rows(prepared, VAL))
    return head


def _class_numbers(outcomes: NDArray[np.int8], present: tuple[int, ...]) -> Tensor:
    """Return the index of the logit of each outcome."""
    return torch.from_numpy(np.searchsorted(present, outcomes))


def fit_classifier(
    classifier: OutcomeClassifier, inputs: Tensor, labels: Tensor, random: np.random.Generator, epochs: int
) -> None:
    """Minimise the cross entropy with AdamW and a cosine schedule.

    Args:
        classifier: Classifier to train; in evaluation mode afterwards.
        inputs: z-scores, shape (n, features).
        labels: Number of the logit of each row, shape (n,).
        random: Gives the order of the rows.
        epochs: Number of epochs.
    """
    batch_rows = max(64, min(BATCH_ROWS, len(inputs) // 32))
    # Not `torch.optim`, which imports a compiler for a second.
    weights = FlatParameters([classifier])
    optimizer = FlatAdamW(weights, learning_rate=LEARNING_RATE, weight_decay=WEIGHT_DECAY, clip_norm=None)
    steps, step = epochs * math.ceil(len(inputs) / batch_rows), 0
    for _ in range(epochs):
        for batch in torch.split(torch.from_numpy(random.permutation(len(inputs))), batch_rows):
            optimizer.learning_rate.fill_(LEARNING_RATE * (1 + math.cos(math.pi * step / steps)) / 2)
            loss = F.cross_entropy(classifier(inputs[batch]), labels[batch])
            weights.backward_into(optimizer.gradient, loss)
            optimizer.step()
            step += 1
    classifier.eval()


def _fit_temperature(head: Usability, points: NDArray[np.float64], outcomes: NDArray[np.int8]) -> float:
    """Return the temperature with the smallest cross entropy on rows that the classifier has not seen."""
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 (300 ms, for data with outcomes alone)

    logits = head.logits(points)
    kept = torch.from_numpy(np.isin(outcomes, head.outcomes)) & torch.isfinite(logits).all(dim=1)
    if int(kept.sum()) < MIN_CALIBRATION_ROWS:
        return 1.0
    logits, labels = logits[kept], _class_numbers(outcomes, head.outcomes)[kept]
    found = minimize_scalar(
        lambda log: F.cross_entropy(logits / math.exp(log), labels).item(), bounds=(-2, 2), method="bounded"
    )
    return math.exp(float(found.x))
