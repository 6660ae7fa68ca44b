"""Predictions in big batches, and the figures made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.standardize import Standardizer
from ..data.targets import Target
from ..inference.batched import predict
from .step import TrainingData


class Scores(NamedTuple):
    """How well a model does. True and predicted values `(n,)` float64, and all but `*_normalised`, are physical.

    `*_normalised` are of z-scores: of ln(y / y_ref) where the logarithm is learned. R² is None for a constant target.
    """

    true: NDArray[np.float64]
    predicted: NDArray[np.float64]
    mse_normalised: float
    mse_normalised_std: float
    """Over the models, where several were trained together."""
    r2_normalised: float | None
    mse: float
    mae: float
    median_relative_error: float | None
    """Of the points whose true value is not 0; None where there are none."""
    r2: float | None


def evaluate(models: Sequence[nn.Module], data: TrainingData, scaling: Standardizer, target: Target) -> Scores:
    """Scores of `models`, taken together, on the validation part of `data`: of the mean of their physical values.

    The normalised error is the mean of those that each of them makes, and their standard deviation goes with it.
    """
    predictions = torch.stack([predict(model, data.val_inputs) for model in models])
    scores, truth = predictions.double().cpu().numpy(), data.val_targets.double().cpu().numpy()
    mean, std = float(scaling.mean[-1]), float(scaling.std[-1])
    losses = np.square(scores - truth).mean(axis=1)  # (models,)
    true, predicted = target.backward(truth * std + mean), target.backward(scores * std + mean).mean(axis=0)
    error, size = np.abs(predicted - true), np.abs(true)
    mse = float(np.mean(np.square(error)))
    return Scores(
        true=true,
        predicted=predicted,
        mse_normalised=float(losses.mean()),
        mse_normalised_std=float(losses.std()),
        r2_normalised=_r2(float(losses.mean()), truth),
        mse=mse,
        mae=float(np.mean(error)),
        median_relative_error=float(np.median(error[size > 0] / size[size > 0])) if size.any() else None,
        r2=_r2(mse, true),
    )


def _r2(mse: float, truth: NDArray[np.float64]) -> float | None:
    variance = float(np.var(truth))
    return 1 - mse / variance if variance > 0 else None


@dataclass(frozen=True)
class PhysicalMse:
    """The mean squared error of z-scores in physical units, on their device; without fields, that of themselves."""

    mean: float = 0.0
    std: float = 1.0
    target: Target = field(default_factory=lambda: Target("y", "y", "y"))

    @classmethod
    def of(cls, scaling: Standardizer, target: Target) -> PhysicalMse:
        """That of prepared data."""
        return cls(float(scaling.mean[-1]), float(scaling.std[-1]), target)

    def __call__(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """A scalar, float64, from `(n,)` and `(n,)`."""
        return (self._physical(predictions) - self._physical(targets)).square().mean()

    def _physical(self, scores: Tensor) -> Tensor:
        return self.target.backward_tensor(scores.double() * self.std + self.mean)
