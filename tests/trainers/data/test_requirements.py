from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pmssm.trainers.data.data_report import warning_lines
from pmssm.trainers.data.requirements import parse_requirement
from pmssm.trainers.data.scan_files import ScanSelection, fingerprint
from pmssm.trainers.data.survey import check
from pmssm.trainers.data.targets import find_target
from pmssm.trainers.errors import DataError, OptionError
from support.bad_scan_files import columns, npz

VALUES = np.array([-1.0, 0.0, 125.0, np.nan, np.inf])


def counts(path: Path, *conditions: str, **choice: object) -> dict[str, int]:
    """The rows that each cut drops, and the usable ones."""
    selection = ScanSelection(require=tuple(map(parse_requirement, conditions)), **choice)  # type: ignore[arg-type]
    meta = check([str(path)], selection)
    return {cut: count for cut, count in meta["cuts"].items() if count} | {"usable": meta["counts"]["usable"]}


@pytest.mark.parametrize(
    ("condition", "kept"),
    [("x > 0", [False, False, True, False, True]), ("x>=0", [False, True, True, False, True]),
     (" x <0 ", [True, False, False, False, False]), ("x <= 0.", [True, True, False, False, False]),
     ("x == 1.25e2", [False, False, True, False, False]), ("x!=-1", [False, True, True, False, True])],
)  # fmt: skip
def test_a_condition_keeps_what_satisfies_it_and_never_nan(condition: str, kept: list[bool]) -> None:
    requirement = parse_requirement(condition)
    assert requirement.column == "x"
    assert (~requirement.violated(VALUES)).tolist() == kept


@pytest.mark.parametrize("text", ["", "x", "x >", "> 0", "x = 0", "x => 0", "x > y", "x > nan", "x > inf", "0 < x < 1",
                                  "x > 1,5", "x > 0 and y > 0", "x <> 0"])  # fmt: skip
def test_what_is_no_condition_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(OptionError, match=r"^--require '.*': use NAME, a comparison"):
        parse_requirement(text)


@pytest.mark.parametrize("name", ["tanb", "IN_tanb", "M1", "M_1", "AT", "IN_At"])
def test_a_parameter_may_have_any_of_its_names(name: str, tmp_path: Path) -> None:
    column = {"tanb": "IN_tanb", "IN_tanb": "IN_tanb", "M1": "IN_M_1", "M_1": "IN_M_1"}.get(name, "IN_At")
    expected = int((columns()[column] <= 900).sum())
    assert counts(npz(tmp_path), f"{name} > 900") == {f"not {column} > 900": expected, "usable": 40 - expected}


def test_conditions_on_any_branch_are_cuts_with_their_counts(tmp_path: Path) -> None:
    path = npz(tmp_path, a=np.arange(40), b=np.where(np.arange(40) < 5, np.nan, 1.0))
    assert counts(path, "a >= 10", "b == 1", "a != 12") == {"not a >= 10": 10, "not a != 12": 1, "usable": 29}


def test_conditions_hold_for_branches_that_are_read_anyway(tmp_path: Path) -> None:
    path = npz(tmp_path, SP_LSP_type=np.repeat([1, 2, 3, 4], 10), SP_m_h=np.repeat([-1.0, 125.0], 20))
    dropped = counts(path, "SP_LSP_type != 2", "MO_Omega > 0", "SP_m_h > 0", neutralino_lsp=True)
    assert dropped["not SP_LSP_type != 2"] == 10 and dropped["not SP_m_h > 0"] == 10 and dropped["usable"] == 10
    target = find_target("SP_m_h", transform="none", above=None, below=None)
    path = npz(tmp_path, SP_m_h=np.where(np.arange(40) < 4, -1, np.linspace(100, 130, 40)))
    assert counts(path, "SP_m_h > 0", target=target) == {"not SP_m_h > 0": 4, "usable": 36}


def test_a_missing_branch_is_refused_with_the_similar_one(tmp_path: Path) -> None:
    path = npz(tmp_path, SP_m_h=np.full(40, 125.0))
    with pytest.raises(DataError, match=r"no array named 'SP_mh' \(did you mean 'SP_m_h'\?\).* use --branches "
                                        r"SP_mh=SP_m_h, or leave out --require"):  # fmt: skip
        counts(path, "SP_mh > 0")
    assert counts(path, "SP_mh > 0", branches=("SP_mh=SP_m_h",)) == {"usable": 40}


def test_failed_higgs_masses_are_counted_and_the_remedy_drops_them(tmp_path: Path) -> None:
    omega = columns()["MO_Omega"]
    omega[:3] = -1
    path = npz(tmp_path, MO_Omega=omega, SP_m_h=np.where(np.arange(40) < 8, -1.0, 125.0))
    (line,) = (line for line in warning_lines(check([str(path)], ScanSelection())) if "SP_m_h" in line)
    assert line == ("SP_m_h is -1 in 8 rows, 5 of them usable: the mass of the Higgs boson could not be calculated; "
                    "--require 'SP_m_h > 0' drops them")  # fmt: skip
    selection = ScanSelection(require=(parse_requirement("SP_m_h > 0"),))
    meta = check([str(path)], selection)
    assert meta["require"] == ["SP_m_h > 0"] and meta["cuts"]["not SP_m_h > 0"] == 5
    assert not [line for line in warning_lines(meta) if "SP_m_h" in line]


def test_conditions_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    path = npz(tmp_path)
    selections = [ScanSelection(require=tuple(map(parse_requirement, one))) for one in
                  [(), ("tanb > 5",), ("tanb > 6",), ("tanb >= 5",), ("tanb > 5", "mA > 5")]]  # fmt: skip
    assert len({fingerprint([path], one) for one in selections}) == len(selections)


def test_prepare_and_check_take_conditions(tmp_path: Path, cli: Callable[..., object]) -> None:
    path = npz(tmp_path, SP_m_h=np.where(np.arange(40) < 8, -1.0, 125.0))
    for command in (("check",), ("prepare", "--output", tmp_path / "out")):
        done = cli(*command, "--data", path, "--require", "SP_m_h > 0")
        assert done.returncode == 0  # type: ignore[attr-defined]
        assert "8 not SP_m_h > 0" in done.stdout  # type: ignore[attr-defined]
    refused = cli("check", "--data", path, "--require", "SP_m_h")
    assert refused.returncode == 2 and "--require 'SP_m_h': use NAME" in refused.stderr  # type: ignore[attr-defined]
