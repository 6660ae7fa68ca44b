"""Mass of the light Higgs boson with the leading one- and two-loop corrections.

The corrections have the form of Haber, Hempfling and Hoang, Z. Phys. C 75 (1997) 539, hep-ph/9609331, and of Carena,
Espinosa, Quirós and Wagner, PLB 355 (1995) 209, hep-ph/9504316: powers of X_t/M_S and of ln(M_S²/m_t²) times
3 m_t⁴/4π²v². The coefficients are fitted, since the leading terms alone are off by some GeV.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .constants import M_TOP, M_Z, Constants
from .parameters import Parameters

V = 174.1
"""Vacuum expectation value of the Higgs field, GeV."""

TOP_SCALE = 3 * M_TOP**4 / (4 * math.pi**2 * V**2)
"""3 m_t⁴/4π²v², GeV²."""

LIGHTEST = 60.0
"""Smallest mass in GeV: a point with an unstable potential counts as that light."""


def higgs_mass(p: Parameters, c: Constants) -> Tensor:
    """Return the mass of h in GeV, shape (points,)."""
    scale2 = torch.clamp(p.mqL3 * p.mtR, min=1e4)
    cos2 = 1 / (1 + p.tanb * p.tanb)
    sin2 = 1 - cos2
    heavy2, z2 = p.mA * p.mA, M_Z**2
    cos2_2beta = (cos2 - sin2) * (cos2 - sin2)
    up_type = (_tops(p, c, scale2) - _bottoms(p, c, scale2)) / sin2 + z2 * _gauginos(p, c, scale2, cos2_2beta)
    down = heavy2 * sin2 + z2 * cos2
    up = heavy2 * cos2 + z2 * sin2 + up_type
    mixing2 = (heavy2 + z2) * (heavy2 + z2) * sin2 * cos2
    gap = down - up
    squared = (down + up) / 2 - torch.sqrt(gap * gap / 4 + mixing2)
    return torch.sqrt(torch.clamp(squared, min=LIGHTEST**2))


def _tops(p: Parameters, c: Constants, scale2: Tensor) -> Tensor:
    """Return the loops of tops and stops, GeV²."""
    log = torch.log(scale2 / M_TOP**2)
    cot = 1 / p.tanb
    scale = torch.sqrt(scale2)
    mixing = (p.At - p.mu * cot) / scale
    x2, cot2 = mixing * mixing, cot * cot
    loops = (
        c["higgs_constant"]
        + log * (c["higgs_log"] + c["higgs_log_squared"] * log)
        + x2 * (c["higgs_mixing"] - c["higgs_mixing_log"] * log)
        - x2 * x2 * (c["higgs_mixing_fourth"] - c["higgs_mixing_fourth_log"] * log)
        + p.M_3 / scale * mixing * (c["higgs_gluino"] + c["higgs_gluino_mixing"] * x2)
    )
    low = cot2 * (c["higgs_low"] + c["higgs_low_mixing"] * x2 + c["higgs_low_squared"] * cot2)
    return TOP_SCALE * (loops + low)


def _bottoms(p: Parameters, c: Constants, scale2: Tensor) -> Tensor:
    """Return the loops of sbottoms, which matter at large tan β and |μ|, GeV²; with the gluino loop in Δ_b."""
    total = p.M_3 * p.M_3 + p.mqL3 * p.mqL3 + p.mbR * p.mbR
    yukawa = p.tanb / 50 / torch.clamp(1 + 0.026 * p.M_3 * p.mu * p.tanb / total, min=0.3)
    strength = yukawa * yukawa * p.mu * p.mu / scale2
    return 1000 * c["higgs_sbottom"] * strength * strength


def _gauginos(p: Parameters, c: Constants, scale2: Tensor, cos2_2beta: Tensor) -> Tensor:
    """Return the electroweak loops relative to M_Z²."""
    wino2, both2 = p.M_2 * p.M_2 + M_Z**2, p.M_2 * p.M_2 + p.mu * p.mu + M_Z**2
    winos = c["higgs_wino"] * torch.log(scale2 / wino2) + c["higgs_wino_higgsino"] * torch.log(scale2 / both2)
    sleptons = -c["higgs_slepton"] * torch.log(scale2 / (p.meL * p.meL + M_Z**2))
    return winos + sleptons - c["higgs_d_term"] * cos2_2beta * torch.log(scale2 / M_TOP**2)
