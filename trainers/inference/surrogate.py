"""A trained model as a function of physical parameters."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from ..data.model_inputs import ModelInputs, PhysicsColumns
from ..data.standardize import Standardizer
from ..data.targets import Target
from ..precision import Precision
from .batched import predict
from .intervals import SHOWN, CalibratedIntervals, PredictionIntervals, level_index
from .learned_scale import learned_difference, shifted
from .physical_model import PhysicalModel
from .planck import PLANCK, PLANCK_SIGMA
from .points import outside_range, validated_points
from .sampling import gaussian_log_likelihood, input_gradient
from .usability import OutcomeProbabilities, Usability


class OutsideTrainingWarning(UserWarning):
    """A point lies outside the training range, where the model was not trained."""


class Surrogate:
    """The target of pMSSM points in physical units, predicted by one model or an ensemble.

    Attributes:
        models: The models, in evaluation mode.
        scaling: Standardizer of the 19 inputs and of the learned value.
        parameters: Names of the 19 inputs, in order.
        target: The target; `target.label` is its name in plots.
        physics: Physics columns that the models need besides the 19 inputs; None: none.
        inputs: Function that computes the inputs of the models from points.
        calibrated: Calibrated intervals; None if the training data were prepared without `--calibration`.
        usability: Classifier of usable points, for `outcomes`; None if the scan had no rows that were cut.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        scaling: Standardizer,
        parameters: Sequence[str],
        target: Target,
        physics: PhysicsColumns | None = None,
        *,
        calibrated: CalibratedIntervals | None = None,
        usability: Usability | None = None,
    ) -> None:
        self.models = [model.eval() for model in models]
        self.scaling = scaling
        self.parameters = tuple(parameters)
        self.target = target
        self.physics = physics
        self.inputs = ModelInputs(scaling, physics)
        self.calibrated = calibrated
        self.usability = usability

    def __call__(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return the target of `points`, the mean over the models.

        A parameter that was constant in the training has no influence.

        Args:
            points: Shape (n, 19), in the order of `parameters`, GeV (tan β: dimensionless). A table must have
                these columns in this order.

        Returns:
            Shape (n,), in the unit of the target.

        Raises:
            ValueError: Wrong shape, or the columns of the table have other names or another order.

        Warns:
            OutsideTrainingWarning: A point lies outside the training range; the message names the parameters.

        Example:
            >>> import numpy as np
            >>> from pmssm.trainers import load_surrogate
            >>> surrogate = load_surrogate("logs/session_20260122_153100/mlp/model.pt")
            >>> low, high = surrogate.scaling.minimum[:-1], surrogate.scaling.maximum[:-1]
            >>> points = np.linspace(low, high, 5)  # a line through the training range
            >>> omega = surrogate(points)
            >>> omega.shape
            (5,)
        """
        return np.asarray(self.predict_members(points).mean(axis=0))

    def mean_and_std(self, points: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and standard deviation over the models of an `--ensemble`, each (n,).

        The standard deviation of a single model is 0. Arguments, errors and warnings are those of `__call__`.

        Example:
            >>> import numpy as np
            >>> from pmssm.trainers import load_surrogate
            >>> surrogate = load_surrogate("logs/session_20260122_153100/mlp/model.pt")
            >>> low, high = surrogate.scaling.minimum[:-1], surrogate.scaling.maximum[:-1]
            >>> mean, std = surrogate.mean_and_std(np.linspace(low, high, 5))
            >>> bool((std >= 0).all())
            True
        """
        members = self.predict_members(points)
        return members.mean(axis=0), members.std(axis=0)

    def predict_members(self, points: ArrayLike, *, warn: bool = True) -> NDArray[np.float64]:
        """Return the prediction of each model, shape (models, n).

        Arguments and errors are those of `__call__`.

        Args:
            points: Shape (n, 19).
            warn: Warn of points outside the training range.
        """
        rows = validated_points(points, self.parameters)
        if warn:
            self._warn_if_outside(rows, stacklevel=4)
        return self._predict(rows)

    def outcomes(self, points: ArrayLike) -> OutcomeProbabilities:
        """Return the probabilities that the calculation gives a usable value, or why it does not.

        A classifier was trained for this on all rows of the scan, including those that were cut. So there is no
        warning outside the training range of the target. Arguments and other errors are those of `__call__`.

        Raises:
            ValueError: The model has no such classifier.

        Returns:
            `usable`, `failed` (-1 or not finite), `overclosed` (not below the upper cut of the target) and `rejected`
            (by another cut, such as `--require`), each of shape (n,).
        """
        if self.usability is None:
            raise ValueError("the model cannot tell which points are usable: its scan had too few cut rows, or it is "
                             "from an earlier version; prepare a scan with cut rows, and train again")  # fmt: skip
        return self.usability.probabilities(validated_points(points, self.parameters))

    def p_usable(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return the probability that each point is usable, shape (n,); see `outcomes`."""
        return self.outcomes(points).usable

    def p_failed(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return the probability that the calculation fails, shape (n,); see `outcomes`."""
        return self.outcomes(points).failed

    def p_overclosed(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return the probability that the target is not below its upper cut, shape (n,); see `outcomes`."""
        return self.outcomes(points).overclosed

    def log_likelihood(
        self, points: ArrayLike, observed: float = PLANCK, sigma: float = PLANCK_SIGMA
    ) -> NDArray[np.float64]:
        """Return the logarithm of the likelihood of a measured value, for samplers.

        The likelihood is Gaussian. Its variance is the square of `sigma` plus that of the model. The standard
        deviation of the model is half the length of the 68 % interval if the model has calibrated intervals, else
        the spread of the ensemble. A single model without intervals adds nothing. A point outside the training range
        gets -inf, so that samplers stay inside. There is no warning.

        Args:
            points: Shape (n, 19), as in `__call__`.
            observed: Measured value of the target; default: the relic density of Planck, 0.12.
            sigma: Standard deviation of experiment and theory, positive; default: that of Planck and 10 % theory
                error, in quadrature.

        Returns:
            Shape (n,).

        Raises:
            ValueError: `sigma` is not positive; otherwise as in `__call__`.

        Example:
            >>> import numpy as np
            >>> from pmssm.trainers import load_surrogate
            >>> surrogate = load_surrogate("logs/session_20260122_153100/mlp/model.pt")
            >>> low, high = surrogate.scaling.minimum[:-1], surrogate.scaling.maximum[:-1]
            >>> surrogate.log_likelihood(np.linspace(low, high, 5), observed=0.12, sigma=0.012).shape
            (5,)
        """
        if not sigma > 0:
            raise ValueError(f"sigma must be positive, not {sigma:g}")
        rows = validated_points(points, self.parameters)
        result = np.full(len(rows), -np.inf)
        inside = ~self.outside_training_range(rows).any(axis=1)
        if inside.any():
            members = self.predict_members(rows[inside], warn=False)
            error = self._standard_deviation(rows[inside], members)
            result[inside] = gaussian_log_likelihood(members.mean(axis=0), error, observed, sigma)
        return result

    def _standard_deviation(self, rows: NDArray[np.float64], members: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.calibrated is None:
            return np.asarray(members.std(axis=0))
        intervals = self.intervals_of(rows, members)
        return (intervals.upper_68 - intervals.lower_68) / 2

    def gradient(self, points: ArrayLike) -> NDArray[np.float64]:
        """Return the derivatives of the prediction with respect to the 19 parameters, by automatic differentiation.

        They are 0 for parameters that were constant in the training. Arguments, errors and warnings are those of
        `__call__`.

        Returns:
            Shape (n, 19), in the unit of the target per GeV (tan β: per unit).
        """
        rows = validated_points(points, self.parameters)
        self._warn_if_outside(rows, stacklevel=3)
        return input_gradient(self.physical_model(), rows)

    def physical_model(self) -> PhysicalModel:
        """Return the mean of the models as a module of PyTorch; it shares their weights."""
        return PhysicalModel(self.models, self.inputs, self.target, self.scaling)

    def intervals(self, points: ArrayLike) -> PredictionIntervals:
        """Return the intervals that contain the true value with a probability of 68 % and 95 %.

        Split-conformal calibration guarantees this on average over points that are drawn like those of the training,
        in each class of the lightest sparticle. Outside the training range there is no guarantee: the bounds are nan.
        Arguments, other errors and warnings are those of `__call__`.

        Raises:
            ValueError: The model has no calibrated intervals.

        Returns:
            `lower_68`, `upper_68`, `lower_95`, `upper_95`, each of shape (n,), in the unit of the target.
        """
        self._require_intervals()
        return self.intervals_of(points, self.predict_members(points))

    def intervals_of(self, points: ArrayLike, members: NDArray[np.float64]) -> PredictionIntervals:
        """Return the intervals of predictions that are known.

        Args:
            points: Shape (n, 19).
            members: Result of `predict_members(points)`, shape (models, n).

        Raises:
            ValueError: The model has no calibrated intervals.
        """
        half_widths = self.half_widths(points, members) * self.scaling.std[-1]
        mean = np.asarray(members.mean(axis=0))
        chosen = [half_widths[level_index(level)] for level in SHOWN]
        return PredictionIntervals(*(shifted(self.target, mean, sign * half) for half in chosen for sign in (-1, 1)))

    def half_widths(self, points: ArrayLike, members: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the half widths of the intervals at `intervals.LEVELS`, in z-scores, shape (levels, n).

        Args:
            points: Shape (n, 19).
            members: Result of `predict_members(points)`, shape (models, n).

        Raises:
            ValueError: The model has no calibrated intervals.
        """
        rows = validated_points(points, self.parameters)
        result = self._require_intervals().half_widths(rows, self.spread_of(members))
        result[:, self.outside_training_range(rows).any(axis=1)] = np.nan
        return result

    def _require_intervals(self) -> CalibratedIntervals:
        if self.calibrated is None:
            raise ValueError("the model has no calibrated intervals; prepare its data with --calibration 0.1, and "
                             "train it again")  # fmt: skip
        return self.calibrated

    def spread_of(self, members: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the spread of predictions of shape (models, n), in z-scores of the learned values, shape (n,)."""
        differences = learned_difference(self.target, members.mean(axis=0), members)
        return np.asarray(differences.std(axis=0) / self.scaling.std[-1])

    def outside_training_range(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Return which parameters lie outside the training range, shape (n, 19).

        nan lies outside. Values that float32 cannot distinguish from the end of the range lie inside.
        """
        return outside_range(validated_points(points, self.parameters), self.scaling)

    def _warn_if_outside(self, rows: NDArray[np.float64], *, stacklevel: int) -> None:
        columns = np.flatnonzero(self.outside_training_range(rows).any(axis=0))
        if columns.size:
            names = ", ".join(self.parameters[column] for column in columns)
            warnings.warn(f"points lie outside the training range of {names}", OutsideTrainingWarning,
                          stacklevel=stacklevel)  # fmt: skip

    def _predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the prediction of each model for `rows`, shape (n, 19)."""
        points = torch.from_numpy(np.ascontiguousarray(rows)).to(self.inputs.points_mean.device)
        inputs, reference = self.inputs.compute(points)
        normalised = np.stack([predict(model, inputs).double().cpu().numpy() for model in self.models])
        learned = np.asarray(normalised * self.scaling.std[-1] + self.scaling.mean[-1])
        return self.target.backward(learned, None if reference is None else reference.cpu().numpy())

    def to(self, device: torch.device, precision: Precision = Precision.FP32) -> Surrogate:
        """Move the models to `device` and return this surrogate.

        Args:
            device: Device of the following predictions.
            precision: bf16 converts the `body` of the models to bf16.
        """
        self.models = [model.to(device) for model in self.models]
        self.inputs = self.inputs.to(device)
        if self.usability is not None:
            self.usability.to(device)
        if precision is Precision.BF16:
            for model in self.models:
                for name, parameter in model.named_parameters():
                    if name.startswith(getattr(model, "body", ())):
                        parameter.data = parameter.data.to(torch.bfloat16)
        return self
