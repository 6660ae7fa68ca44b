"""Thermal freeze-out of coannihilating particles.

Ωh² = 1.07e9 GeV⁻¹ / (√g_* M_Pl J), J = ∫_{x_f}^∞ dx <σv>/x², with the effective <σv> of Griest and Seckel, PRD 43
(1991) 3191, and x_f from the freeze-out criterion with c(c + 2) = 1 (Jungman, Kamionkowski and Griest, Phys. Rept. 267
(1996) 195, section 3). Long-range forces (Sommerfeld) are left out, as in the codes that compute the training data.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import resonances, version_1
from .annihilation import Channels, Squarks, channels, masses_by_species
from .constants import (
    COS_W,
    G_WEAK,
    M_H,
    M_PLANCK,
    M_TAU,
    M_TOP,
    M_TOP_RUNNING,
    M_W,
    M_Z,
    TAN_W,
    WIDTH_W,
    WIDTH_Z,
    Constants,
)
from .higgs_mass import higgs_mass
from .parameters import Parameters
from .species import DEGREES_OF_FREEDOM, Species, pair_meetings, slepton_gaugino_average
from .spectrum import Spectrum

FIRST_GUESS = 25.0
"""x at which the freeze-out iteration starts."""
ITERATIONS = 2
HADRONIC = math.log(0.25)
"""ln of the temperature in GeV below which quarks and gluons no longer count."""
QUARK_WIDTH = 0.9
"""Width in ln T of the quark thresholds around 1 GeV."""
X_RANGE = (12.0, 36.0)
"""x_f is kept inside."""

NODES = 8
"""Gauss-Legendre nodes of J in u = x_f/x: within 0.5 % of 40 nodes for 9 of 10 points."""


_BOLTZMANN_LIMIT = 60.0
"""Particles rarer than exp(-60) count as that rare."""


class RelicDensity(NamedTuple):
    """Freeze-out of a batch; the points are on the last axis."""

    log_omega: Tensor
    """ln Ωh², shape (points,)."""
    freeze_out: Tensor
    """x_f = m/T at freeze-out, shape (points,)."""
    log_rate: Tensor
    """ln of the effective <σv> at x_f in GeV⁻², shape (points,)."""
    abundance: Tensor
    """Share of each species in the equilibrium density at x_f, shape (12, points)."""
    resonant: Tensor
    """Share of the rate at x_f from Z, A, H and h poles of neutralino pairs, shape (points,)."""
    higgs_mass: Tensor
    """Mass of h in GeV, shape (points,)."""


def relic_density(p: Parameters, s: Spectrum, c: Constants) -> RelicDensity:
    """Return the relic density of the lightest sparticle and what it is made of."""
    mass = masses_by_species(s)
    model = _Model(p, s, mass, c)
    x = torch.full_like(p.tanb, FIRST_GUESS)
    for _ in range(ITERATIONS):
        rate = model.rate(x[None])
        number = 0.038 * rate.degrees_of_freedom * M_PLANCK * model.lightest * rate.total / torch.sqrt(90 * x)
        x = torch.clamp(torch.log(torch.clamp(number, min=10.0)), *X_RANGE)[0]
    nodes, weights = _nodes(c, x)
    rates = model.rate(torch.cat([x[None], x / nodes]))
    integral = _annihilation_integral(rates.total[1:] * weights / x, nodes, torch.log(model.lightest / x), c)
    log_omega = math.log(1.07e9 / M_PLANCK) - torch.log(integral)
    return RelicDensity(
        log_omega=log_omega,
        freeze_out=x,
        log_rate=torch.log(rates.total[0]),
        abundance=rates.abundance[0],
        resonant=rates.resonant[0] / rates.total[0],
        higgs_mass=model.poles.higgs_mass,
    )


def _annihilation_integral(summands: Tensor, nodes: Tensor, log_temperature: Tensor, c: Constants) -> Tensor:
    """Return ∫ dx √g_* <σv>/x² after freeze-out in GeV⁻².

    Args:
        summands: <σv>/x_f at the nodes times their weights, shape (nodes, points).
        nodes: x_f/x, shape (nodes, 1).
        log_temperature: ln of the temperature at freeze-out in GeV, shape (points,).
        c: The fitted constants.
    """
    if version_1.has_its_constants(c):
        return summands.sum(0) * torch.sqrt(relativistic_degrees_of_freedom(log_temperature))
    return (summands * _sqrt_g_star(log_temperature + torch.log(nodes), c)).sum(0)


def relativistic_degrees_of_freedom(log_temperature: Tensor) -> Tensor:
    """Return g_* of the Standard Model, to 2 % between 1 and 100 GeV, from ln of the temperature in GeV.

    A line through the values of Drees, Hajkarim and Schmitz, JCAP 06 (2015) 025.
    """
    return torch.clamp(76 + 5.8 * log_temperature, 60.0, 106.75)


def _sqrt_g_star(log_temperature: Tensor, c: Constants) -> Tensor:
    """Return √g_* with its fall below the hadronic transition.

    Where quarks become non-relativistic, around 1 GeV, the entropy that they leave adds to it.
    """
    below = torch.clamp(HADRONIC - log_temperature, min=0.0)
    distance = log_temperature / QUARK_WIDTH
    quarks = c["quark_threshold"] * torch.exp(-distance * distance / 2)
    g_star = relativistic_degrees_of_freedom(log_temperature)
    return torch.sqrt(g_star) * torch.exp((quarks - c["hadronic_transition"] * below) / 2)


def _nodes(c: Constants, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the nodes in u = x_f/x and their weights, shape (nodes, 1) each."""
    count = version_1.NODES if version_1.has_its_constants(c) else NODES
    points, weights = np.polynomial.legendre.leggauss(count)
    table = torch.tensor(np.stack([(points + 1) / 2, weights / 2]), dtype=like.dtype, device=like.device)
    return table[0, :, None], table[1, :, None]


