"""Cross sections of neutralinos and charginos by their dependence on the temperature."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from .species import Channel

THERMAL_ENERGY = 1.06
"""s/4m² at freeze-out: 1 + 3/(2 x) at x = 25."""


class HeavyHiggs(NamedTuple):
    """Squared couplings of pairs to A, H and H±, dimensionless, by the wave in which the pair annihilates."""

    s_wave: Channel
    p_wave: Channel


class GauginoRates(NamedTuple):
    """Cross sections at threshold in GeV⁻², shape (pairs, points)."""

    gauge_bosons: Tensor
    """`GAUGINO_PAIRS`."""
    photons: Tensor
    """`CHARGINO_SELF_PAIRS` by a photon or into photons."""
    charged: Tensor
    """`CHARGED_PAIRS` by a W, without its propagator."""
    charginos: Tensor
    """`CHARGINO_PAIRS` by a Z, without its propagator."""
    interference: Tensor
    """`CHARGINO_SELF_PAIRS` by the interference of Z and photon, without the propagator."""
    neutralinos: Tensor
    """`NEUTRALINO_PAIRS` by a Z, without its propagator."""
    heavy_higgs: HeavyHiggs
