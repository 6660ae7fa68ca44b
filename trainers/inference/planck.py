"""The measured relic density."""

from __future__ import annotations

import math

PLANCK = 0.12
"""Ωh² of cold dark matter: Planck, A&A 641 (2020) A6, arXiv:1807.06209."""

PLANCK_SIGMA = math.hypot(0.001, 0.1 * PLANCK)
"""Error of Planck, and 10 % theory error, in quadrature."""
