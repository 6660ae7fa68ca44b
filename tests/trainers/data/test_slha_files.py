"""SLHA files as input of `predict`: one row a file, with its name."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pmssm.trainers.data.columns import PARAMETERS, TREE
from pmssm.trainers.errors import DataError, OptionError
from pmssm.trainers.inference.model_file import load_surrogate
from pmssm.trainers.inference.predict_file import predict_file

pytest.importorskip("pyslha")
from pmssm.trainers.data.formats.slha_file import find_slha_files, read_slha_point

Run = Callable[..., "subprocess.CompletedProcess[str]"]

SPECTRUM = """\
# SUSY Les Houches Accord 2 - MSSM spectrum + decays
Block SPINFO         # Program information
     1   SPheno      # spectrum calculator
     2   v4.0.5      # version number
Block MODSEL  # Model selection
    1    0    # general MSSM
Block MINPAR  # Input parameters
    3    1.25000000E+01  # tanb at m_Z
    4    1.00000000E+00  # Sign(mu)
Block EXTPAR  # non-universal input parameters
    0    2.00000000E+03  # scale for input parameters
    1    3.01000000E+02  # M_1
    2   -8.02000000E+02  # M_2
    3    4.00300000E+03  # M_3
   11   -3.50400000E+03  # A_t
   12    1.20500000E+03  # A_b
   13   -2.06000000E+02  # A_tau
   23    7.07000000E+02  # mu
   26    2.00800000E+03  # m_A, pole mass
   31    6.09000000E+02  # M_(L,11)
   32    6.09000000E+02  # M_(L,22)
   33    2.01000000E+03  # M_(L,33)
   34    1.11100000E+03  # M_(E,11)
   35    1.11100000E+03  # M_(E,22)
   36    2.01200000E+03  # M_(E,33)
   41    4.01300000E+03  # M_(Q,11)
   42    4.01300000E+03  # M_(Q,22)
   43    4.01400000E+03  # M_(Q,33)
   44    4.01500000E+03  # M_(U,11)
   45    4.01500000E+03  # M_(U,22)
   46    4.01600000E+03  # M_(U,33)
   47    4.01700000E+03  # M_(D,11)
   48    4.01700000E+03  # M_(D,22)
   49    4.01800000E+03  # M_(D,33)
Block gauge Q=  2.00000000E+03  # (SUSY scale)
   1    3.63000000E-01  # g'(Q)^DRbar
Block MASS  # Mass spectrum
#   PDG code      mass          particle
        25     1.23700000E+02  # h0
   1000022     2.96400000E+02  # chi_10
DECAY        25     4.00000000E-03   # h0
#    BR                NDA      ID1      ID2
     6.20000000E-01    2           5        -5   # BR(h0 -> b bb)
