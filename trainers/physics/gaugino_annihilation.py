"""Cross sections of neutralinos and charginos, from their couplings."""

from __future__ import annotations

from torch import Tensor

from .constants import Constants
from .currents import (
    charged_currents,
    chargino_currents,
    chargino_photons,
    neutralino_currents,
    photon_interference,
)
from .gauge_bosons import gauge_bosons
from .gaugino_rates import GauginoRates
from .heavy_higgs import heavy_higgs
from .species import Content
from .spectrum import Spectrum


def gaugino_rates(s: Spectrum, content: Content, mass: Tensor, doublets: Tensor, c: Constants) -> GauginoRates:
    """Return the cross sections of all pairs of neutralinos and charginos.

    Args:
        s: The spectrum.
        content: Composition of neutralinos and charginos.
        mass: Masses by species, shape (12, points).
        doublets: Suppression of winos by the exchange of sfermions, shape (points,).
        c: The fitted constants.
    """
    return GauginoRates(
        gauge_bosons=gauge_bosons(s, content, mass, c),
        photons=chargino_photons(s),
        charged=charged_currents(s, mass, doublets, c),
        charginos=chargino_currents(s, mass, doublets),
        interference=photon_interference(s),
        neutralinos=neutralino_currents(s, mass, c),
        heavy_higgs=heavy_higgs(s),
    )
