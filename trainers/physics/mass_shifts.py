"""Approximate loop corrections: from the running parameters at the scale Q to pole masses.

The corrections have the form of the one-loop result (Pierce, Bagger, Matchev and Zhang, NPB 491 (1997) 3,
hep-ph/9606211, called PBMZ below), with fitted coefficients. Q = √(mqL3 mtR) is where the parameters are given.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .constants import M_TAU, M_Z, Constants
from .parameters import Parameters

_NODES = 6
"""Gauss-Legendre nodes in the Feynman parameter; logarithmic thresholds inside limit the accuracy to about 1 %."""

_HYPERCHARGES = (-2, 2, 2, -4, 2, -1, 1, 1, -2, 1)
"""Σ Y over the states of meL meR mqL1 muR mdR (two generations each) mtauL mtauR mqL3 mtR mbR."""

_HYPERCHARGE_SQUARES = (1, 2, 1 / 3, 8 / 3, 2 / 3, 1 / 2, 1, 1 / 6, 4 / 3, 1 / 3)
"""Σ Y² over the same states."""


class ShiftedMasses(NamedTuple):
    """Mass parameters with loop corrections, shape (points,) each; GeV or GeV²."""

    bino: Tensor
    wino: Tensor
    higgsino: Tensor
    selectron_right_squared: Tensor
    selectron_left_squared: Tensor
    stau_right_squared: Tensor
    stau_left_squared: Tensor
    tau: Tensor
    """Mass of the τ that belongs to its Yukawa coupling."""


def shifted_masses(p: Parameters, c: Constants) -> ShiftedMasses:
    """Return the diagonal elements of the mass matrices, with loop corrections."""
    q2 = torch.clamp(p.mqL3 * p.mtR, min=1e4)
    sin_2beta = 2 * p.tanb / (1 + p.tanb * p.tanb)
    loops = _all_higgs_loops(p, q2)
    bino, wino, higgsino = (shifted(p, c, q2, sin_2beta, loops) for shifted in (_bino, _wino, _higgsino))
    hypercharge = c["hypercharge_trace"] * _hypercharge_trace(p, q2)
    right = _right_sleptons(torch.stack([p.meR, p.mtauR]), p, c, q2) - hypercharge
    left = _left_sleptons(torch.stack([p.meL, p.mtauL]), p, c, q2) + hypercharge / 2
    left_yukawa, right_yukawa = _tau_yukawa(p, c, q2)
    return ShiftedMasses(
        bino, wino, higgsino, right[0], left[0], right[1] + right_yukawa, left[1] + left_yukawa, _tau_mass(p, c)
    )


def _bino(p: Parameters, c: Constants, q2: Tensor, sin_2beta: Tensor, loops: _AllHiggsLoops) -> Tensor:
    """Return M_1 with the loops of sfermions, weighted by N_c Y², and of higgsinos with Higgs bosons."""
    squares = torch.tensor(_HYPERCHARGE_SQUARES, dtype=q2.dtype, device=q2.device)[:, None]
    fermions = (squares * _b1_massless(p.M_1, _sfermions(p), q2)).sum(0)
    higgs = loops.bino_higgsino
    relative = 1 + c["bino_shift"] + c["bino_sfermions"] * fermions + c["bino_higgs"] * higgs.diagonal
    return p.M_1 * relative + c["bino_higgs_mixed"] * sin_2beta * p.mu * higgs.mixed


def _wino(p: Parameters, c: Constants, q2: Tensor, sin_2beta: Tensor, loops: _AllHiggsLoops) -> Tensor:
    """Return M_2 with the loops of gauge bosons, of sfermion doublets and of higgsinos with Higgs bosons."""
    lepton, tau, quark, third = _b1_massless(p.M_2, torch.stack([p.meL, p.mtauL, p.mqL1, p.mqL3]), q2).unbind(0)
    fermions = 2 * lepton + tau + 3 * (2 * quark + third)
    higgs = loops.wino_higgsino
    relative = (
        1
        + c["wino_shift"]
        + c["wino_gauge"] * _log(q2, p.M_2)
        + c["wino_sfermions"] * fermions
        + c["wino_higgs"] * higgs.diagonal
    )
    return p.M_2 * relative + c["wino_higgs_mixed"] * sin_2beta * p.mu * higgs.mixed


def _higgsino(p: Parameters, c: Constants, q2: Tensor, sin_2beta: Tensor, loops: _AllHiggsLoops) -> Tensor:
    """Return μ with the loops of stops, sbottoms and gauginos.

    The cusp at μ = `higgsino_cusp_position` · Q is empirical. The spectrum generator behind the training data shows
    it for every Q; m_Hu²(Q), of one-loop size in units of Q², plausibly passes zero there.
    """
    down = (p.tanb / 50) ** 2
    doublet, stop, sbottom = _b1_massless(p.mu, torch.stack([p.mqL3, p.mtR, p.mbR]), q2).unbind(0)
    top, bottom = stop + doublet, sbottom + doublet
    wino, bino = loops.higgsino_wino, loops.higgsino_bino
    q = torch.sqrt(q2)
    relative = (
        1
        + c["higgsino_shift"]
        + (c["higgsino_top"] + c["higgsino_top_low"] / (p.tanb * p.tanb)) * top
        + c["higgsino_gauge"] * _log(q2, p.mu)
        + c["higgsino_bottom"] * down * bottom
        + c["higgsino_wino"] * wino.diagonal
        + c["higgsino_bino"] * bino.diagonal
    )
    mixed = c["higgsino_wino_mixed"] * p.M_2 * wino.mixed + c["higgsino_bino_mixed"] * p.M_1 * bino.mixed
    ratio = p.mu.abs() / q
    squared = (ratio / c["higgsino_cusp_position"]) ** 2
    detuning = squared - 1
    cusp = torch.log(detuning * detuning + c["higgsino_cusp_width"] ** 2) / 2
    soft = c["higgsino_offset_wino"] * p.M_2 * p.M_2 + c["higgsino_offset_top"] * p.At * p.At
    soft = (soft / q2 + c["higgsino_offset_low"] / (p.tanb * p.tanb)) * (1 - squared) / (1 + squared)
    offset = q * (c["higgsino_offset"] + soft + (c["higgsino_cusp"] + c["higgsino_cusp_slope"] * ratio) * cusp)
    return p.mu * relative + sin_2beta * mixed + torch.sign(p.mu) * offset


def _right_sleptons(mass: Tensor, p: Parameters, c: Constants, q2: Tensor) -> Tensor:
    return _sleptons(mass, p.M_1, p.mu, c, q2, side="right")


def _left_sleptons(mass: Tensor, p: Parameters, c: Constants, q2: Tensor) -> Tensor:
    bino = p.M_1 * p.M_1 * (c["left_bino"] + c["left_bino_log"] * _log(q2, p.M_1, mass))
    return _sleptons(mass, p.M_2, p.mu, c, q2, side="left") + bino


def _sleptons(mass: Tensor, gaugino: Tensor, mu: Tensor, c: Constants, q2: Tensor, *, side: str) -> Tensor:
    """Return squared slepton masses with loops of the gauginos and gauge bosons that couple to their chirality.

    `mass` has shape (sleptons, points).
    """
    own = torch.clamp(mass, min=30.0) ** 2
    squared = gaugino * gaugino
    both = _log(q2, gaugino, mass)
    return (
        mass * mass.abs()
        + own * (c[f"{side}_own"] + c[f"{side}_own_log"] * _log(q2, mass) + c[f"{side}_own_log_both"] * both)
        + squared * (c[f"{side}_gaugino"] + c[f"{side}_gaugino_log"] * _log(q2, gaugino))
        + squared * c[f"{side}_gaugino_log_both"] * both
        + mu * mu * (c[f"{side}_higgsino"] + c[f"{side}_higgsino_log"] * _log(q2, mu))
    )


def _tau_mass(p: Parameters, c: Constants) -> Tensor:
    """Return the τ mass of the Yukawa coupling, GeV, with the wino and bino loops at large tan β.

    Form of Carena, Garcia, Nierste and Wagner, NPB 577 (2000) 88, hep-ph/9912516, with the loop functions replaced by
    1/(sum of squares).
    """
    wino = c["tau_wino"] * p.M_2 / (p.M_2 * p.M_2 + p.mu * p.mu + p.mtauL * p.mtauL)
    bino = c["tau_bino"] * p.M_1 / (p.M_1 * p.M_1 + p.mtauR * p.mtauR + p.mtauL * p.mtauL)
    return M_TAU * (1 + c["tau_running"] + p.tanb * p.mu * (wino + bino))


def _tau_yukawa(p: Parameters, c: Constants, q2: Tensor) -> tuple[Tensor, Tensor]:
    """Return the Higgs and higgsino loops of left- and of right-handed staus, GeV²."""
    scalars = _a0((p.mtauL + p.mtauR) / 2, q2) + _a0(p.mA, q2)
    trilinear = p.Atau * p.Atau * _log(q2, p.mA, p.mtauL)
    higgsino = p.mu * p.mu * _log(q2, p.mu, p.mtauL)
    loops = c["stau_scalars"] * scalars + c["stau_trilinear"] * trilinear + c["stau_higgsino"] * higgsino
    mass = torch.stack([p.mtauL, p.mtauR])
    own_left, own_right = (mass * mass * _log(q2, mass, p.mu)).unbind(0)
    light_higgs = p.mu * p.mu * (c["stau_right_light_higgs"] * _log(q2, p.mtauL) + c["stau_right_higgsino"])
    left = loops + c["stau_left_own"] * own_left
    right = 2 * loops + c["stau_right_own"] * own_right + light_higgs
    strength = (p.tanb / 50) ** 2
    return strength * left, strength * right


def _hypercharge_trace(p: Parameters, q2: Tensor) -> Tensor:
    """Return Σ Y N A_0(m) over all scalars: the one-loop Fayet-Iliopoulos term of hypercharge, GeV²."""
    cos_2beta = (1 - p.tanb * p.tanb) / (1 + p.tanb * p.tanb)
    charges = torch.tensor(_HYPERCHARGES, dtype=q2.dtype, device=q2.device)[:, None]
    return (charges * _a0(_sfermions(p), q2)).sum(0) + cos_2beta * _a0(p.mA, q2)


def _sfermions(p: Parameters) -> Tensor:
    """Return the masses of the sfermion multiplets, shape (10, points), in the order of `_HYPERCHARGES`."""
    return torch.stack([p.meL, p.meR, p.mqL1, p.muR, p.mdR, p.mtauL, p.mtauR, p.mqL3, p.mtR, p.mbR])


def _log(q2: Tensor, *masses: Tensor) -> Tensor:
    """Return ln(Q²/(Σ m² + M_Z²)), a logarithm that saturates at the weak scale."""
    total = masses[0] * masses[0] + M_Z**2
    for mass in masses[1:]:
        total = total + mass * mass
    return torch.log(q2 / total)


def _a0(mass: Tensor, q2: Tensor) -> Tensor:
    """Return the Passarino-Veltman function A_0(m) = m² (1 - ln m²/Q²), GeV²."""
    squared = torch.clamp(mass * mass, min=100.0)
    return squared * (1 + torch.log(q2 / squared))


def _b1_massless(momentum: Tensor, mass: Tensor, q2: Tensor) -> Tensor:
    """Return the real part of B_1(p; 0, m) in closed form (PBMZ, appendix B)."""
    p2, m2 = momentum * momentum, torch.clamp(mass * mass, min=100.0)
    x = torch.clamp(p2 / m2, min=1e-4)
    gap = x - 1
    loop = 1 + gap * gap / x * torch.log(torch.clamp(gap.abs(), min=1e-9))
    above = torch.log(torch.clamp(x, min=1.0))
    return 1 - torch.log(torch.maximum(p2, m2) / q2) / 2 - loop / (2 * x) + above / 2


class _HiggsLoops(NamedTuple):
    """Loop functions of a fermion with the heavy and the light Higgs doublet, shape (points,)."""

    diagonal: Tensor
    """B_1(p; m, m_A) + B_1(p; m, M_Z)."""
    mixed: Tensor
    """B_0(p; m, m_A) - B_0(p; m, M_Z)."""


class _AllHiggsLoops(NamedTuple):
    """The loop functions by external and by internal fermion."""

    bino_higgsino: _HiggsLoops
    wino_higgsino: _HiggsLoops
    higgsino_bino: _HiggsLoops
    higgsino_wino: _HiggsLoops


def _all_higgs_loops(p: Parameters, q2: Tensor) -> _AllHiggsLoops:
    """Return all loops with Higgs bosons.

    B_0 = -∫ dx ln D/Q² and B_1 = -∫ dx x ln D/Q² with D = (1 - x) m_fermion² + x m_boson² - x (1 - x) p², see PBMZ,
    appendix B.
    """
    momentum, fermion = torch.stack([p.M_1, p.M_2, p.mu, p.mu]), torch.stack([p.mu, p.mu, p.M_1, p.M_2])
    x, weight = (torch.tensor(values, dtype=q2.dtype, device=q2.device)[:, None, None] for values in _feynman_nodes())
    start = (1 - x) * (fermion * fermion) - x * (1 - x) * (momentum * momentum)
    heavy = torch.log(((start + x * (p.mA * p.mA)).abs() + 1) / q2)
    light = torch.log(((start + x * M_Z**2).abs() + 1) / q2)
    diagonal, mixed = -(weight * x * (heavy + light)).sum(0), -(weight * (heavy - light)).sum(0)
    return _AllHiggsLoops(*map(_HiggsLoops, diagonal.unbind(0), mixed.unbind(0)))


def _feynman_nodes() -> tuple[list[float], list[float]]:
    points, weights = np.polynomial.legendre.leggauss(_NODES)
    return ((points + 1) / 2).tolist(), (weights / 2).tolist()
