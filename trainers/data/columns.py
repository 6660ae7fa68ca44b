"""The columns of a scan file."""

TREE = "susy"

PARAMETERS = (
    "IN_meL", "IN_meR", "IN_mtauL", "IN_mtauR", "IN_mqL1", "IN_muR", "IN_mdR", "IN_mqL3", "IN_mtR", "IN_mbR",
    "IN_M_1", "IN_M_2", "IN_mu", "IN_M_3", "IN_At", "IN_Ab", "IN_Atau", "IN_mA", "IN_tanb",
)  # fmt: skip
"""The 19 pMSSM parameters in the order the models take them; GeV, but tan β."""

TARGET = "MO_Omega"
"""Relic density Ωh²; −1 where the spectrum or the calculation failed."""

COLUMNS = (*PARAMETERS, TARGET)
