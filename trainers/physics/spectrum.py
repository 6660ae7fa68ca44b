"""Masses and mixings of neutralinos, charginos and sleptons: tree level with shifted mass parameters."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .constants import COS_W, M_W, M_Z, SIN2_W, SIN_W, Constants
from .linear_algebra import symmetric_eigen_2, symmetric_eigen_4
from .mass_shifts import shifted_masses
from .parameters import Parameters

FLOOR = 1.0
"""Smallest squared mass, GeV²: a slepton with a negative squared mass counts as massless."""


class Spectrum(NamedTuple):
    """Masses in GeV and mixings of a batch. The points are on the last axis of every tensor."""

    neutralino: Tensor
    """Shape (4, points), signed, by increasing magnitude."""
    neutralino_mixing: Tensor
    """Real matrix N of shape (4, 4, points): row = mass state, column = bino, wino, down- and up-type higgsino."""
    chargino: Tensor
    """Shape (2, points), positive, the lighter first."""
    wino_minus: Tensor
    """Shape (2, points): squared wino component |U_i1|² of the negative charginos."""
    wino_plus: Tensor
    """Shape (2, points): squared wino component |V_i1|² of the positive charginos."""
    mixing_minus: Tensor
    """Real matrix U of shape (2, 2, points): row = mass state, column = wino, higgsino."""
    mixing_plus: Tensor
    """Real matrix V of the same shape; masses are positive."""
    selectron_right: Tensor
    """Shape (points,), and so below; first and second generation are degenerate."""
    selectron_left: Tensor
    sneutrino: Tensor
    stau_light: Tensor
    stau_heavy: Tensor
    stau_left: Tensor
    """Squared left-handed component of the light stau."""
    stau_mixing: Tensor
    """Off-diagonal element of the squared stau masses, GeV²."""
    sneutrino_tau: Tensor
    sin_beta: Tensor
    cos_beta: Tensor


def spectrum(parameters: Parameters, constants: Constants) -> Spectrum:
    """Return the spectrum of the electroweak sector.

    Mass matrices and signs are those of SLHA (Skands et al., JHEP 07 (2004) 036; Haber and Kane, Phys. Rept. 117
    (1985) 75). The diagonal parameters carry the loop corrections of `mass_shifts`.
    """
    masses = shifted_masses(parameters, constants)
    cos_beta = torch.rsqrt(1 + parameters.tanb * parameters.tanb)
    sin_beta = parameters.tanb * cos_beta
    up, down = ((1 + constants["gaugino_higgsino_mixing"]) * one for one in (sin_beta, cos_beta))
    neutralino, mixing = neutralinos(masses.bino, masses.wino, masses.higgsino, up, down)
    chargino, wino_minus, wino_plus = charginos(masses.wino, masses.higgsino, up, down)
    mixing_minus, mixing_plus = chargino_mixing(masses.wino, masses.higgsino, up, down, (wino_minus, wino_plus))
    chargino = chargino + _charged_gap(chargino, (wino_minus + wino_plus) / 2, constants)
    d_term = M_Z**2 * (cos_beta * cos_beta - sin_beta * sin_beta)
    left = (SIN2_W - 0.5) * d_term
    right = -SIN2_W * d_term
    stau_mixing = masses.tau * (parameters.Atau - masses.higgsino * parameters.tanb)
    stau = symmetric_eigen_2(masses.stau_left_squared + left, masses.stau_right_squared + right, stau_mixing)
    return Spectrum(
        neutralino=neutralino,
        neutralino_mixing=mixing,
        chargino=chargino,
        wino_minus=wino_minus,
        wino_plus=wino_plus,
        mixing_minus=mixing_minus,
        mixing_plus=mixing_plus,
        selectron_right=_mass(masses.selectron_right_squared + right),
        selectron_left=_mass(masses.selectron_left_squared + left),
        sneutrino=_mass(masses.selectron_left_squared + 0.5 * d_term),
        stau_light=_mass(stau[0]),
        stau_heavy=_mass(stau[1]),
        stau_left=stau[2],
        stau_mixing=stau_mixing,
        sneutrino_tau=_mass(masses.stau_left_squared + 0.5 * d_term),
        sin_beta=sin_beta,
        cos_beta=cos_beta,
    )


def chargino_mixing(
    wino: Tensor, higgsino: Tensor, sin_beta: Tensor, cos_beta: Tensor, components: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return real matrices U and V, such that U X Vᵀ is diagonal and positive.

    Args:
        wino: M_2 in GeV, signed, shape (points,), and so below.
        higgsino: μ in GeV, signed.
        sin_beta: sin β.
        cos_beta: cos β.
        components: |U_i1|² and |V_i1|² of `charginos`, shape (2, points) each.

    Returns:
        U and V, shape (2, 2, points) each: row = mass state, column = wino, higgsino.
    """
    up, down = math.sqrt(2) * M_W * sin_beta, math.sqrt(2) * M_W * cos_beta
    minus = _rotation(components[0][0], wino * down + higgsino * up)
    plus = _rotation(components[1][0], wino * up + higgsino * down)
    wino_part = minus[:, 0] * (wino * plus[:, 0] + up * plus[:, 1])
    mass = wino_part + minus[:, 1] * (down * plus[:, 0] + higgsino * plus[:, 1])
    sign = torch.where(mass < 0, -torch.ones_like(mass), torch.ones_like(mass))
    return minus, sign[:, None] * plus


