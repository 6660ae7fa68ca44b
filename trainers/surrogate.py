"""A trained model as a function of physical parameters."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from .data.arrays import Prepared
from .data.scaling import Scaling
from .data.targets import Target
from .evaluate import predict
from .models import RECIPES

FORMAT = 3


class OutsideTrainingWarning(UserWarning):
    """A point lies where the model has seen nothing."""


class Surrogate:
    """The target (`target.label`) of pMSSM points, in physical units, as models trained together have learned it."""

    def __init__(
        self, models: Sequence[nn.Module], scaling: Scaling, parameters: Sequence[str], target: Target
    ) -> None:
        self.models = [model.eval() for model in models]
        self.scaling = scaling
        self.parameters = tuple(parameters)
        self.target = target

    def __call__(self, points: ArrayLike) -> NDArray[np.float64]:
        """The target of `points`, `(n, 19)` in the order of `parameters`, GeV (tan β: 1): `(n,)`, the models' mean.

        Warns with OutsideTrainingWarning, naming the parameters, where a point lies outside the training range.
        A parameter that was constant in the training has no influence. Raises ValueError for other shapes.
        """
        return np.asarray(self.members(points).mean(axis=0))

    def mean_and_std(self, points: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of what the models of an `--ensemble` say, each `(n,)`; else as calling it.

        The deviation of a single model is 0.
        """
        members = self.members(points)
        return members.mean(axis=0), members.std(axis=0)

    def members(self, points: ArrayLike) -> NDArray[np.float64]:
        """What each model says: `(models, n)`; else as calling it."""
        rows = np.asarray(points, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.parameters):
            raise ValueError(f"points must be (n, {len(self.parameters)}), not {rows.shape}")
        low, high = self.scaling.minimum[:-1], self.scaling.maximum[:-1]
        outside = np.flatnonzero(((rows < low) | (rows > high)).any(axis=0))
        if outside.size:
            names = ", ".join(self.parameters[column] for column in outside)
            warnings.warn(f"points lie outside the training range of {names}", OutsideTrainingWarning, stacklevel=3)
        scaled = (rows - self.scaling.mean[:-1]) * self.scaling.inverse_std[:-1]
        inputs = torch.from_numpy(scaled.astype(np.float32))
        normalised = np.stack([predict(model, inputs).double().numpy() for model in self.models])
        return self.target.backward(np.asarray(normalised * self.scaling.std[-1] + self.scaling.mean[-1]))


def pack(name: str, models: Sequence[nn.Module], prepared: Prepared, settings: dict[str, Any]) -> dict[str, Any]:
    """What `model.pt` holds, as `torch.save` takes it: weights, normalisation, target, settings."""
    columns = {key: torch.from_numpy(np.array(value)) for key, value in vars(prepared.scaling).items()}
    return {
        "format": FORMAT,
        "name": name,
        "model": type(models[0]).__name__,
        # Copies: the parameters are views of one buffer, and each would be written with all of it.
        "weights": [
            {key: value.detach().cpu().clone() for key, value in model.state_dict().items()} for model in models
        ],
        "scaling": columns,
        "parameters": list(prepared.meta["parameters"]),
        "target": prepared.target.as_dict(),
        "neutralino_lsp": prepared.meta["neutralino_lsp"],
        "settings": settings,
    }


def load_surrogate(path: Path | str) -> Surrogate:
    """The surrogate in a `model.pt`, on the CPU.

    Raises OSError where the file can't be read, ValueError where it is not one of ours.
    """
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(saved, dict) or saved.get("format") != FORMAT or saved.get("name") not in RECIPES:
        raise ValueError(f"{path}: is no model of this version")
    models = []
    for weights in saved["weights"]:
        models.append(RECIPES[saved["name"]].build())
        models[-1].load_state_dict(weights)
    scaling = Scaling(**{key: value.numpy() for key, value in saved["scaling"].items()})
    return Surrogate(models, scaling, saved["parameters"], Target.from_dict(saved["target"]))
