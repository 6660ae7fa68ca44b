"""Second head of a model: the probability that a point is usable, and of each reason why it would be cut.

A model of the target sees usable points only. This head is a classifier of its own that is trained on all rows of the
scan, so its answers hold where most of a scan is cut. Its probabilities are calibrated by one temperature: Guo et al.,
ICML 2017, arXiv:1706.04599.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.columns import PARAMETERS
from ..data.model_inputs import ModelInputs, PhysicsColumns
from ..data.outcomes import OUTCOMES
from ..data.standardize import Standardizer
from ..models.periodic import PeriodicEmbeddings
from ..physics import FEATURES
from .batched import PREDICTION_ROWS

Values = NDArray[np.float64]

EMBEDDING, FREQUENCIES, WIDTH = 4, 8, 128


class OutcomeProbabilities(NamedTuple):
    """Probabilities of the outcomes of points, each of shape (n,); their sum is 1. nan where a parameter is nan."""

    usable: Values
    failed: Values
    overclosed: Values
    rejected: Values


class OutcomeClassifier(nn.Module):
    """Perceptron; maps z-scores of shape (n, features) to logits of shape (n, classes).

    The 19 parameters also have periodic embeddings, because calculations fail in narrow ranges of single ones.

    Args:
        features: Number of inputs; the parameters are the first.
        classes: Number of outcomes.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.embedding = PeriodicEmbeddings(len(PARAMETERS), EMBEDDING, FREQUENCIES)
        self.first = nn.Linear(features + len(PARAMETERS) * EMBEDDING, WIDTH)
        self.second = nn.Linear(WIDTH, WIDTH)
        self.output = nn.Linear(WIDTH, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits."""
        embedded = self.embedding(inputs[:, : len(PARAMETERS)]).flatten(1)
        hidden = F.silu(self.first(torch.cat([embedded, inputs], dim=1)))
        return self.output(F.silu(self.second(hidden)))  # type: ignore[no-any-return]


@dataclass
class Usability:
    """The trained second head.

    Attributes:
        classifier: Gives one logit per present outcome.
        outcomes: Index into OUTCOMES of each logit. Other outcomes were too rare in the scan; they get 0.
        scaling: Standardizer of the 19 parameters and all physics features.
        temperature: Divisor of the logits.
        constants: State of the physics layer; None: the constants of this version.
        features: Physics features that are inputs.
    """

    classifier: OutcomeClassifier
    outcomes: tuple[int, ...]
    scaling: Standardizer
    temperature: float = 1.0
    constants: dict[str, Tensor] | None = None
    features: tuple[str, ...] = FEATURES

    def __post_init__(self) -> None:
        self.inputs = head_inputs(self.scaling, self.constants, self.features)

    def probabilities(self, points: Values) -> OutcomeProbabilities:
        """Return the probability of each outcome.

        Args:
            points: Physical parameters, shape (n, 19).
        """
        logits = self.logits(points) / self.temperature
        result = np.zeros((len(OUTCOMES), len(points)))
        result[list(self.outcomes)] = torch.softmax(logits, dim=1).T.cpu().numpy()
        return OutcomeProbabilities(*result)

    def logits(self, points: Values) -> Tensor:
        """Return the logits before the temperature, shape (n, outcomes), float64."""
        device = self.inputs.points_mean.device
        inputs, _ = self.inputs.compute(torch.from_numpy(np.ascontiguousarray(points)).to(device))
        with torch.no_grad():
            batches = torch.split(inputs, PREDICTION_ROWS[device.type])
            return torch.cat([self.classifier(batch) for batch in batches]).double()

    def to(self, device: torch.device) -> None:
        """Move the classifier and its inputs to `device`."""
        self.classifier, self.inputs = self.classifier.to(device), self.inputs.to(device)

    def to_saved(self) -> dict[str, Any]:
        """Return the head for `torch.save`."""
        return {
            "outcomes": [OUTCOMES[index] for index in self.outcomes],
            "weights": {key: value.detach().cpu().clone() for key, value in self.classifier.state_dict().items()},
            "scaling": self.scaling.as_dict(),
            "features": list(self.features),
            "temperature": self.temperature,
            "constants": dict(self.inputs.layer.state_dict()) if self.inputs.layer is not None else {},
        }

    @classmethod
    def from_saved(cls, saved: dict[str, Any]) -> Usability:
        """Return the head that `to_saved` described.

        Raises:
            KeyError: A part is missing, or a feature is that of another version.
            RuntimeError: The weights do not fit.
            ValueError: An outcome is unknown.
        """
        scaling, features = Standardizer.from_dict(saved["scaling"]), tuple(saved["features"])
        outcomes = tuple(OUTCOMES.index(name) for name in saved["outcomes"])
        classifier = OutcomeClassifier(len(scaling.mean), len(outcomes))
        classifier.load_state_dict(saved["weights"])
        return cls(classifier.eval(), outcomes, scaling, float(saved["temperature"]), saved["constants"], features)


def head_inputs(
    scaling: Standardizer, constants: dict[str, Tensor] | None = None, features: tuple[str, ...] = FEATURES
) -> ModelInputs:
    """Return the function that computes the inputs of the head: the 19 parameters and physics features.

    Args:
        scaling: Standardizer of the 19 parameters and the features.
        constants: State of the physics layer; None: the constants of this version.
        features: Physics features that are inputs.
    """
    width = len(PARAMETERS)
    columns = PhysicsColumns(features, scaling.select(slice(width, None)), constants)
    return ModelInputs(scaling.select(slice(0, width + 1)), columns)  # it leaves out the last column, as a target
