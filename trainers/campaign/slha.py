"""One SLHA input file per point, for spectrum generators.

Blocks and entries are those of Skands et al., JHEP 07 (2004) 036, sections 3.1 and 3.2: general MSSM, parameters at the
default input scale. The first two generations are equal.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..data.columns import PARAMETERS
from ..data.formats.slha_file import EXTPAR, SECOND_GENERATION, TAN_BETA
from ..files import atomic_folder

ENTRIES = {
    code: name
    for name, first in EXTPAR.items()
    if first != EXTPAR["IN_tanb"]
    for code in (first, SECOND_GENERATION.get(first, first))
}
"""Parameter by the number of its entry in block EXTPAR; tan β is entry 3 of MINPAR."""

STANDARD_MODEL = """\
BLOCK SMINPUTS
    1   1.27934000E+02   # 1/alpha_em(MZ)
    2   1.16637000E-05   # G_F
    3   1.17900000E-01   # alpha_s(MZ)
    4   9.11876000E+01   # MZ
    5   4.18000000E+00   # mb(mb)
    6   1.73000000E+02   # top pole mass
    7   1.77700000E+00   # tau pole mass
"""


def slha_text(point: NDArray[np.float64], remark: str) -> str:
    """Return the input file of one point.

    Args:
        point: Parameters in the order of PARAMETERS, shape (19,).
        remark: Text of the first line.
    """
    value = dict(zip(PARAMETERS, point.tolist(), strict=True))
    entries = "".join(
        f"{number:5d}   {value[name]:.16E}   # {name.removeprefix('IN_')}\n" for number, name in sorted(ENTRIES.items())
    )
    return (
        f"# {remark}\nBLOCK MODSEL\n    1   0   # general MSSM\n{STANDARD_MODEL}"
        f"BLOCK MINPAR\n{TAN_BETA:5d}   {value['IN_tanb']:.16E}   # tanb(MZ)\nBLOCK EXTPAR\n{entries}"
    )


def write_slha(folder: Path, points: NDArray[np.float64]) -> None:
    """Write `point_00001.slha` and so on into a new folder.

    Raises:
        OSError: The folder cannot be written.
    """
    with atomic_folder(folder) as temporary:
        for number, point in enumerate(points, start=1):
            name = f"point_{number:05d}.slha"
            (temporary / name).write_text(slha_text(point, f"{name} by pmssm-surrogate propose"), encoding="utf-8")