class _Rate(NamedTuple):
    """Effective <σv> at several x, shape (x, points), GeV⁻²."""

    total: Tensor
    resonant: Tensor
    degrees_of_freedom: Tensor
    """Effective number, relative to the lightest sparticle's mass."""
    abundance: Tensor
    """Shape (x, 12, points)."""


class _Model:
    """Everything about a batch that does not depend on the temperature."""

    def __init__(self, p: Parameters, s: Spectrum, mass: Tensor, c: Constants) -> None:
        self.channels: Channels = channels(s, mass, Squarks(p.mqL1, p.muR, p.mdR, p.mqL3), c)
        self.lightest = torch.amin(mass, 0)
        self.gap = mass / self.lightest - 1
        degrees = torch.tensor(DEGREES_OF_FREEDOM, dtype=mass.dtype, device=mass.device)
        self.weight = degrees[:, None] * (1 + self.gap) * torch.sqrt(1 + self.gap)
        self.poles = _Poles(p, s, self.lightest, c)
        neutralinos, chargino = mass[:2], mass[Species.CHARGINO_1]
        second = neutralinos[0] if version_1.has_its_constants(c) else neutralinos[1]
        w_pairs = torch.stack([neutralinos[0] + chargino, second + chargino]) / 2
        z_pairs = torch.stack([chargino, (neutralinos[0] + neutralinos[1]) / 2])
        self.resonances = resonances.concatenate(
            resonances.pole(M_W, WIDTH_W, w_pairs),
            resonances.pole(M_Z, WIDTH_Z, z_pairs),
            resonances.stack(self.poles.a_pole, self.poles.z_pole),
        )

    def rate(self, x: Tensor) -> _Rate:
        """Return the effective cross section at x = m/T, shape (x, points)."""
        density = self.weight * torch.exp(-torch.clamp(x[:, None] * self.gap, max=_BOLTZMANN_LIMIT))
        degrees = density.sum(1)
        share = density / degrees[:, None]
        averages = resonances.average(self.resonances, x[:, None])
        propagators = averages.first(4).s_squared(self.resonances.first(4))
        z_charginos = resonances.Pole(self.resonances.position[2], self.resonances.width[2])
        meetings = pair_meetings(share)
        total = self.channels.constant.average(meetings)
        total = total + slepton_gaugino_average(self.channels.slepton_gaugino, share)
        total = total + self.channels.w_boson.average(meetings) * propagators[:, 0]
        total = total + self.channels.w_boson_second.average(meetings) * propagators[:, 1]
        total = total + self.channels.z_charginos.average(meetings) * propagators[:, 2]
        total = total + self.channels.z_photon.average(meetings) * averages.select(2).s_linear(z_charginos)
        total = total + self.channels.z_neutralinos.average(meetings) * propagators[:, 3]
        pairs = share[:, 0] * share[:, 0]
        a, z = averages.select(4), averages.select(5)
        heavy = self.channels.heavy_higgs
        resonant = pairs * self.poles.light(x, z)
        resonant = resonant + self.poles.heavy(a, heavy.s_wave.average(meetings), heavy.p_wave.average(meetings))
        total = total + pairs * (self.channels.bino_s_wave + self.channels.bino_p_wave * (6 / x)) + resonant
        return _Rate(total, resonant, degrees, share)


