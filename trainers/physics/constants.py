"""Standard Model inputs and the fitted constants of the approximation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

Constants = Mapping[str, Tensor]
"""The fitted constants by name, each a tensor of shape (1,)."""

M_Z = 91.1876
"""Mass of the Z boson, GeV."""
WIDTH_Z = 2.495
"""Width of the Z boson, GeV."""
M_W = 80.38
"""Mass of the W boson, GeV."""
WIDTH_W = 2.085
"""Width of the W boson, GeV."""
M_H = 123.5
"""Mass of the light Higgs boson, GeV: the typical value of the spectrum generator."""
M_TOP = 173.0
"""Pole mass of the top quark, GeV."""
M_TOP_RUNNING = 150.0
"""Running mass of the top quark at the scale of the heavy Higgs bosons, GeV."""
M_TAU = 1.777
"""Mass of the τ lepton, GeV."""

SIN2_W = 0.2312
"""sin² of the weak mixing angle."""
SIN_W = math.sqrt(SIN2_W)
COS_W = math.sqrt(1 - SIN2_W)
TAN_W = SIN_W / COS_W
G_WEAK = 0.648
"""SU(2) coupling g."""
G_HYPERCHARGE = 0.360
"""U(1) coupling g', not in GUT normalisation."""
E_CHARGE = 0.313
"""Electric charge e at the weak scale."""

M_PLANCK = 1.2209e19
"""Planck mass 1/√G, GeV."""


@dataclass(frozen=True)
class Constant:
    """A fitted number, with what it multiplies."""

    name: str
    value: float
    meaning: str


MASS_SHIFTS = (
    Constant("bino_shift", -0.000145, "M_1: constant relative shift"),
    Constant("bino_sfermions", -0.001737, "M_1: sfermion loops, weight N_c Y²; one-loop value -2 g'²/16π² = -0.0016"),
    Constant("bino_higgs", -0.0007034, "M_1: higgsino-Higgs loops; one-loop value -g'²/16π²"),
    Constant("bino_higgs_mixed", 0.0007675, "M_1: the same with a higgsino mass insertion; one-loop value g'²/16π²"),
    Constant("wino_shift", 0.02697, "M_2: constant relative shift"),
    Constant("wino_gauge", 0.01482, "M_2: gauge-boson loops, times ln(Q²/M_2²)"),
    Constant("wino_sfermions", -0.002598, "M_2: loops of sfermion doublets; one-loop value -g²/16π²"),
    Constant("wino_higgs", -0.002467, "M_2: higgsino-Higgs loops; one-loop value -g²/16π²"),
    Constant("wino_higgs_mixed", 0.002452, "M_2: the same with a higgsino mass insertion; one-loop value g²/16π²"),
    Constant("higgsino_shift", 0.011707, "μ: constant relative shift"),
    Constant("higgsino_top", -0.037186, "μ: top-stop loops"),
    Constant("higgsino_bottom", -0.00652, "μ: bottom-sbottom loops at tan β = 50, times (tan β/50)²"),
    Constant("higgsino_wino", -0.002379, "μ: wino-Higgs loops"),
    Constant("higgsino_wino_mixed", 0.002001, "μ: the same with a wino mass insertion"),
    Constant("higgsino_bino", -0.000101, "μ: bino-Higgs loops"),
    Constant("higgsino_bino_mixed", 0.000138, "μ: the same with a bino mass insertion"),
    Constant("higgsino_offset", 0.005953, "μ: additive shift of |μ| in units of Q"),
    Constant("higgsino_cusp", 0.002141, "μ: height of the cusp in units of Q"),
    Constant("higgsino_cusp_slope", 0.00245, "μ: change of that height with |μ|/Q"),
    Constant("higgsino_cusp_position", 0.15078, "μ: |μ|/Q of the cusp"),
    Constant("higgsino_cusp_width", 0.13383, "μ: width of the cusp, relative in μ²"),
    Constant("hypercharge_trace", 0.000862, "sleptons: Fayet-Iliopoulos term Σ Y N A_0; one-loop value g'²/16π²"),
    Constant("right_own", 0.00164, "squared right-handed slepton mass, times m²"),
    Constant("right_own_log", 0.00907, "squared right-handed slepton mass, times m² ln Q²/m²"),
    Constant("right_own_log_both", -0.00894, "squared right-handed slepton mass, times m² ln Q²/(m² + M²), M = M_1"),
    Constant("right_gaugino", 0.00273, "squared right-handed slepton mass, times M², M = M_1"),
    Constant("right_gaugino_log", -0.00309, "squared right-handed slepton mass, times M² ln Q²/M², M = M_1"),
    Constant("right_gaugino_log_both", 0.00673, "squared right-handed slepton mass, times M² ln Q²/(m² + M²), M = M_1"),
    Constant("right_higgsino", 0.00035, "squared right-handed slepton mass, times μ²"),
    Constant("right_higgsino_log", -0.000403, "squared right-handed slepton mass, times μ² ln Q²/μ²"),
    Constant("left_own", 0.0037, "squared left-handed slepton mass, times m²"),
    Constant("left_own_log", 0.0214, "squared left-handed slepton mass, times m² ln Q²/m²"),
    Constant("left_own_log_both", -0.0215, "squared left-handed slepton mass, times m² ln Q²/(m² + M²), M = M_2"),
    Constant("left_gaugino", 0.00691, "squared left-handed slepton mass, times M², M = M_2"),
    Constant("left_gaugino_log", -0.00793, "squared left-handed slepton mass, times M² ln Q²/M², M = M_2"),
    Constant("left_gaugino_log_both", 0.0154, "squared left-handed slepton mass, times M² ln Q²/(m² + M²), M = M_2"),
    Constant("left_higgsino", -0.000203, "squared left-handed slepton mass, times μ²"),
    Constant("left_higgsino_log", 0.000131, "squared left-handed slepton mass, times μ² ln Q²/μ²"),
    Constant("left_bino", 0.00205, "squared left-handed slepton mass, times M_1²"),
    Constant("left_bino_log", 0.000307, "squared left-handed slepton mass, times M_1² ln Q²/(m² + M_1²)"),
    Constant("stau_scalars", -0.0019417, "squared stau mass at tan β = 50, times A_0 of staus and A"),
    Constant("stau_trilinear", -0.002034, "squared stau mass at tan β = 50, times A_τ² ln Q²/m²"),
    Constant("stau_higgsino", 0.0029393, "squared stau mass at tan β = 50, times μ² ln Q²/μ²"),
)
"""Coefficients of the loop corrections in `mass_shifts`.

Fitted to pole masses of scan files 0 and 1 and of the wide scan.
"""