"""

POINT = [609.0, 1111, 2010, 2012, 4013, 4015, 4017, 4014, 4016, 4018, 301, -802, 707, 4003, -3504, 1205, -206, 2008,
         12.5]  # fmt: skip


def test_the_parameters_come_from_extpar_and_tan_beta_also_from_minpar(tmp_path: Path) -> None:
    (tmp_path / "a.slha").write_text(SPECTRUM)
    assert read_slha_point(tmp_path / "a.slha") == POINT
    with_tan_beta = SPECTRUM.replace("   26    2.008", "   25    3.00000000D+01\n   26    2.008").replace(
        "Block", "BLOCK"
    )
    (tmp_path / "b.slha").write_text(with_tan_beta)
    assert read_slha_point(tmp_path / "b.slha") == [*POINT[:-1], 30.0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "   26    2.0",
            "   27    2.0",
            r"a\.slha: EXTPAR 26 \(mA\) is missing; a pMSSM point needs",
        ),
        ("    3    1.25", "    5    1.25", r"EXTPAR 25 or MINPAR 3 \(tanb\) is missing"),
        ("   32    6.09", "   32    7.09", r"EXTPAR 31 and 32 differ \(609\.0 and 709\.0\)"),
        ("   23    7.07000000E+02", "   23    NaN", r"EXTPAR 23 \(mu\) is .*, not a number"),
        ("Block EXTPAR", "Block XTPAR", r"EXTPAR 31 \(meL\) is missing"),
        ("   23    7.07000000E+02", "   23", r"not an SLHA file, or damaged|EXTPAR 23 \(mu\) is"),
    ],
)
def test_a_file_that_is_no_pmssm_point_is_one_clear_error(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SPECTRUM
    (tmp_path / "a.slha").write_text(SPECTRUM.replace(old, new))
    with pytest.raises(DataError, match=message):
        read_slha_point(tmp_path / "a.slha")


def test_bytes_that_are_no_text_are_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a.slha").write_bytes(np.random.default_rng(1).bytes(5000))
    with pytest.raises(DataError, match=r"a\.slha: "):
        read_slha_point(tmp_path / "a.slha")


@pytest.mark.parametrize("suffix", ["csv", "root", "npz", "parquet"])
def test_each_file_of_a_folder_is_a_row_with_its_name(model: Path, tmp_path: Path, suffix: str) -> None:
    for number in (1, 2, 10):
        (tmp_path / f"point_{number}.slha").write_text(SPECTRUM.replace("3.01000000E+02", f"{300 + number}"))
    (tmp_path / "README.txt").write_text("not a point")
    output = tmp_path / f"out.{suffix}"
    predict_file(model, tmp_path, output, tree=TREE, branches=(), device="cpu")
    table = read_table(output)
    assert [str(name) for name in table["file"]] == ["point_1.slha", "point_2.slha", "point_10.slha"]
    points = np.tile(POINT, (3, 1))
    points[:, PARAMETERS.index("IN_M_1")] = [301, 302, 310]
    expected = load_surrogate(model).predict_members(points, warn=False).mean(axis=0)
    np.testing.assert_allclose(np.asarray(table["relic_density"], dtype=np.float64), expected, rtol=1e-6)


def read_table(path: Path) -> dict[str, list[object]]:
    """The columns of a table in any format."""
    import pandas as pd
    import uproot

    if path.suffix == ".root":
        return {name: list(values) for name, values in uproot.open(path)[TREE].arrays(library="np").items()}
    if path.suffix == ".npz":
        return {name: list(values) for name, values in np.load(path).items()}
    return {name: list(values) for name, values in (
        pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    ).items()}  # fmt: skip


def test_a_pattern_selects_files_and_other_inputs_are_read_as_before(tmp_path: Path, model: Path) -> None:
    (tmp_path / "a.slha").write_text(SPECTRUM)
    (tmp_path / "b.SPC").write_text(SPECTRUM)
    (tmp_path / "c.csv").write_text("x\n1\n")
    assert find_slha_files(tmp_path / "?.s*") == [tmp_path / "a.slha"]
    assert find_slha_files(tmp_path) == [tmp_path / "a.slha", tmp_path / "b.SPC"]
    assert find_slha_files(tmp_path / "c.csv") is None
    with pytest.raises(DataError, match="contains no SLHA file"):
        find_slha_files(tmp_path / "*.csv")
    (tmp_path / "points.txt").touch()
    with pytest.raises(OptionError, match=r"must end in one of .*\.slha"):
        predict_file(model, tmp_path / "points.txt", tmp_path / "o.csv", tree=TREE, branches=(), device="cpu")


def test_the_command_names_the_bad_file_and_leaves_no_output(model: Path, tmp_path: Path, cli: Run) -> None:
    (tmp_path / "a.slha").write_text(SPECTRUM)
    (tmp_path / "b.slha").write_text(SPECTRUM.replace("   49 ", "   59 "))
    done = cli("predict", model, "--input", tmp_path / "*.slha", "--output", tmp_path / "out.csv")
    assert done.returncode == 2
    assert "b.slha: EXTPAR 49 (mbR) is missing" in done.stdout + done.stderr
    assert not (tmp_path / "out.csv").exists()
