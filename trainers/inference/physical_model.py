"""A surrogate as one PyTorch module: from physical parameters to the target, and to its intervals."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..data.model_inputs import ModelInputs
from ..data.standardize import Standardizer
from ..data.targets import MAX_LOG, Target
from ..physics import PhysicsFeatures
from .intervals import SHOWN, CalibratedIntervals, level_index
from .points import range_with_tolerance
from .predicted_lsp import lsp_classes, lsp_classes_from_features


class PhysicalModel(nn.Module):
    """Mean of trained models as a function of physical parameters.

    Args:
        models: The models.
        inputs: Computes the inputs of the models.
        target: Converts learned to physical values.
        scaling: Standardizer of the training; its last column is the learned value.

    Attributes:
        models: The models.
        inputs: Computes the inputs of the models.
        target: Converts learned to physical values.
        offset: Mean of the learned values.
        scale: Standard deviation of the learned values.
    """

    def __init__(self, models: Sequence[nn.Module], inputs: ModelInputs, target: Target, scaling: Standardizer) -> None:
        super().__init__()
        self.models, self.inputs, self.target = nn.ModuleList(models), inputs, target
        self.offset, self.scale = float(scaling.mean[-1]), float(scaling.std[-1])

    def forward(self, points: Tensor) -> Tensor:
        """Map points of shape (n, 19), float64, to values of the target, shape (n,), float64."""
        return self.members(points).mean(dim=0)

    def members(self, points: Tensor) -> Tensor:
        """Return the prediction of each model, shape (models, n)."""
        return self._members(*self.inputs(points))

    def members_and_physics(self, points: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the prediction of each model and the physics columns, shape (n, len(FEATURES)), or None."""
        physics = None if self.inputs.layer is None else self.inputs.layer(points)
        return self._members(*self.inputs.from_physics(points, physics)), physics

    def _members(self, inputs: Tensor, reference: Tensor | None) -> Tensor:
        normalised = torch.stack([model(inputs) for model in self.models]).double()
        return self.target.backward_tensor(normalised * self.scale + self.offset, reference)


class IntervalModel(nn.Module):
    """Mean of the models and the bounds of their calibrated intervals.

    Args:
        model: The models.
        scaling: Standardizer of the training.
        calibrated: Their intervals.

    Attributes:
        low: Smallest parameters in the training range, shape (19,).
        high: Largest parameters in the training range, shape (19,).
        quantiles: Half width of each shown level over the difficulty, by class, shape (classes, levels).
        difficulty: Part of the difficulty that is equal for all points, on the learned scale, shape (1,).
        physics: Layer that predicts the class of a point; None: the layer of the model has the same constants.
    """

    low: Tensor
    high: Tensor
    quantiles: Tensor
    difficulty: Tensor

    def __init__(self, model: PhysicalModel, scaling: Standardizer, calibrated: CalibratedIntervals) -> None:
        super().__init__()
        self.model, self.target = model, model.target
        low, high = range_with_tolerance(scaling)
        levels = [level_index(level) for level in SHOWN]
        self.register_buffer("low", torch.from_numpy(low))
        self.register_buffer("high", torch.from_numpy(high))
        self.register_buffer("quantiles", torch.from_numpy(calibrated.quantiles[:, levels].copy()))
        self.register_buffer("difficulty", torch.tensor([calibrated.offset * model.scale], dtype=torch.float64))
        # The class of a point is that of the constants of this version, also for a model with earlier ones.
        physics = PhysicsFeatures()
        self.physics = None if _have_same_constants(model.inputs.layer, physics) else physics

    def forward(self, points: Tensor) -> tuple[Tensor, ...]:
        """Map points of shape (n, 19), float64, to the target and its bounds, each of shape (n,), float64.

        The bounds are in the order of `PredictionIntervals`, nan outside the training range.
        """
        members, physics = self.model.members_and_physics(points)
        mean = members.mean(dim=0)
        learned = torch.log(members / mean) if self.target.is_logarithmic else members - mean
        spread = ((learned - learned.mean(dim=0)) ** 2).mean(dim=0).sqrt()  # (n,)
        if self.physics is not None:
            classes = lsp_classes(points, self.physics.constants())
        else:
            assert physics is not None
            classes = lsp_classes_from_features(physics)
        half_widths = self.quantiles[classes].T * (spread + self.difficulty)  # (levels, n)
        inside = ((points >= self.low) & (points <= self.high)).all(dim=1)
        bounds = [self._shifted(mean, sign * half) for half in half_widths.unbind(0) for sign in (-1, 1)]
        return mean, *(torch.where(inside, bound, torch.full_like(bound, torch.nan)) for bound in bounds)

    def _shifted(self, values: Tensor, difference: Tensor) -> Tensor:
        if self.target.is_logarithmic:
            return values * difference.clamp(-MAX_LOG, MAX_LOG).exp()
        result = values + difference
        return result if self.target.above is None else result.clamp(min=self.target.above)


def _have_same_constants(layer: PhysicsFeatures | None, other: PhysicsFeatures) -> bool:
    if layer is None:
        return False
    mine, others = layer.state_dict(), other.state_dict()
    return mine.keys() == others.keys() and all(torch.equal(mine[name], others[name]) for name in mine)
