"""Averages over poles against direct integration."""

from __future__ import annotations

import math

import pytest
import torch
from pmssm.trainers.physics.resonances import Pole, average, pole
from torch import Tensor


def scalar(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def integrate(at: tuple[float, float], x: float, power: int) -> float:
    """Integrate (ε - position)^power L(ε) over the thermal distribution, in t = √(x ε), on a fine grid."""
    position, width = at
    t = torch.linspace(0, 9, 2_000_001, dtype=torch.float64)
    distance = t * t / x - position
    values = 4 / math.sqrt(math.pi) * t * t * torch.exp(-t * t) * distance**power / (distance**2 + width**2)
    return torch.trapezoid(values, t).item()


@pytest.mark.parametrize(
    ("position", "width", "x"),
    [(-0.999, 0.01, 25), (-0.99, 0.02, 2000), (-0.1, 1e-3, 30), (0.1, 1e-3, 25), (0, 0.01, 25), (3, 0.1, 25)],
)
def test_averages_agree_with_integration_for_poles_anywhere(position: float, width: float, x: float) -> None:
    result = average(Pole(scalar(position), scalar(width)), scalar(x))
    assert result.lorentzian.item() == pytest.approx(integrate((position, width), x, 0), rel=2e-6)
    # The dispersive part changes sign near the pole, where its size is that of width · lorentzian.
    size = abs(result.lorentzian.item() * width)
    assert result.dispersive.item() == pytest.approx(integrate((position, width), x, 1), rel=2e-6, abs=1e-6 * size)


@pytest.mark.parametrize(("position", "width"), [(-0.3, 0.02), (0.1, 0.02), (3.0, 0.1)])
def test_propagators_agree_with_integration(position: float, width: float) -> None:
    at, x = Pole(scalar(position), scalar(width)), 25.0
    moments = [integrate((position, width), x, power) for power in range(3)]  # of (ε - position)^power L(ε)
    s = 1 + position
    linear, squared = s * moments[1] + moments[2], s * s * moments[0] + 2 * s * moments[1] + moments[2]
    result = average(at, scalar(x))
    assert result.s_linear(at).item() == pytest.approx(linear, rel=1e-5, abs=1e-6)
    assert result.s_squared(at).item() == pytest.approx(squared, rel=1e-5)


def test_a_narrow_pole_has_the_area_of_a_delta_function() -> None:
    x, position, width = 25.0, 0.1, 1e-8
    expected = 2 / math.sqrt(math.pi) * x**1.5 * math.sqrt(position) * math.exp(-x * position) * math.pi / width
    assert average(Pole(scalar(position), scalar(width)), scalar(x)).lorentzian.item() == pytest.approx(
        expected, rel=1e-4
    )


def test_far_above_a_pole_the_propagator_is_that_of_a_massless_boson() -> None:
    at = pole(91.19, 2.5, scalar(5000.0))
    assert average(at, scalar(25.0)).s_squared(at).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("position", [-0.5, -1e-9, 0.0, 1e-9, 0.2])
def test_gradients_agree_with_finite_differences(position: float) -> None:
    def averages(where: Tensor, width: Tensor, x: Tensor) -> Tensor:
        result = average(Pole(where, width), x)
        return torch.stack([result.lorentzian * 1e-3, result.dispersive])

    values = [scalar(position), scalar(0.02), scalar(25.0)]
    assert torch.autograd.gradcheck(averages, [value.requires_grad_() for value in values], eps=1e-6, rtol=1e-3)
