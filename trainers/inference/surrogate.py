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

from ..data.prepared import Prepared
from ..data.standardize import FLOAT32_STEP, Scaling
from ..data.targets import Target
from ..errors import ModelError
from ..models import RECIPES
from ..precision import Precision
from ..training.evaluation import predict

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
        A parameter that was constant in the training has no influence. Raises ValueError for other shapes, and for
        tables whose columns have other names or another order.
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
        rows = self._rows(points)
        outside = np.flatnonzero(self.outside(rows).any(axis=0))
        if outside.size:
            names = ", ".join(self.parameters[column] for column in outside)
            warnings.warn(f"points lie outside the training range of {names}", OutsideTrainingWarning, stacklevel=3)
        return self.ask(rows)

    def outside(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Which parameters lie where the models have seen nothing, `(n, 19)`; nan does, too.

        What a float32 can't tell from the end of the range is inside.
        """
        rows = self._rows(points)
        low, high = self.scaling.minimum[:-1], self.scaling.maximum[:-1]
        return ~((rows >= low - FLOAT32_STEP * np.abs(low)) & (rows <= high + FLOAT32_STEP * np.abs(high)))

    def ask(self, points: ArrayLike) -> NDArray[np.float64]:
        """What each model says, `(models, n)`, wherever the points lie. Raises ValueError for other shapes."""
        scaled = (self._rows(points) - self.scaling.mean[:-1]) * self.scaling.inverse_std[:-1]
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

    def _rows(self, points: ArrayLike) -> NDArray[np.float64]:
        names = [str(name).removeprefix("IN_") for name in getattr(points, "columns", ())]
        if any(not name.isdigit() for name in names) and names != [one.removeprefix("IN_") for one in self.parameters]:
            raise ValueError("the columns of points must be the surrogate's parameters, in that order; give "
                             "points[list(surrogate.parameters)]")  # fmt: skip
        rows = np.asarray(points, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.parameters):
            raise ValueError(f"points must be (n, {len(self.parameters)}), not {rows.shape}")
        return rows


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
    """The surrogate in a `model.pt`, on the CPU; it needs no training data.

    Raises OSError where the file can't be read, ModelError (a ValueError) where it is not one of ours.
    """
    return unpack(read_model(path), path)


def read_model(path: Path | str) -> dict[str, Any]:
    """What `pack` gave; raises as `load_surrogate` does."""
    with Path(path).open("rb") as file:
        file.read(1)  # what can't be read at all raises here, as OSError
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # any class, OSError too, where the file is not one of torch's
        raise ModelError(f"{path}: is no model, or a damaged one; give the model.pt that a trainer wrote") from error
    if isinstance(saved, dict) and saved.keys() == {"identity", "state"}:
        raise ModelError(f"{path}: is a checkpoint, not a model; give the model.pt beside it, written at the end")
    if not isinstance(saved, dict) or not {"format", "name"} <= saved.keys():
        raise ModelError(f"{path}: is no model of pmssm-supervise; give the model.pt that a trainer wrote")
    if saved["format"] != FORMAT or saved["name"] not in RECIPES:
        raise ModelError(f"{path}: is a model of another version (format {saved['format']}, this one reads {FORMAT}); "
                         "use that version, or train again")  # fmt: skip
    return saved


def unpack(saved: dict[str, Any], path: Path | str) -> Surrogate:
    """The surrogate in what `read_model` gave; `path` names it in errors. Raises ModelError where parts are missing."""
    models = []
    try:
        for weights in saved["weights"]:
            models.append(RECIPES[saved["name"]].build())
            models[-1].load_state_dict(weights)
        scaling = Scaling(**{key: value.numpy() for key, value in saved["scaling"].items()})
        return Surrogate(models, scaling, saved["parameters"], Target.from_dict(saved["target"]))
    except (KeyError, TypeError, RuntimeError) as error:
        raise ModelError(f"{path}: the model is incomplete; give the model.pt that a trainer wrote") from error
