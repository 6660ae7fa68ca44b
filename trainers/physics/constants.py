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
    Constant("bino_shift", 0.00016177, "M_1: constant relative shift"),
    Constant("bino_sfermions", -0.0017119, "M_1: sfermion loops, weight N_c Y²; one-loop value -2 g'²/16π² = -0.0016"),
    Constant("bino_higgs", -0.00093349, "M_1: higgsino-Higgs loops; one-loop value -g'²/16π²"),
    Constant("bino_higgs_mixed", 0.00080965, "M_1: the same with a higgsino mass insertion; one-loop value g'²/16π²"),
    Constant("wino_shift", 0.028065, "M_2: constant relative shift"),
    Constant("wino_gauge", 0.014185, "M_2: gauge-boson loops, times ln(Q²/M_2²)"),
    Constant("wino_sfermions", -0.002613, "M_2: loops of sfermion doublets; one-loop value -g²/16π²"),
    Constant("wino_higgs", -0.0022987, "M_2: higgsino-Higgs loops; one-loop value -g²/16π²"),
    Constant("wino_higgs_mixed", 0.0026893, "M_2: the same with a higgsino mass insertion; one-loop value g²/16π²"),
    Constant("higgsino_shift", 0.012817, "μ: constant relative shift"),
    Constant("higgsino_top", -0.036605, "μ: top-stop loops"),
    Constant("higgsino_top_low", -0.0019498, "μ: the same, times 1/tan² β; one-loop value -3 λ_t²/32π²"),
    Constant("higgsino_gauge", -0.0016549, "μ: gauge-boson loops, times ln(Q²/μ²)"),
    Constant("wino_gap", 0.22583, "charged wino above the neutral one at large mass, GeV"),
    Constant("wino_gap_mass", 21.064, "mass at which that gap is half as large, GeV"),
    Constant("higgsino_gap", 0.18431, "charged higgsino above the neutral ones at large mass, GeV"),
    Constant("gaugino_higgsino_mixing", -0.0065332, "relative correction of the mixing of gauginos with higgsinos"),
    Constant("higgsino_bottom", -0.0069837, "μ: bottom-sbottom loops at tan β = 50, times (tan β/50)²"),
    Constant("higgsino_wino", -0.0017557, "μ: wino-Higgs loops"),
    Constant("higgsino_wino_mixed", 0.0020817, "μ: the same with a wino mass insertion"),
    Constant("higgsino_bino", -8.6139e-05, "μ: bino-Higgs loops"),
    Constant("higgsino_bino_mixed", 0.00022622, "μ: the same with a bino mass insertion"),
    Constant("higgsino_offset", 0.0064112, "μ: additive shift of |μ| in units of Q"),
    Constant("higgsino_offset_wino", -0.0020825, "μ: change of that shift with M_2²/Q²"),
    Constant("higgsino_offset_top", -5.85e-05, "μ: change of that shift with A_t²/Q²"),
    Constant("higgsino_offset_low", 0.0047225, "μ: change of that shift with 1/tan² β"),
    Constant("higgsino_cusp", 0.0021108, "μ: height of the cusp in units of Q"),
    Constant("higgsino_cusp_slope", 0.0016835, "μ: change of that height with |μ|/Q"),
    Constant("higgsino_cusp_position", 0.15297, "μ: |μ|/Q of the cusp"),
    Constant("higgsino_cusp_width", 0.11533, "μ: width of the cusp, relative in μ²"),
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
    Constant("tau_running", 0.030675, "relative correction of the τ mass in the mixing of staus"),
    Constant("tau_wino", 0.0073667, "wino loops in it, times tan β μ M_2/(sum of squares)"),
    Constant("tau_bino", -0.0074673, "bino loops in it, times tan β μ M_1/(sum of squares)"),
    Constant("stau_left_own", -0.0081551, "squared left-handed stau mass at tan β = 50, times m² ln Q²/(m² + μ²)"),
    Constant("stau_right_own", -0.0070344, "squared right-handed stau mass at tan β = 50, times m² ln Q²/(m² + μ²)"),
    Constant("stau_right_light_higgs", -0.0038726, "squared right-handed stau mass at tan β = 50, times μ² ln Q²/m²"),
    Constant("stau_right_higgsino", 0.0067328, "squared right-handed stau mass at tan β = 50, times μ²"),
    Constant("stau_scalars", -0.0019195, "squared stau mass at tan β = 50, times A_0 of staus and A"),
    Constant("stau_trilinear", -0.0018935, "squared stau mass at tan β = 50, times A_τ² ln Q²/m²"),
    Constant("stau_higgsino", 0.0030116, "squared stau mass at tan β = 50, times μ² ln Q²/μ²"),
)
"""Coefficients of the loop corrections in `mass_shifts`.

Fitted to pole masses of scan files 0 to 2 and of the wide scan; gauginos, higgsinos and staus to its even rows only.
"""

