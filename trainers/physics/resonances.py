"""Thermal averages over Breit-Wigner poles, exact for any width.

For two particles of mass m at x = m/T, with s = 4 m² (1 + ε), the non-relativistic average of f is

    <f> = (2/√π) x^(3/2) ∫ dε √ε exp(-x ε) f(ε)                  (Gondolo and Gelmini, NPB 360 (1991) 145)

A pole of mass M and width Γ sits at z = M²/4m² - 1 + i M Γ/4m² in the plane of ε, so that every average needed follows
from <1/(ε - z)>. Fixed quadrature nodes miss a narrow pole; the method below does not.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

STEP = 0.7
"""Step of the trapezoidal rule. Its error is exp(-(π/STEP)²) = 2e-9."""

NODES = 7
"""Positive nodes of the trapezoidal rule; the integrand at the last one is below 1e-9."""


class Pole(NamedTuple):
    """A resonance in the plane of ε = s/4m² - 1; tensors that broadcast against x."""

    position: Tensor
    """ε at which s = M²; negative below threshold."""
    width: Tensor
    """M Γ / 4m², positive."""

    def first(self, count: int) -> Pole:
        """Return the first of stacked poles."""
        return Pole(self.position[:count], self.width[:count])

    def magnitude_squared(self) -> Tensor:
        """Return |z|²."""
        return self.position * self.position + self.width * self.width


def pole(mass: Tensor | float, width: Tensor | float, particle_mass: Tensor) -> Pole:
    """Return where the resonance of `mass` and `width` (GeV) lies for annihilating particles of `particle_mass`."""
    threshold = 4 * particle_mass * particle_mass
    return Pole(mass * mass / threshold - 1, mass * width / threshold)


def concatenate(*poles: Pole) -> Pole:
    """Return several stacked poles as one."""
    return Pole(torch.cat([one.position for one in poles]), torch.cat([one.width for one in poles]))


def stack(*poles: Pole) -> Pole:
    """Return several poles as one, on a new first axis."""
    return Pole(torch.stack([one.position for one in poles]), torch.stack([one.width for one in poles]))


class PoleAverage(NamedTuple):
    """Averages over a pole, for L(ε) = 1/((ε - position)² + width²)."""

    lorentzian: Tensor
    """<L>."""
    dispersive: Tensor
    """<(ε - position) L>."""

    def select(self, index: int) -> PoleAverage:
        """Return the averages over one of stacked poles; the poles are on the second axis, after x."""
        return PoleAverage(self.lorentzian[:, index], self.dispersive[:, index])

    def first(self, count: int) -> PoleAverage:
        """Return the averages over the first of stacked poles."""
        return PoleAverage(self.lorentzian[:, :count], self.dispersive[:, :count])

    def linear(self, at: Pole, constant: Tensor | float, slope: Tensor | float) -> Tensor:
        """Return <(constant + slope ε) L>."""
        return (constant + slope * at.position) * self.lorentzian + slope * self.dispersive

    def s_linear(self, at: Pole) -> Tensor:
        """Return <Re s / (s - M² + i M Γ)>, which tends to 1 far above the pole and to 0 far below it."""
        return 1 - at.width * at.width * self.lorentzian + (1 + at.position) * self.dispersive

    def s_squared(self, at: Pole) -> Tensor:
        """Return <s² / ((s - M²)² + M² Γ²)>, which tends to 1 far above the pole."""
        s = 1 + at.position
        return 1 + (s * s - at.width * at.width) * self.lorentzian + 2 * s * self.dispersive


def average(at: Pole, x: Tensor) -> PoleAverage:
    """Return the thermal averages over a pole.

    With ε = t²/x and η² = x z, <1/(ε - z)> = (2x/√π) ∫ dt t² exp(-t²)/(t² - η²), a relative of the plasma dispersion
    function. The trapezoidal rule converges exponentially once the residue at t = η is added (Matta and Reichel,
    Math. Comp. 25 (1971) 339).

    Args:
        at: The pole.
        x: m/T, positive.
    """
    real, imaginary = x * at.position, x * at.width
    # Tensors, since exporters round Python numbers to float32, which spoils the cancellation with the residue.
    nodes = [(k * STEP) ** 2 for k in range(1, NODES + 1)]
    weights = [2 * STEP * node * math.exp(-node) for node in nodes]
    squared = imaginary * imaginary
    total_real = total_imaginary = torch.zeros_like(real)
    for node, weight in zip(_exact(nodes, real), _exact(weights, real), strict=True):  # all at once leave the cache
        distance = node - real
        share = weight / (distance * distance + squared)
        total_real = total_real + distance * share
        total_imaginary = total_imaginary + share
    residue_real, residue_imaginary = _residue(real, imaginary)
    (normalisation,) = _exact([2 / math.sqrt(math.pi)], real)
    scale = normalisation * x
    # Im <1/(ε - z)> = width <L>: divide by the width before the sum, which is safe for narrow poles.
    lorentzian = scale * x * (total_imaginary - residue_imaginary / imaginary)
    return PoleAverage(lorentzian, scale * (total_real - residue_real))


def _exact(values: list[float], like: Tensor) -> tuple[Tensor, ...]:
    return torch.tensor(values, dtype=like.dtype, device=like.device).unbind(0)


def _residue(real: Tensor, imaginary: Tensor) -> tuple[Tensor, Tensor]:
    """Return 2πi η exp(-η²) q/(1 - q) with q = exp(2πi η/h): the trapezoidal sum minus the integral."""
    magnitude = torch.sqrt(real * real + imaginary * imaginary)
    # Not abs(): its gradient at 0 belongs to neither branch below.
    size_of_real = torch.where(real > 0, real, -real)
    large = torch.sqrt((magnitude + size_of_real) / 2)
    small = imaginary / (2 * large)
    eta_real, eta_imaginary = torch.where(real > 0, large, small), torch.where(real > 0, small, large)
    # Farther from the real axis than π/h the contour does not cross the pole, and the term is negligible.
    near = eta_imaginary < math.pi / STEP
    frequency, circle = _exact([2 * math.pi / STEP, 2 * math.pi], real)
    damping = torch.exp(-torch.clamp(frequency * eta_imaginary, max=80.0))
    log_size = torch.clamp(-real - frequency * eta_imaginary, min=-80.0, max=0.0)
    size = torch.where(near, circle * torch.exp(log_size), torch.zeros_like(real))
    # Phases: of exp(-η²) q, and of q alone.
    turn = frequency * eta_real
    top_cos, top_sin = torch.cos(turn - imaginary), torch.sin(turn - imaginary)
    bottom_real, bottom_imaginary = 1 - damping * torch.cos(turn), -damping * torch.sin(turn)
    norm = size / (bottom_real * bottom_real + bottom_imaginary * bottom_imaginary)
    ratio_real = (top_cos * bottom_real + top_sin * bottom_imaginary) * norm
    ratio_imaginary = (top_sin * bottom_real - top_cos * bottom_imaginary) * norm
    # i η ratio
    return (
        -(eta_real * ratio_imaginary + eta_imaginary * ratio_real),
        eta_real * ratio_real - eta_imaginary * ratio_imaginary,
    )
