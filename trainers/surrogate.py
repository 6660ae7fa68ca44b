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

FORMAT = 2


class OutsideTrainingWarning(UserWarning):
    """A point lies where the model has seen nothing."""


class Surrogate:
    """The target (`target.label`) of pMSSM points, in physical units, as a model has learned it."""

    def __init__(self, model: nn.Module, scaling: Scaling, parameters: Sequence[str], target: Target) -> None:
        self.model = model.eval()
        self.scaling = scaling
        self.parameters = tuple(parameters)
        self.target = target

    def __call__(self, points: ArrayLike) -> NDArray[np.float64]:
        """The target of `points`, `(n, 19)` in the order of `parameters`, GeV (tan β: 1): `(n,)`.

        Warns with OutsideTrainingWarning, naming the parameters, where a point lies outside the training range.
        A parameter that was constant in the training has no influence. Raises ValueError for other shapes.
        """
        rows = np.asarray(points, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.parameters):
            raise ValueError(f"points must be (n, {len(self.parameters)}), not {rows.shape}")
        low, high = self.scaling.minimum[:-1], self.scaling.maximum[:-1]
        outside = np.flatnonzero(((rows < low) | (rows > high)).any(axis=0))
        if outside.size:
            names = ", ".join(self.parameters[column] for column in outside)
            warnings.warn(f"points lie outside the training range of {names}", OutsideTrainingWarning, stacklevel=2)
        scaled = (rows - self.scaling.mean[:-1]) * self.scaling.inverse_std[:-1]
        normalised = predict(self.model, torch.from_numpy(scaled.astype(np.float32))).double().numpy()
        return self.target.backward(np.asarray(normalised * self.scaling.std[-1] + self.scaling.mean[-1]))


def pack(name: str, model: nn.Module, prepared: Prepared, settings: dict[str, Any]) -> dict[str, Any]:
    """What `model.pt` holds, as `torch.save` takes it: weights, normalisation, target, settings."""
    columns = {key: torch.from_numpy(np.array(value)) for key, value in vars(prepared.scaling).items()}
    return {
        "format": FORMAT,
        "name": name,
        "model": type(model).__name__,
        # Copies: the parameters are views of one buffer, and each would be written with all of it.
        "weights": {key: value.detach().cpu().clone() for key, value in model.state_dict().items()},
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
    model = RECIPES[saved["name"]].build()
    model.load_state_dict(saved["weights"])
    scaling = Scaling(**{key: value.numpy() for key, value in saved["scaling"].items()})
    return Surrogate(model, scaling, saved["parameters"], Target.from_dict(saved["target"]))
