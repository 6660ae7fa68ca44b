"""Masses and mixings against identities that hold exactly at tree level."""

from __future__ import annotations

import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from pmssm.trainers.physics.constants import COS_W, M_W, M_Z, SIN_W
from pmssm.trainers.physics.linear_algebra import symmetric_eigen_2
from pmssm.trainers.physics.spectrum import chargino_mixing, charginos, neutralinos
from torch import Tensor

mass = st.floats(50, 4000) | st.floats(-4000, -50)
tan_beta = st.floats(1, 60)


def inputs(*values: float) -> list[Tensor]:
    *masses, tanb = values
    beta = torch.atan(torch.tensor([tanb], dtype=torch.float64))
    return [*(torch.tensor([value], dtype=torch.float64) for value in masses), beta.sin(), beta.cos()]


def neutralino_matrix(bino: Tensor, wino: Tensor, higgsino: Tensor, sin_b: Tensor, cos_b: Tensor) -> Tensor:
    m, zero = M_Z, 0.0
    rows = [
        [bino.item(), zero, -m * SIN_W * cos_b.item(), m * SIN_W * sin_b.item()],
        [zero, wino.item(), m * COS_W * cos_b.item(), -m * COS_W * sin_b.item()],
        [-m * SIN_W * cos_b.item(), m * COS_W * cos_b.item(), zero, -higgsino.item()],
        [m * SIN_W * sin_b.item(), -m * COS_W * sin_b.item(), -higgsino.item(), zero],
    ]
    return torch.tensor(rows, dtype=torch.float64)


@given(mass, mass, mass, tan_beta)
def test_neutralino_masses_and_mixings_diagonalise_the_mass_matrix(
    bino: float, wino: float, higgsino: float, tanb: float
) -> None:
    values = inputs(bino, wino, higgsino, tanb)
    masses, mixing = neutralinos(*values)
    matrix = neutralino_matrix(*values)
    n = mixing[:, :, 0]
    torch.testing.assert_close(n @ n.T, torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-10)
    torch.testing.assert_close(n @ matrix @ n.T, torch.diag(masses[:, 0]), rtol=0, atol=0.02)
    exact = torch.linalg.eigvalsh(matrix)
    torch.testing.assert_close(masses[:, 0].sort().values, exact, rtol=1e-6, atol=1e-3)


@given(mass, mass, mass, tan_beta)
def test_neutralino_masses_obey_the_sum_rules_of_trace_and_trace_of_the_square(
    bino: float, wino: float, higgsino: float, tanb: float
) -> None:
    masses, _ = neutralinos(*inputs(bino, wino, higgsino, tanb))
    torch.testing.assert_close(masses.sum().item(), bino + wino, rtol=1e-9, atol=1e-6)
    squares = bino**2 + wino**2 + 2 * higgsino**2 + 2 * M_Z**2
    torch.testing.assert_close((masses**2).sum().item(), squares, rtol=1e-6, atol=1e-3)


@given(mass, mass, mass, tan_beta)
def test_neutralinos_are_sorted_by_magnitude(bino: float, wino: float, higgsino: float, tanb: float) -> None:
    masses, _ = neutralinos(*inputs(bino, wino, higgsino, tanb))
    assert (masses.abs().diff(dim=0) >= 0).all()


@given(mass, mass, mass, tan_beta)
def test_flipping_all_signs_flips_all_masses_and_keeps_all_contents(
    bino: float, wino: float, higgsino: float, tanb: float
) -> None:
    masses, mixing = neutralinos(*inputs(bino, wino, higgsino, tanb))
    flipped, other = neutralinos(*inputs(-bino, -wino, -higgsino, tanb))
    torch.testing.assert_close(flipped.abs(), masses.abs(), rtol=1e-9, atol=1e-6)
    apart = masses.abs().diff(dim=0).min() > 0.5
    if apart:
        torch.testing.assert_close(flipped, -masses, rtol=1e-9, atol=1e-6)
        torch.testing.assert_close(other**2, mixing**2, rtol=0, atol=1e-4)


