"""The columns of a scan file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import OptionError

TREE = "susy"

PARAMETERS = (
    "IN_meL", "IN_meR", "IN_mtauL", "IN_mtauR", "IN_mqL1", "IN_muR", "IN_mdR", "IN_mqL3", "IN_mtR", "IN_mbR",
    "IN_M_1", "IN_M_2", "IN_mu", "IN_M_3", "IN_At", "IN_Ab", "IN_Atau", "IN_mA", "IN_tanb",
)  # fmt: skip
"""The 19 pMSSM parameters in the order the models take them; GeV, but tan β."""

COLUMNS = (*PARAMETERS, "MO_Omega")
"""What a scan for the default target holds."""

LSP_TYPE = "SP_LSP_type"
LSP_COLUMNS = (LSP_TYPE, "SP_LSP_Bino_frac", "SP_LSP_Wino_frac", "SP_LSP_Higgsino_frac")
"""1 bino, 2 wino, 3 higgsino, else the PDG number of the lightest sparticle; its composition."""

SPELLINGS = {"At": ("At", "AT"), "M_1": ("M_1", "M1"), "M_2": ("M_2", "M2"), "M_3": ("M_3", "M3")}
"""Parameters that tools spell in more than one way, the first preferred."""


@dataclass(frozen=True)
class Column:
    """One number a row. `names`: what files may call it, the one that is preferred first."""

    name: str
    names: tuple[str, ...]
    required: bool = True


def parameter_columns(branches: Sequence[str] = (), *, also: Sequence[Column] = ()) -> tuple[Column, ...]:
    """The 19 columns and those of `also`, by the names that `--branches` gives: `IN_*`, or `At=some_branch`.

    Without a pattern a parameter is found with the prefix `IN_` and without one. Raises OptionError, naming the item.
    """
    short = [name.removeprefix("IN_") for name in PARAMETERS]
    others = {column.name: column for column in also}
    single: dict[str, str] = {}
    patterns: list[str] = []
    for item in branches:
        name, equals, branch = item.partition("=")
        if equals and branch and name.removeprefix("IN_") in short:
            single[name.removeprefix("IN_")] = branch
        elif equals and branch and name in others:
            others[name] = replace(others[name], names=(branch,))
        elif not equals and item.count("*") == 1:
            patterns.append(item)
        else:
            raise OptionError(f"--branches {item!r}: give a pattern with one star, as in 'IN_*', or NAME=BRANCH, where "
                              f"NAME is one of {', '.join([*short, *others])}")  # fmt: skip
    parameters = (
        Column(name, (single[bare],) if bare in single else _names(bare, patterns or ["IN_*", "*"]))
        for name, bare in zip(PARAMETERS, short, strict=True)
    )
    return (*parameters, *others.values())


def _names(bare: str, patterns: Sequence[str]) -> tuple[str, ...]:
    return tuple(pattern.replace("*", spelt) for pattern in patterns for spelt in SPELLINGS.get(bare, (bare,)))
