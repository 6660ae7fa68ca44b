"""pMSSM points for the tests."""

from __future__ import annotations

import torch
from pmssm.trainers.physics.parameters import Parameters
from torch import Tensor

HEAVY = {"meL": 4000.0, "meR": 4000.0, "mtauL": 4000.0, "mtauR": 4000.0, "mqL1": 4000.0, "muR": 4000.0, "mdR": 4000.0,
         "mqL3": 4000.0, "mtR": 4000.0, "mbR": 4000.0, "M_1": 4000.0, "M_2": 4100.0, "mu": 4200.0, "M_3": 4000.0,
         "At": 0.0, "Ab": 0.0, "Atau": 0.0, "mA": 4000.0, "tanb": 10.0}  # fmt: skip
"""Everything decoupled; a test makes light what it is about."""


def point(**light: float) -> Tensor:
    """Return one point, shape (1, 19), float64."""
    values = HEAVY | light
    return torch.tensor([[values[name] for name in Parameters._fields]], dtype=torch.float64)