def _rotation(squared: Tensor, coupling: Tensor) -> Tensor:
    """Return the eigenvectors of a symmetric matrix with off-diagonal element `coupling`, shape (2, 2, points).

    `squared` is the first squared component of the lower eigenvector.
    """
    first, second = (torch.sqrt(torch.clamp(one, min=1e-12)) for one in (squared, 1 - squared))
    second = torch.where(coupling < 0, second, -second)
    return torch.stack([torch.stack([first, second]), torch.stack([-second, first])])


def _charged_gap(mass: Tensor, wino: Tensor, c: Constants) -> Tensor:
    """Return the electromagnetic part of the mass of charginos, GeV; it falls with the mass below that of the W.

    Source: Cheng, Dobrescu and Matchev, NPB 543 (1999) 47, hep-ph/9811316.
    """
    return wino * c["wino_gap"] * mass / (mass + c["wino_gap_mass"]) + (1 - wino) * c["higgsino_gap"]


def neutralinos(
    bino: Tensor, wino: Tensor, higgsino: Tensor, sin_beta: Tensor, cos_beta: Tensor
) -> tuple[Tensor, Tensor]:
    """Diagonalise the neutralino mass matrix.

    Args:
        bino: M_1 in GeV, signed, shape (points,), and so below.
        wino: M_2 in GeV, signed.
        higgsino: μ in GeV, signed.
        sin_beta: sin β.
        cos_beta: cos β.

    Returns:
        Signed masses, shape (4, points), by increasing magnitude; and the mixing matrix, shape (4, 4, points).
    """
    zero = torch.zeros_like(bino)
    elements = {
        (0, 1): zero,
        (0, 2): -M_Z * SIN_W * cos_beta,
        (0, 3): M_Z * SIN_W * sin_beta,
        (1, 2): M_Z * COS_W * cos_beta,
        (1, 3): -M_Z * COS_W * sin_beta,
        (2, 3): -higgsino,
    }
    return symmetric_eigen_4([bino, wino, zero, zero], elements)


def charginos(wino: Tensor, higgsino: Tensor, sin_beta: Tensor, cos_beta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return chargino masses and squared wino components in closed form.

    The mass matrix X = [[M_2, √2 M_W sin β], [√2 M_W cos β, μ]] has singular values m with m_1 m_2 = |det X|; U
    diagonalises X Xᵀ and V diagonalises Xᵀ X.

    Args:
        wino: M_2 in GeV, signed, shape (points,), and so below.
        higgsino: μ in GeV, signed.
        sin_beta: sin β.
        cos_beta: cos β.

    Returns:
        Masses, |U_i1|² and |V_i1|², each of shape (2, points).
    """
    up, down = math.sqrt(2) * M_W * sin_beta, math.sqrt(2) * M_W * cos_beta
    _, heavy_squared, minus = symmetric_eigen_2(
        wino * wino + up * up, higgsino * higgsino + down * down, wino * down + higgsino * up
    )
    _, _, plus = symmetric_eigen_2(
        wino * wino + down * down, higgsino * higgsino + up * up, wino * up + higgsino * down
    )
    heavy = torch.sqrt(heavy_squared)
    light = (wino * higgsino - up * down).abs() / heavy
    return torch.stack([light, heavy]), torch.stack([minus, 1 - minus]), torch.stack([plus, 1 - plus])


def _mass(squared: Tensor) -> Tensor:
    return torch.sqrt(torch.clamp(squared, min=FLOOR))
