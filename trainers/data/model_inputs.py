"""Inputs of a model from physical parameters: z-scores of the 19 parameters and of physics features."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..physics import FEATURES, PhysicsFeatures, compute_features
from ..physics.constants import CONSTANTS
from ..physics.features import BATCH, LOG_OMEGA, SPECTRUM_FEATURES
from ..physics.parameters import Parameters
from .columns import PARAMETERS
from .standardize import FEATURE_LIMIT, Standardizer
from .targets import RELIC_DENSITY, Target

PHYSICS_VERSION = 2
"""Increase it if a formula of the features changes: prepared arrays of another version are computed again."""

if tuple(name.removeprefix("IN_") for name in PARAMETERS) != Parameters._fields:
    raise ImportError("trainers/physics/parameters.py: the fields must be the 19 parameters in the order of the inputs")


@dataclass(frozen=True)
class PhysicsColumns:
    """Physics that a model needs besides the 19 parameters.

    Attributes:
        names: Features that are inputs; may be empty if only the reference of the target is needed.
        scaling: Standardizer of these features.
        constants: State of the physics layer; None: the constants of this version.
    """

    names: tuple[str, ...]
    scaling: Standardizer
    constants: dict[str, Tensor] | None = None


def physics_version() -> str:
    """Return a text that identifies formulas and constants of the features."""
    constants = [(one.name, one.value) for one in CONSTANTS]
    content = json.dumps([PHYSICS_VERSION, FEATURES, constants])
    return hashlib.sha256(content.encode()).hexdigest()


def physics_names() -> tuple[str, ...]:
    """Return the names of all physics columns."""
    return FEATURES


def feature_names(target: Target) -> tuple[str, ...]:
    """Return the features that are inputs for `target`: those of the freeze-out are for the relic density only."""
    return FEATURES if target.branch == RELIC_DENSITY else SPECTRUM_FEATURES


def feature_numbers(names: Sequence[str]) -> list[int]:
    """Return the numbers of the physics columns `names`.

    Raises:
        KeyError: This version has no feature of this name.
    """
    numbers = {name: number for number, name in enumerate(FEATURES)}
    return [numbers[name] for name in names]


def physics_columns(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return all physics columns of `points`.

    Args:
        points: Shape (n, 19), GeV.

    Returns:
        Shape (n, len(FEATURES)).
    """
    return compute_features(PhysicsFeatures(), torch.from_numpy(np.ascontiguousarray(points))).numpy()


class ModelInputs(nn.Module):
    """z-scores of points, and the reference of the target.

    Args:
        scaling: Standardizer of the 19 parameters and of the learned value.
        physics: Physics columns; None: the inputs are the 19 parameters.

    Attributes:
        width: Number of inputs of the model.
    """

    points_mean: Tensor
    points_inverse_std: Tensor
    features_mean: Tensor
    features_inverse_std: Tensor
    numbers: Tensor

    def __init__(self, scaling: Standardizer, physics: PhysicsColumns | None = None) -> None:
        super().__init__()
        self.register_buffer("points_mean", torch.from_numpy(scaling.mean[:-1].copy()))
        self.register_buffer("points_inverse_std", torch.from_numpy(scaling.inverse_std[:-1].copy()))
        self.layer: PhysicsFeatures | None = None
        self.width = len(self.points_mean)
        if physics is None:
            return
        saved = physics.constants
        self.layer = PhysicsFeatures() if saved is None else PhysicsFeatures.from_saved(saved)
        self.register_buffer("numbers", torch.tensor(feature_numbers(physics.names), dtype=torch.int64))
        self.register_buffer("features_mean", torch.from_numpy(physics.scaling.mean.copy()))
        self.register_buffer("features_inverse_std", torch.from_numpy(physics.scaling.inverse_std.copy()))
        self.width += len(physics.names)

    def forward(self, points: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the inputs of the model and the reference of the target.

        Args:
            points: Shape (n, 19), float64, GeV.

        Returns:
            z-scores, shape (n, width), float32, and the semi-analytic ln Ωh², shape (n,), float64; None without
            physics.
        """
        physics = None if self.layer is None else self.layer(points)
        return self.from_physics(points, physics)

    def from_physics(self, points: Tensor, physics: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return what `forward` returns, for physics columns that `layer` has computed, shape (n, len(FEATURES))."""
        inputs = (points - self.points_mean) * self.points_inverse_std
        if physics is None:
            return inputs.float(), None
        features = (physics.index_select(1, self.numbers) - self.features_mean) * self.features_inverse_std
        features = features.clamp(-FEATURE_LIMIT, FEATURE_LIMIT)
        return torch.cat([inputs, features], dim=1).float(), physics[:, LOG_OMEGA]

    def compute(self, points: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return what `forward` returns, without gradients, in batches that fit into the cache."""
        with torch.no_grad():
            if self.layer is None:
                return self(points)  # type: ignore[no-any-return]
            inputs, references = zip(*(self(batch) for batch in torch.split(points, BATCH)), strict=True)
        return torch.cat(inputs), torch.cat(references)
