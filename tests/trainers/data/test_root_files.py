"""ROOT files of others: every branch with one number per row is read, all others are refused with a remedy."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from pmssm.trainers.data.columns import COLUMNS, PARAMETERS
from pmssm.trainers.data.reading import read_chunks
from pmssm.trainers.data.scan_files import ScanSelection
from pmssm.trainers.data.targets import Target
from pmssm.trainers.errors import DataError
from support.bad_scan_files import columns

OTHERS = Path(__file__).parents[2] / "support" / "root_files"
LARGEST_FILE = 20_000_000
TREES = ("TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple")
REFUSED = (
    r"does not contain one number per row|fill all branches in every row|cannot represent exactly|occurs \d+ times"
)


def selection(tree: str, branch: str) -> ScanSelection:
    """`branch` as all 19 parameters and as the target."""
    assignments = tuple(f"{name.removeprefix('IN_')}={branch}" for name in PARAMETERS)
    return ScanSelection(target=Target(branch, branch, branch), tree=tree, branches=assignments)


def read(path: Path, selected: ScanSelection) -> np.ndarray:
    chunks = read_chunks(path, selected.columns(), tree=selected.tree)
    return np.concatenate(list(chunks))[:, : len(COLUMNS)]


# Nested branches and sub-fields


def nested(folder: Path, *names: str) -> Path:
    """An RNTuple with a record per name; each has fields of the same names."""
    fields = {name.removeprefix("IN_"): array for name, array in columns().items()}
    records = {name: ak.zip({key: array + place for key, array in fields.items()}) for place, name in enumerate(names)}
    with uproot.recreate(folder / "scan.root") as file:
        file.mkrntuple("susy", records)
    return folder / "scan.root"


def test_fields_of_a_record_are_read_by_their_full_name(tmp_path: Path) -> None:
    path = nested(tmp_path, "low", "high")
    chosen = ScanSelection(branches=("low.*", "At=high.At", "MO_Omega=high.MO_Omega"))
    expected = np.column_stack([array + (name in ("IN_At", "MO_Omega")) for name, array in columns().items()])
    np.testing.assert_array_equal(read(path, chosen), expected)


def test_the_remedies_for_fields_of_a_record_work_one_after_the_other(tmp_path: Path) -> None:
    path = nested(tmp_path, "a")
    taken: tuple[str, ...] = ()
    for _ in COLUMNS:
        with pytest.raises(DataError) as caught:
            read(path, ScanSelection(branches=taken))
        words = shlex.split(str(caught.value).rpartition("use --branches ")[2])
        taken = (*taken, words[0].rstrip(","))
    np.testing.assert_array_equal(read(path, ScanSelection(branches=taken)), np.column_stack(list(columns().values())))


def test_a_field_in_a_list_of_records_is_refused(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "scan.root") as file:
        jets = ak.Array([[{"pt": 1.0}] * (row % 3) for row in range(40)])
        file.mkrntuple("susy", {**columns(), "jets": jets})
    with pytest.raises(DataError, match=r"branch 'jets\.pt' does not contain one number per row"):
        read(tmp_path / "scan.root", ScanSelection(branches=("mA=jets.pt",)))


def test_a_large_tree_is_read_in_chunks_that_fit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pmssm.trainers.data.formats.root_file.CHUNK_BYTES", 8 * 20 * 7)
    path, arrays = tmp_path / "scan.root", columns(40)
    with uproot.recreate(path) as file:
        file.mktree("susy", dict.fromkeys(arrays, np.float64))
        for start in (0, 11, 33):
            file["susy"].extend({name: array[start : {0: 11, 11: 33, 33: 40}[start]] for name, array in arrays.items()})
    expected = np.column_stack(list(arrays.values()))
    np.testing.assert_array_equal(read(path, ScanSelection()), expected)
    limited = np.concatenate(list(read_chunks(path, ScanSelection().columns(), limit=9)))
    np.testing.assert_array_equal(limited[:, : len(COLUMNS)], expected[:9])


# Files that other programs wrote


def known_files() -> list[Path | str]:
    """Files beside the tests, and the names of all ROOT files of scikit-hep-testdata where it is installed."""
    beside: list[Path | str] = [*sorted(OTHERS.glob("*.root"))]
    try:
        import skhep_testdata
    except ImportError:
        return beside
    return [*beside, *sorted(name for name in skhep_testdata.known_files if name.endswith(".root"))]


@cache
def unreachable() -> str:
    """Why the data of scikit-hep-testdata, which are on the internet, cannot be had; empty if they can."""
    import skhep_testdata

    try:
        skhep_testdata.data_path("uproot-simple.root")
    except Exception as error:
        return f"the data of scikit-hep-testdata cannot be had here: {type(error).__name__}"
    return ""


def local(file: Path | str) -> Path:
    if isinstance(file, Path):
        return file
    import skhep_testdata

    if unreachable():
        pytest.skip(unreachable())
    path = Path(skhep_testdata.data_path(file))
    if path.stat().st_size > LARGEST_FILE:
        pytest.skip("too large")
    return path


def trees(path: Path) -> Iterator[tuple[str, uproot.TTree]]:
    try:
        with uproot.open(path) as file:
            for key, kind in file.classnames(cycle=False).items():
                if kind in TREES:
                    yield key, file[key]
    except Exception as error:
        pytest.skip(f"uproot itself cannot open it: {type(error).__name__}")


@pytest.mark.parametrize("file", known_files(), ids=str)
def test_each_branch_of_a_file_is_read_as_its_library_reads_it_or_is_refused_in_one_line(file: Path | str) -> None:
    path = local(file)
    for tree, contents in trees(path):
        for name, branch in islice(contents.items(), 300):
            try:
                values = read(path, selection(tree, name))
            except DataError as error:
                assert re.search(REFUSED, str(error)) or not contents.num_entries or is_unreadable(branch), error
                assert str(error).isprintable() and not is_plain(branch, contents), error
            else:
                expected = np.asarray(branch.array(library="np"), dtype=np.float64)
                np.testing.assert_array_equal(values, np.column_stack([expected] * len(COLUMNS)))


def is_unreadable(branch: uproot.TBranch) -> bool:
    try:
        branch.array(library="np")
    except Exception:
        return True
    return False


def is_plain(branch: uproot.TBranch, contents: uproot.TTree) -> bool:
    """Whether the library itself gives one number per row of the tree."""
    if is_unreadable(branch) or not branch.num_entries:
        return False
    values = branch.array(library="np")
    return isinstance(values, np.ndarray) and values.dtype.kind in "fiu" and values.shape == (contents.num_entries,)


@pytest.mark.parametrize(("name", "lowest"), [("double32_32", -2.0), ("float16_10", -2.0)])
def test_truncated_numbers_are_read_as_numbers(name: str, lowest: float) -> None:
    values = read(OTHERS / "uproot-double32-float16.root", selection("tree", name))
    assert values.shape[1] == len(COLUMNS) and math.isclose(values.min(), lowest, abs_tol=0.02)


def test_an_array_of_truncated_numbers_is_refused() -> None:
    with pytest.raises(DataError, match=r"it is Double32_t\[3\]\); store one floating-point number per row"):
        read(OTHERS / "uproot-double32-float16.root", selection("tree", "array_30"))


def test_branches_of_an_object_are_read_by_their_full_name() -> None:
    path = OTHERS / "uproot-small-evnt-tree-fullsplit.root"
    chosen = selection("tree", "evt/F64")
    assert read(path, chosen)[:, 0].tolist() == list(range(100))
    with pytest.raises(DataError, match=r"branch 'evt' does not contain one number per row \(it is Event\)"):
        read(path, selection("tree", "evt"))
