"""Names of the columns of a scan file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import OptionError

TREE = "susy"

PARAMETERS = (
    "IN_meL", "IN_meR", "IN_mtauL", "IN_mtauR", "IN_mqL1", "IN_muR", "IN_mdR", "IN_mqL3", "IN_mtR", "IN_mbR",
    "IN_M_1", "IN_M_2", "IN_mu", "IN_M_3", "IN_At", "IN_Ab", "IN_Atau", "IN_mA", "IN_tanb",
)  # fmt: skip
"""The 19 pMSSM parameters in the order of the model inputs; GeV, except tan β."""

COLUMNS = (*PARAMETERS, "MO_Omega")
"""Columns of a scan for the default target."""

LSP_TYPE = "SP_LSP_type"
LSP_COLUMNS = (LSP_TYPE, "SP_LSP_Bino_frac", "SP_LSP_Wino_frac", "SP_LSP_Higgsino_frac")
"""Type of the lightest sparticle (1 bino, 2 wino, 3 higgsino, else its PDG number) and its composition."""

HIGGS_MASS = "SP_m_h"
"""Mass of the light Higgs boson, GeV; -1 where the spectrum could not be calculated."""

SPELLINGS = {"At": ("At", "AT"), "M_1": ("M_1", "M1"), "M_2": ("M_2", "M2"), "M_3": ("M_3", "M3")}
"""Parameters with more than one spelling, the preferred one first."""


@dataclass(frozen=True)
class Column:
    """One number per row.

    Attributes:
        name: Name of the column in this package.
        names: Possible names in a file, the preferred one first.
        required: A file without this column is an error; otherwise its values are nan.
        alternative: What a user without this column can do, such as `leave out --neutralino-lsp`.
    """

    name: str
    names: tuple[str, ...]
    required: bool = True
    alternative: str = ""


def parameter_columns(branches: Sequence[str] = (), *, also: Sequence[Column] = ()) -> tuple[Column, ...]:
    """Return the columns of the 19 parameters, followed by those of `also`.

    Without a pattern in `branches`, a parameter is found with and without the prefix `IN_`.

    Args:
        branches: Values of `--branches`: patterns such as `IN_*`, and assignments such as `At=some_branch`.
        also: More columns; assignments may rename them.

    Raises:
        OptionError: An item of `branches` is neither.
    """
    short_names = [name.removeprefix("IN_") for name in PARAMETERS]
    others = {column.name: column for column in also}
    by_parameter: dict[str, str] = {}
    patterns: list[str] = []
    for item in branches:
        name, equals, branch = item.partition("=")
        if equals and branch and name.removeprefix("IN_") in short_names:
            by_parameter[name.removeprefix("IN_")] = branch
        elif equals and branch and name in others:
            others[name] = replace(others[name], names=(branch,))
        elif not equals and item.count("*") == 1:
            patterns.append(item)
        else:
            raise OptionError(f"--branches {item!r}: use a pattern with one star, such as 'IN_*', or NAME=BRANCH, "
                              f"where NAME is one of {', '.join([*short_names, *others])}")  # fmt: skip
    parameters = (
        Column(
            name,
            (by_parameter[short_name],)
            if short_name in by_parameter
            else _spellings(short_name, patterns or ["IN_*", "*"]),
        )
        for name, short_name in zip(PARAMETERS, short_names, strict=True)
    )
    return (*parameters, *others.values())


def _spellings(short_name: str, patterns: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        pattern.replace("*", spelling) for pattern in patterns for spelling in SPELLINGS.get(short_name, (short_name,))
    )