HIGGS_MASS = (
    Constant("higgs_constant", 1.335, "top loops: constant"),
    Constant("higgs_log", 0.2915, "top loops, times L = ln(M_S²/m_t²)"),
    Constant("higgs_log_squared", 0.00433, "top loops, times L²"),
    Constant("higgs_mixing", 0.5232, "top loops, times x² with x = X_t/M_S; one-loop value 1"),
    Constant("higgs_mixing_log", 0.0333, "top loops, times -x² L"),
    Constant("higgs_mixing_fourth", 0.0426, "top loops, times -x⁴; one-loop value 1/12"),
    Constant("higgs_mixing_fourth_log", 0.002355, "top loops, times x⁴ L"),
    Constant("higgs_gluino", 0.00628, "top loops, times x M_3/M_S"),
    Constant("higgs_gluino_mixing", 0.00682, "top loops, times x³ M_3/M_S"),
    Constant("higgs_low", 0.034, "top loops, times 1/tan² β"),
    Constant("higgs_low_mixing", 0.1098, "top loops, times x²/tan² β"),
    Constant("higgs_low_squared", 0.0779, "top loops, times 1/tan⁴ β"),
    Constant("higgs_sbottom", 0.1282, "sbottom loops at tan β = 50 and |μ| = M_S, 1000 GeV²"),
    Constant("higgs_wino", 0.0036, "wino loops, times M_Z² ln(M_S²/M_2²)"),
    Constant("higgs_wino_higgsino", 0.0088, "wino-higgsino loops, times M_Z² ln(M_S²/(M_2² + μ²))"),
    Constant("higgs_slepton", 0.00144, "slepton loops, times -M_Z² ln(M_S²/meL²)"),
    Constant("higgs_d_term", 0.0251, "top loops, times -M_Z² cos² 2β L; one-loop value 3 m_t²/8π²v²"),
)
"""Coefficients of the loop corrections in `higgs_mass`, fitted to pole masses of scan files 0 to 2."""

CROSS_SECTIONS = (
    Constant("photon_pairs", 0.13166, "share of W γ in the pairs of a neutralino and a chargino to gauge bosons"),
    Constant("bino_stau_mixing", 0.074157, "bino pairs to τ pairs by staus mixed of left and right, s-wave, times g'⁴"),
    Constant("lightest_gauge_bosons", 1.0368, "two lightest neutralinos to W and Z pairs, relative to the tree level"),
    Constant("wino_gauge_bosons", 0.018733, "wino pairs to gauge bosons, times g⁴/m²"),
    Constant("higgsino_gauge_bosons", 0.0020395, "higgsino pairs to gauge bosons, times g⁴/m²"),
    Constant("wino_higgsino_gauge_bosons", 0.0092011, "wino-higgsino pairs to gauge bosons, times g⁴/m²"),
    Constant("charged_current", 1.0171, "chargino-neutralino pairs to fermions by a W, relative to the tree level"),
    Constant("neutralino_current", 0.92474, "pairs of different neutralinos by a Z, relative to the tree level"),
    Constant("right_slepton_exchange", 0.11032, "like-sign right-handed slepton pairs by neutralino exchange"),
    Constant("right_slepton_gauge", 0.010651, "right-handed slepton pairs to gauge bosons, times e⁴/cos⁴θ_W m²"),
    Constant("left_slepton_exchange", 0.037129, "left-handed slepton and sneutrino pairs by neutralino exchange"),
    Constant("left_slepton_gauge", 0.0021907, "left-handed slepton and sneutrino pairs to gauge bosons, times g⁴/m²"),
    Constant("slepton_chargino_exchange", 0.0085246, "slepton-sneutrino pairs by chargino exchange, times g⁴"),
    Constant("mixed_slepton_exchange", 0.10325, "left-right slepton pairs by neutralino exchange, times g'⁴"),
    Constant("slepton_bino", 0.011114, "slepton-bino pairs, times g'² e²/m²"),
    Constant("slepton_wino", 0.013025, "slepton-wino pairs, times g⁴/m²"),
    Constant("stau_exchange", 0.14337, "like-sign stau pairs by neutralino exchange"),
    Constant("stau_right_gauge", 0.020631, "right-handed stau pairs to gauge bosons, times e⁴/cos⁴θ_W m²"),
    Constant("stau_left_gauge", 0.0039979, "left-handed stau pairs to gauge and Higgs bosons, times g⁴/m²"),
    Constant("stau_mixed_gauge", 0.011998, "mixed stau pairs to gauge and Higgs bosons, times g⁴/m²"),
    Constant("sneutrino_tau_exchange", 0.036294, "τ-sneutrino pairs by neutralino exchange"),
    Constant("bino_sfermion_exchange", 0.023632, "bino pairs to fermions by sfermion exchange, p-wave, times g'⁴"),
    Constant("stau_higgs", 0.0083716, "stau pairs to light Higgs bosons, times g⁴/m² (trilinear coupling/m)⁴"),
    Constant("bottom_mass", 2.6928, "running mass of the bottom quark at the scale of the heavy Higgs bosons, GeV"),
    Constant(
        "bottom_gluino", 0.024751, "gluino loop in the bottom Yukawa coupling; one-loop value 2 α_s/3π · 3/2 = 0.03"
    ),
    Constant("heavy_higgs_width", 0.017314, "width of the heavy Higgs bosons besides b, τ and t, GeV"),
    Constant("heavy_higgs_exchange", 0.60415, "neutralino pairs to fermions by A and H"),
    Constant("z_exchange", 0.4121, "neutralino pairs to light fermions by Z, p-wave"),
    Constant("z_exchange_top", 27.526, "neutralino pairs to tops by Z, s-wave"),
    Constant("hadronic_transition", 1.0051, "fall of ln g_* with ln T below the hadronic transition"),
    Constant("quark_threshold", 0.18047, "rise of ln g_* at a temperature of 1 GeV"),
    Constant("top_bottom", 0.26535, "share of top and bottom in the decays of a heavy W"),
    Constant("light_higgs_exchange", 3.755, "neutralino pairs by the resonance of the light Higgs boson"),
)
"""Prefactors in `annihilation` and `relic_density`, positive.

Fitted to the relic density of scan files 0 to 3 and half of the wide scan.
"""

CONSTANTS = (*MASS_SHIFTS, *HIGGS_MASS, *CROSS_SECTIONS)

if len({constant.name for constant in CONSTANTS}) != len(CONSTANTS):
    raise ImportError("trainers/physics/constants.py: two constants have the same name")
