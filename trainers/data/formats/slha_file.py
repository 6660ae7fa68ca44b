"""SLHA files: one pMSSM point each, from the blocks EXTPAR and MINPAR.

Source: Skands et al., JHEP 07 (2004) 036, arXiv:hep-ph/0311123, section 3.1. They are read with pyslha (an optional
package).
"""

from __future__ import annotations

import glob
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ..columns import PARAMETERS
from ..natural_order import natural_key
from .common import Rows

SLHA_SUFFIXES = (".slha", ".spc")

CHUNK_FILES = 1_000

MAX_BYTES = 16 << 20
"""Largest size of a file; a spectrum with all decays has 100 kB."""

EXTPAR: Mapping[str, int] = {
    "IN_meL": 31, "IN_meR": 34, "IN_mtauL": 33, "IN_mtauR": 36, "IN_mqL1": 41, "IN_muR": 44, "IN_mdR": 47,
    "IN_mqL3": 43, "IN_mtR": 46, "IN_mbR": 49, "IN_M_1": 1, "IN_M_2": 2, "IN_mu": 23, "IN_M_3": 3, "IN_At": 11,
    "IN_Ab": 12, "IN_Atau": 13, "IN_mA": 26, "IN_tanb": 25,
}  # fmt: skip
"""Codes of the parameters in block EXTPAR; mA is the pole mass."""

TAN_BETA = 3
"""Code of tan β in block MINPAR, where it is at the Z mass; EXTPAR 25 has precedence, as in the accord."""

SECOND_GENERATION = {31: 32, 34: 35, 41: 42, 44: 45, 47: 48}
"""Code of the second generation by that of the first: in the pMSSM both are equal."""


def find_slha_files(source: Path) -> list[Path] | None:
    """Return the SLHA files that an input names, in natural order; None if it is another kind of input.

    Args:
        source: An SLHA file, a folder, or a glob pattern.

    Raises:
        DataError: The folder or the pattern contains no SLHA file.
    """
    if source.is_file():
        return [source] if source.suffix.lower() in SLHA_SUFFIXES else None
    is_pattern = glob.has_magic(str(source))
    if not source.is_dir() and not is_pattern:
        return None
    found = source.iterdir() if source.is_dir() else (Path(name) for name in glob.glob(str(source), recursive=True))  # noqa: PTH207 (absolute patterns)
    files = sorted((file for file in found if file.suffix.lower() in SLHA_SUFFIXES and file.is_file()), key=natural_key)
    if not files:
        raise DataError(f"--input {source}: contains no SLHA file ({', '.join(SLHA_SUFFIXES)}); give a folder or a "
                        "quoted pattern of SLHA files, or one file of points")  # fmt: skip
    return files


def read_slha_chunks(files: Sequence[Path]) -> Iterator[Rows]:
    """Yield the points of SLHA files, in order: arrays of shape (k, 19).

    Raises:
        DataError: A file cannot be read or is no pMSSM point; or pyslha is not installed.
    """
    for start in range(0, len(files), CHUNK_FILES):
        yield np.array([read_slha_point(path) for path in files[start : start + CHUNK_FILES]], dtype=np.float64)


def read_slha_point(path: Path) -> list[float]:
    """Return the 19 parameters of an SLHA file, in the order of PARAMETERS.

    Raises:
        DataError: The file cannot be read or is no pMSSM point; or pyslha is not installed.
    """
    try:
        import pyslha  # noqa: PLC0415 (an extra)
    except ImportError:
        raise DataError(f"{path}: reading SLHA files needs pyslha; `pip install pyslha`") from None
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the file and its permissions") from error
    if len(content) > MAX_BYTES:
        raise DataError(f"{path}: larger than {MAX_BYTES >> 20} MiB, so it is no SLHA file; leave it out")
    try:
        text = _inputs_only(content.decode("utf-8", errors="replace"))
        blocks = pyslha.readSLHA(text, ignorenomass=True).blocks
        inputs = {int(key): value for key, value in blocks["EXTPAR"].items()} if "EXTPAR" in blocks else {}
        minimal = {int(key): value for key, value in blocks["MINPAR"].items()} if "MINPAR" in blocks else {}
    except Exception as error:  # damaged text makes the parser raise nearly any class
        raise DataError(f"{path}: not an SLHA file, or damaged ({type(error).__name__}); write it again") from error
    if 25 not in inputs and TAN_BETA in minimal:
        inputs[25] = minimal[TAN_BETA]
    _require_equal_generations(path, inputs)
    return [_number(path, inputs, name, code) for name, code in EXTPAR.items()]


def _inputs_only(text: str) -> str:
    """Return the blocks EXTPAR and MINPAR: spectrum and decays would take most of the parser's time."""
    sections = re.split(r"(?im)^(?=(?:BLOCK|DECAY|XSECTION)\b)", text)
    return "".join(one for one in sections if re.match(r"(?i)BLOCK\s+(?:EXTPAR|MINPAR)\b", one))


def _require_equal_generations(path: Path, inputs: Mapping[int, Any]) -> None:
    for first, second in SECOND_GENERATION.items():
        if first in inputs and second in inputs and inputs[first] != inputs[second]:
            both = f"{inputs[first]} and {inputs[second]}"
            raise DataError(f"{path}: EXTPAR {first} and {second} differ ({both}); in the pMSSM both generations have "
                            "one mass")  # fmt: skip


def _number(path: Path, inputs: Mapping[int, Any], name: str, code: int) -> float:
    where = f"EXTPAR {code}" + (f" or MINPAR {TAN_BETA}" if code == EXTPAR["IN_tanb"] else "")
    if code not in inputs:
        raise DataError(f"{path}: {where} ({name.removeprefix('IN_')}) is missing; a pMSSM point needs all 19 "
                        "parameters")  # fmt: skip
    try:
        value = float(re.sub("[dD]", "e", str(inputs[code])))  # Fortran writes 1.0D+03
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path}: {where} ({name.removeprefix('IN_')}) is {inputs[code]!r}, not a number; correct it")
    return value


if tuple(EXTPAR) != PARAMETERS:
    raise ImportError("trainers/data/formats/slha_file.py: EXTPAR must have the 19 parameters in their order")
