"""A trained model as a function of physical parameters."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from ..data.standardize import FLOAT32_STEP, Standardizer
from ..data.targets import Target
from ..precision import Precision
from .batched import predict


class OutsideTrainingWarning(UserWarning):
    """A point lies where the model has seen nothing."""


class Surrogate:
    """The target (`target.label`) of pMSSM points, in physical units, as models trained together have learned it."""

    def __init__(
        self, models: Sequence[nn.Module], scaling: Standardizer, parameters: Sequence[str], target: Target
    ) -> None:
        self.models = [model.eval() for model in models]
        self.scaling = scaling
        self.parameters = tuple(parameters)
        self.target = target

    def __call__(self, points: ArrayLike) -> NDArray[np.float64]:
        """The target of `points`, `(n, 19)` in the order of `parameters`, GeV (tan β: 1): `(n,)`, the models' mean.

        Warns with OutsideTrainingWarning, naming the parameters, where a point lies outside the training range.
        A parameter that was constant in the training has no influence. Raises ValueError for other shapes, and for
        tables whose columns have other names or another order.
        """
        return np.asarray(self.predict_members(points).mean(axis=0))

    def mean_and_std(self, points: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of what the models of an `--ensemble` say, each `(n,)`; else as calling it.

        The deviation of a single model is 0.
        """
        members = self.predict_members(points)
        return members.mean(axis=0), members.std(axis=0)

    def predict_members(self, points: ArrayLike, *, warn: bool = True) -> NDArray[np.float64]:
        """What each model says: `(models, n)`; else as calling it."""
        rows = self._validated(points)
        if warn:
            self._warn_if_outside(rows)
        return self._predict(rows)

    def outside_training_range(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Which parameters lie where the models have seen nothing, `(n, 19)`; nan does, too.

        What a float32 can't tell from the end of the range is inside.
        """
        rows = self._validated(points)
        low, high = self.scaling.minimum[:-1], self.scaling.maximum[:-1]
        return ~((rows >= low - FLOAT32_STEP * np.abs(low)) & (rows <= high + FLOAT32_STEP * np.abs(high)))

    def _warn_if_outside(self, rows: NDArray[np.float64]) -> None:
        columns = np.flatnonzero(self.outside_training_range(rows).any(axis=0))
        if columns.size:
            names = ", ".join(self.parameters[column] for column in columns)
            warnings.warn(f"points lie outside the training range of {names}", OutsideTrainingWarning, stacklevel=4)

    def _predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each model says, `(models, n)`, wherever the points lie. Raises ValueError for other shapes."""
        scaled = (rows - self.scaling.mean[:-1]) * self.scaling.inverse_std[:-1]
        inputs = torch.from_numpy(scaled.astype(np.float32)).to(next(self.models[0].parameters()).device)
        normalised = np.stack([predict(model, inputs).double().cpu().numpy() for model in self.models])
        return self.target.backward(np.asarray(normalised * self.scaling.std[-1] + self.scaling.mean[-1]))

    def to(self, device: torch.device, precision: Precision = Precision.FP32) -> Surrogate:
        """Itself, computing on `device` from now on, the `body` of its models in bf16 where that is asked."""
        self.models = [model.to(device) for model in self.models]
        if precision is Precision.BF16:
            for model in self.models:
                for name, parameter in model.named_parameters():
                    if name.startswith(getattr(model, "body", ())):
                        parameter.data = parameter.data.to(torch.bfloat16)
        return self

    def _validated(self, points: ArrayLike) -> NDArray[np.float64]:
        names = [str(name).removeprefix("IN_") for name in getattr(points, "columns", ())]
        if any(not name.isdigit() for name in names) and names != [one.removeprefix("IN_") for one in self.parameters]:
            raise ValueError("the columns of points must be the surrogate's parameters, in that order; give "
                             "points[list(surrogate.parameters)]")  # fmt: skip
        rows = np.asarray(points, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.parameters):
            raise ValueError(f"points must be (n, {len(self.parameters)}), not {rows.shape}")
        return rows