class _Poles:
    """Annihilation through A, H and H±, and of the lightest neutralinos through Z and h.

    Source: Drees and Nojiri, PRD 47 (1993) 376.
    """

    def __init__(self, p: Parameters, s: Spectrum, lightest: Tensor, c: Constants) -> None:
        neutralino = s.neutralino[0].abs()
        bino, wino, down, up = s.neutralino_mixing[0].unbind(0)
        yukawa = G_WEAK / (2 * M_W)
        down_type = (3 * (c["bottom_mass"] / bottom_correction(p, c)) ** 2 + M_TAU**2) * (yukawa * p.tanb) ** 2
        top = 3 * (yukawa * M_TOP_RUNNING / p.tanb) ** 2
        width = (down_type + top) * p.mA / (8 * math.pi) + c["heavy_higgs_width"]
        four = 4 * lightest * lightest
        self.a_pole = resonances.pole(p.mA, width, lightest)
        self.heavy_scale = c["heavy_higgs_exchange"] * (down_type + top * _top_is_open(four)) / (4 * math.pi * four)

        four = 4 * neutralino * neutralino
        self.z_pole = resonances.pole(M_Z, WIDTH_Z, neutralino)
        z_coupling = G_WEAK / (2 * COS_W) * (down * down - up * up)
        z_scale = z_coupling * z_coupling * G_WEAK**2 / (math.pi * four)
        self.z_s_wave = z_scale * c["z_exchange_top"] * _top_is_open(four) * 0.1 * (M_TOP / M_Z) ** 2
        self.z_p_wave = z_scale * c["z_exchange"]
        h_coupling = G_WEAK * (wino - TAN_W * bino) * (s.sin_beta * up - s.cos_beta * down)
        self.higgs_mass = torch.full_like(p.tanb, M_H) if version_1.has_its_constants(c) else higgs_mass(p, c)
        h_squared = self.higgs_mass * self.higgs_mass
        self.h_position = torch.clamp(h_squared / four - 1, min=1e-9)
        open_pole = (four < h_squared) * self.h_position * torch.sqrt(self.h_position)
        self.h_scale = c["light_higgs_exchange"] * h_coupling * h_coupling * open_pole / h_squared

    def heavy(self, a: resonances.PoleAverage, s_wave: Tensor, p_wave: Tensor) -> Tensor:
        """Return <σv> through the heavy Higgs bosons in GeV⁻², for mean squared couplings of shape (x, points)."""
        # s/|s - M² + i M Γ|² = (1 + ε) L/4m²; a p-wave has a factor ε/(1 + ε) more.
        return self.heavy_scale * a.linear(self.a_pole, s_wave, s_wave + p_wave)

    def light(self, x: Tensor, z: resonances.PoleAverage) -> Tensor:
        """Return <σv> of the lightest neutralinos through Z and h in GeV⁻², shape (x, points)."""
        # ε (1 + ε) L: ε² L = 1 + (2 ε₀ ε - |z|²) L.
        quadratic = 1 + z.linear(self.z_pole, -self.z_pole.magnitude_squared(), 2 * self.z_pole.position)
        z_boson = z.linear(self.z_pole, self.z_s_wave, self.z_s_wave + self.z_p_wave) + self.z_p_wave * quadratic
        boltzmann = torch.exp(-torch.clamp(x * self.h_position, max=700.0))
        return z_boson + self.h_scale * x * torch.sqrt(x) * boltzmann


def bottom_correction(p: Parameters, c: Constants) -> Tensor:
    """Return 1 + Δ_b, which divides the bottom Yukawa coupling at large tan β.

    Gluino loop of Hall, Rattazzi and Sarid, PRD 50 (1994) 7048, with the loop function replaced by 1/(sum of squares).
    """
    scale = p.M_3 * p.M_3 + p.mqL3 * p.mqL3 + p.mbR * p.mbR
    return torch.clamp(1 + c["bottom_gluino"] * p.M_3 * p.mu * p.tanb / scale, min=0.3)


def _top_is_open(four_mass_squared: Tensor) -> Tensor:
    """Return a smooth step at the top threshold, as wide as the thermal energy."""
    return torch.sigmoid((four_mass_squared / (4 * M_TOP**2) - 0.94) / 0.03)
