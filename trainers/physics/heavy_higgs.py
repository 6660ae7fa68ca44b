"""Couplings of neutralinos and charginos to the heavy Higgs doublet, in the decoupling limit.

Source: Gunion and Haber, NPB 272 (1986) 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .constants import G_WEAK, TAN_W
from .gaugino_rates import HeavyHiggs
from .species import CHARGINO_PAIRS, GAUGINO_PAIRS, NEUTRALINO_AND_SELF_PAIRS, Species, make_channel, sides
from .spectrum import Spectrum

G2 = G_WEAK**2


def heavy_higgs(s: Spectrum) -> HeavyHiggs:
    """Return the squared couplings of all pairs."""
    waves = zip(neutralinos(s), _charged(s), _charginos(s), strict=True)
    s_wave, p_wave = (make_channel(GAUGINO_PAIRS, G2 * torch.cat(wave)) for wave in waves)
    return HeavyHiggs(s_wave, p_wave)


def neutralinos(s: Spectrum) -> tuple[Tensor, Tensor]:
    """Return the squared couplings of `NEUTRALINO_AND_SELF_PAIRS` to A and H, in units of g², s- and p-wave.

    Two neutralinos whose signed masses have the same sign couple to A in the s-wave and to H in the p-wave, others the
    other way round.
    """
    bino, wino, down, up = s.neutralino_mixing.unbind(1)
    gaugino = wino - TAN_W * bino
    pseudoscalar, scalar = s.sin_beta * down - s.cos_beta * up, s.sin_beta * down + s.cos_beta * up
    first, second = sides(NEUTRALINO_AND_SELF_PAIRS)
    a_higgs = (gaugino[first] * pseudoscalar[second] + gaugino[second] * pseudoscalar[first]) / 2
    h_higgs = (gaugino[first] * scalar[second] + gaugino[second] * scalar[first]) / 2
    same = s.neutralino[first] * s.neutralino[second] > 0
    s_wave, p_wave = torch.where(same, a_higgs, h_higgs), torch.where(same, h_higgs, a_higgs)
    return s_wave * s_wave, p_wave * p_wave


def _charginos(s: Spectrum) -> tuple[Tensor, Tensor]:
    """Return the same for `CHARGINO_PAIRS`, half of which have opposite charges."""
    first, second = ([k - Species.CHARGINO_1 for k in side] for side in sides(CHARGINO_PAIRS))
    down = s.mixing_minus[:, 1, None] * s.mixing_plus[None, :, 0] * s.sin_beta / math.sqrt(2)
    up = s.mixing_minus[:, 0, None] * s.mixing_plus[None, :, 1] * s.cos_beta / math.sqrt(2)
    a_higgs, h_higgs = down + up, down - up
    s_wave = (a_higgs[first, second] + a_higgs[second, first]) / 2
    p_wave = (h_higgs[first, second] + h_higgs[second, first]) / 2
    return s_wave * s_wave / 2, p_wave * p_wave / 2


def _charged(s: Spectrum) -> tuple[Tensor, Tensor]:
    """Return the squared couplings of `CHARGED_PAIRS` to H±, in units of g², s- and p-wave."""
    bino, wino, down, up = s.neutralino_mixing[:, :, None].unbind(1)
    gaugino = (wino + TAN_W * bino) / math.sqrt(2)
    right = s.sin_beta * (down * s.mixing_minus[:, 0] - gaugino * s.mixing_minus[:, 1])
    left = s.cos_beta * (up * s.mixing_plus[:, 0] + gaugino * s.mixing_plus[:, 1])
    left = left * torch.sign(s.neutralino)[:, None]
    s_wave, p_wave = ((right - left) / 2).flatten(0, 1), ((right + left) / 2).flatten(0, 1)
    return s_wave * s_wave, p_wave * p_wave
