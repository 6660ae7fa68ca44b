"""Conditions on any column of the files, such as `SP_m_h > 0`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import OptionError
from .columns import PARAMETERS, SPELLINGS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONDITION = re.compile(r"\s*(?P<branch>[^<>=!]+?)\s*(?P<comparison>>=|<=|==|!=|>|<)\s*(?P<bound>[^<>=!\s]+)\s*")


@dataclass(frozen=True)
class Requirement:
    """A condition that a usable row satisfies.

    Attributes:
        column: Name of the column in this package; a branch of the files, or one of PARAMETERS.
        comparison: `>`, `>=`, `<`, `<=`, `==` or `!=`.
        bound: Number on the right.
    """

    column: str
    comparison: str
    bound: float

    def __str__(self) -> str:
        return f"{self.column} {self.comparison} {self.bound:.12g}"

    def violated(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which values do not satisfy the condition, in the shape of `values`; nan satisfies none."""
        import numpy as np  # noqa: PLC0415 (the command line checks conditions without numpy)

        compare = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal, "==": np.equal,
                   "!=": np.not_equal}[self.comparison]  # fmt: skip
        return np.asarray(~compare(values, self.bound) | np.isnan(values), dtype=np.bool_)


def parse_requirement(text: str) -> Requirement:
    """Return the condition that a value of `--require` describes.

    Raises:
        OptionError: It is not a name, a comparison and a finite number.
    """
    match = CONDITION.fullmatch(text)
    try:
        bound = float(match["bound"]) if match else math.nan
    except ValueError:
        bound = math.nan
    if match is None or not math.isfinite(bound):
        raise OptionError(f"--require {text!r}: use NAME, a comparison (> >= < <= == !=) and a number, "
                          "such as 'SP_m_h > 0'")  # fmt: skip
    return Requirement(_column_name(match["branch"]), match["comparison"], bound)


def _column_name(branch: str) -> str:
    for name in PARAMETERS:
        short = name.removeprefix("IN_")
        if branch.removeprefix("IN_") in SPELLINGS.get(short, (short,)):
            return name
    return branch