@given(mass, mass, tan_beta)
def test_chargino_masses_have_the_determinant_and_the_trace_of_the_mass_matrix(
    wino: float, higgsino: float, tanb: float
) -> None:
    *_, sin_b, cos_b = values = inputs(wino, higgsino, tanb)
    masses, minus, plus = charginos(*values)
    determinant = abs(wino * higgsino - 2 * M_W**2 * (sin_b * cos_b).item())
    torch.testing.assert_close(masses.prod().item(), determinant, rtol=1e-9, atol=1e-6)
    trace = wino**2 + higgsino**2 + 2 * M_W**2
    torch.testing.assert_close((masses**2).sum().item(), trace, rtol=1e-6, atol=1e-3)
    matrix = torch.tensor(
        [[wino, 2**0.5 * M_W * sin_b.item()], [2**0.5 * M_W * cos_b.item(), higgsino]], dtype=torch.float64
    )
    torch.testing.assert_close(masses[:, 0].flip(0), torch.linalg.svdvals(matrix), rtol=1e-6, atol=1e-3)
    for content in (minus, plus):
        torch.testing.assert_close(content.sum().item(), 1.0)
        assert (content >= 0).all()


def test_charginos_mix_as_their_singular_vectors_do() -> None:
    *_, sin_b, cos_b = values = inputs(300.0, -350.0, 7.0)
    masses, minus, plus = charginos(*values)
    matrix = torch.tensor(
        [[300.0, 2**0.5 * M_W * sin_b.item()], [2**0.5 * M_W * cos_b.item(), -350.0]], dtype=torch.float64
    )
    left, heavy_first, right = torch.linalg.svd(matrix)
    torch.testing.assert_close(masses[:, 0].flip(0), heavy_first)
    torch.testing.assert_close(minus[:, 0].flip(0), left[0] ** 2, rtol=0, atol=1e-8)
    torch.testing.assert_close(plus[:, 0].flip(0), right[:, 0] ** 2, rtol=0, atol=1e-8)


@given(mass, mass, tan_beta)
def test_mixing_matrices_of_charginos_make_their_masses_diagonal_and_positive(
    wino: float, higgsino: float, tanb: float
) -> None:
    *_, sin_b, cos_b = values = inputs(wino, higgsino, tanb)
    masses, *components = charginos(*values)
    assume(masses.diff(dim=0).abs().item() > 1)  # of equal masses any basis is right
    minus, plus = (matrix[:, :, 0] for matrix in chargino_mixing(*values, (components[0], components[1])))
    up, down = (2**0.5 * M_W * one.item() for one in (sin_b, cos_b))
    matrix = torch.tensor([[wino, up], [down, higgsino]], dtype=torch.float64)
    # Components below 1e-6 are cut.
    torch.testing.assert_close(minus @ matrix @ plus.T, torch.diag(masses[:, 0]), rtol=1e-5, atol=0.02)


def test_a_neutralino_far_from_all_others_is_pure() -> None:
    masses, mixing = neutralinos(*inputs(100.0, 3e5, 4e5, 10.0))
    torch.testing.assert_close(masses[0].item(), 100.0, rtol=1e-3, atol=0)
    assert mixing[0, 0, 0] ** 2 > 0.999999


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_two_by_two_eigenvalues_keep_trace_and_determinant(first: float, second: float, coupling: float) -> None:
    low, high, content = symmetric_eigen_2(*(torch.tensor(v, dtype=torch.float64) for v in (first, second, coupling)))
    assert low <= high
    assert 0 <= content <= 1
    torch.testing.assert_close((low + high).item(), first + second, rtol=1e-9, atol=1e-6)
    # Eigenvector: content of the first state weighs the two diagonal elements and the coupling.
    mean = content * first + (1 - content) * second - 2 * torch.sqrt(content * (1 - content)) * abs(coupling)
    torch.testing.assert_close(mean, low, rtol=1e-6, atol=1e-2)