CROSS_SECTIONS = (
    Constant("photon_pairs", 0.060451, "share of W γ in the pairs of a neutralino and a chargino to gauge bosons"),
    Constant("bino_stau_mixing", 0.070799, "bino pairs to τ pairs by staus mixed of left and right, s-wave, times g'⁴"),
    Constant("wino_gauge_bosons", 0.029337, "wino pairs to gauge bosons, times g⁴/m²"),
    Constant("higgsino_gauge_bosons", 0.0045386, "higgsino pairs to gauge bosons, times g⁴/m²"),
    Constant("wino_higgsino_gauge_bosons", 0.0275, "wino-higgsino pairs to gauge bosons, times g⁴/m²"),
    Constant("wino_charged_current", 0.056488, "wino-like chargino-neutralino pairs to fermions by W*, times g⁴/m²"),
    Constant(
        "higgsino_charged_current", 0.010162, "higgsino-like chargino-neutralino pairs to fermions by W*, times g⁴/m²"
    ),
    Constant("bino_charged_current", 0.0031346, "bino-chargino pairs to fermions by W*, times g'² g²/m²"),
    Constant("wino_neutral_current", 0.013385, "wino-like chargino pairs to fermions by Z* and γ*, times g⁴/m²"),
    Constant(
        "higgsino_neutral_current", 0.0083346, "higgsino-like chargino pairs to fermions by Z* and γ*, times g⁴/m²"
    ),
    Constant("higgsino_neutralino_current", 0.014395, "pairs of different neutralinos to fermions by Z*, times g⁴/m²"),
    Constant("right_slepton_exchange", 0.10778, "like-sign right-handed slepton pairs by neutralino exchange"),
    Constant("right_slepton_gauge", 0.010554, "right-handed slepton pairs to gauge bosons, times e⁴/cos⁴θ_W m²"),
    Constant("left_slepton_exchange", 0.037981, "left-handed slepton and sneutrino pairs by neutralino exchange"),
    Constant("left_slepton_gauge", 0.0021651, "left-handed slepton and sneutrino pairs to gauge bosons, times g⁴/m²"),
    Constant("slepton_chargino_exchange", 0.0069252, "slepton-sneutrino pairs by chargino exchange, times g⁴"),
    Constant("mixed_slepton_exchange", 0.090592, "left-right slepton pairs by neutralino exchange, times g'⁴"),
    Constant("slepton_bino", 0.010907, "slepton-bino pairs, times g'² e²/m²"),
    Constant("slepton_wino", 0.012893, "slepton-wino pairs, times g⁴/m²"),
    Constant("stau_exchange", 0.13842, "like-sign stau pairs by neutralino exchange"),
    Constant("stau_right_gauge", 0.020727, "right-handed stau pairs to gauge bosons, times e⁴/cos⁴θ_W m²"),
    Constant("stau_left_gauge", 0.0039058, "left-handed stau pairs to gauge and Higgs bosons, times g⁴/m²"),
    Constant("stau_mixed_gauge", 0.011487, "mixed stau pairs to gauge and Higgs bosons, times g⁴/m²"),
    Constant("sneutrino_tau_exchange", 0.033137, "τ-sneutrino pairs by neutralino exchange"),
    Constant("bino_sfermion_exchange", 0.024124, "bino pairs to fermions by sfermion exchange, p-wave, times g'⁴"),
    Constant("stau_higgs", 0.0081044, "stau pairs to light Higgs bosons, times g⁴/m² (trilinear coupling/m)⁴"),
    Constant("bottom_mass", 2.533, "running mass of the bottom quark at the scale of the heavy Higgs bosons, GeV"),
    Constant(
        "bottom_gluino", 0.026173, "gluino loop in the bottom Yukawa coupling; one-loop value 2 α_s/3π · 3/2 = 0.03"
    ),
    Constant("heavy_higgs_width", 0.36616, "width of the heavy Higgs bosons besides b, τ and t, GeV"),
    Constant("heavy_higgs_exchange", 0.58867, "neutralino pairs to fermions by A and H"),
    Constant("z_exchange", 0.42444, "neutralino pairs to light fermions by Z, p-wave"),
    Constant("z_exchange_top", 28.463, "neutralino pairs to tops by Z, s-wave"),
    Constant("light_higgs_exchange", 3.2407, "neutralino pairs by the resonance of the light Higgs boson"),
)
"""Prefactors in `annihilation` and `relic_density`, positive.

Fitted to the relic density of scan files 0 to 3 and half of the wide scan.
"""

if len({constant.name for constant in (*MASS_SHIFTS, *CROSS_SECTIONS)}) != len(MASS_SHIFTS) + len(CROSS_SECTIONS):
    raise ImportError("trainers/physics/constants.py: two constants have the same name")
