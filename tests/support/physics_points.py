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


SCAN_RANGES = {"meL": (100, 2000), "meR": (100, 2000), "M_1": (-2000, 2000), "M_2": (-2000, 2000), "mu": (-2000, 2000),
               "At": (-8000, 8000), "Ab": (-2000, 2000), "Atau": (-2000, 2000), "tanb": (1, 60)}  # fmt: skip
"""Ranges of the parameters that vary in a typical scan."""

SCAN_CONSTANTS = {"mtauL": 2000.0, "mtauR": 2000.0, "mA": 2000.0}
"""Parameters that are constant in it, besides the squark masses and M_3, 4000 GeV."""


def scan_ends(which: int) -> list[float]:
    """Return the lower (0) or upper (1) ends of the ranges of all 19 parameters."""
    ends = {name: (SCAN_CONSTANTS.get(name, 4000.0),) * 2 for name in Parameters._fields} | SCAN_RANGES
    return [float(ends[name][which]) for name in Parameters._fields]
