from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pmssm.trainers.data.columns import COLUMNS
from pmssm.trainers.data.prepare import prepare
from pmssm.trainers.data.scan_files import ScanSelection
from pmssm.trainers.errors import DataError

Make = Callable[..., np.ndarray]
Write = Callable[..., Path]


def refusal(tmp_path: Path, pattern: object) -> str:
    """The one line that `prepare` ends with; nothing complete is left behind."""
    with pytest.raises(DataError) as caught:
        prepare(tmp_path / "out", patterns=[str(pattern)], selection=ScanSelection())
    assert not (tmp_path / "out" / "meta.json").exists()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_pattern_that_matches_nothing(tmp_path: Path) -> None:
    assert "nowhere*.root': no ROOT, CSV, Parquet or NumPy (.npz) file matches" in refusal(
        tmp_path, tmp_path / "nowhere*.root"
    )


def test_a_folder_without_scan_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    assert "the folder contains no ROOT, CSV, Parquet or NumPy (.npz) file" in refusal(tmp_path, tmp_path)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    assert "notes.txt: not a ROOT, CSV, Parquet or NumPy (.npz) file" in refusal(tmp_path, tmp_path / "notes.txt")


def test_an_empty_tree(tmp_path: Path, root_file: Write, make_rows: Make) -> None:
    assert "scan.root: contains no rows" in refusal(tmp_path, root_file(tmp_path / "scan.root", make_rows(0)))


def test_an_empty_csv_file_and_one_with_a_header_alone(tmp_path: Path, csv_file: Write, make_rows: Make) -> None:
    (tmp_path / "empty.csv").touch()
    assert "empty.csv: is empty" in refusal(tmp_path, tmp_path / "empty.csv")
    assert "scan.csv: contains no rows" in refusal(tmp_path, csv_file(tmp_path / "scan.csv", make_rows(0)))


def test_a_missing_branch_with_similar_names(tmp_path: Path, root_file: Write) -> None:
    message = refusal(tmp_path, root_file(tmp_path / "scan.root", rename={"IN_tanb": "IN_tanbeta"}))
    assert "scan.root: no branch named 'IN_tanb' (did you mean 'IN_tanbeta'" in message


def test_a_missing_target_column_in_csv(tmp_path: Path, csv_file: Write) -> None:
    path = csv_file(tmp_path / "scan.csv")
    path.write_text(path.read_text().replace("MO_Omega", "MO_omega"))
    assert "scan.csv: no column named 'MO_Omega' (did you mean 'MO_omega'?)" in refusal(tmp_path, path)


def test_another_tree(tmp_path: Path, root_file: Write) -> None:
    message = refusal(tmp_path, root_file(tmp_path / "scan.root", tree="mssm"))
    assert "scan.root: no tree named 'susy', the file contains mssm" in message


def test_all_rows_pruned(tmp_path: Path, root_file: Write, make_rows: Make) -> None:
    rows = make_rows(30)
    rows[:, -1] = -1
    message = refusal(tmp_path, root_file(tmp_path / "scan.root", rows))
    assert "scan.root: 0 usable rows left" in message
    assert "30 MO_Omega = -1" in message


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.3, 0.6, 0.9])
def test_a_truncated_root_file(tmp_path: Path, root_file: Write, make_rows: Make, keep: float) -> None:
    path = root_file(tmp_path / "scan.root", make_rows(2000))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    assert "scan.root: cannot be read, the file may be incomplete;" in refusal(tmp_path, path)


def test_a_file_that_is_no_root_file(tmp_path: Path) -> None:
    (tmp_path / "scan.root").write_text("hello " * 1000)
    assert "scan.root: cannot be read" in refusal(tmp_path, tmp_path / "scan.root")


@pytest.mark.parametrize(("content", "expected"), [
    (b"\xff\xfe\x00" * 100, "cannot be read"),
    ((",".join(COLUMNS) + "\n" + ",".join(["1"] * 20) + "\n" + ",".join(["1"] * 23) + "\n").encode(),
     "line 3 has 23 cells, the header has 20; use decimal points instead of commas, or correct header or row"),
    ((",".join(COLUMNS) + "\n" + ",".join(["1"] * 20) + "\n" + ",".join(["1"] * 19) + ",abc\n").encode(),
     "column 'MO_Omega', data row 2: 'abc' is not a number"),
])  # fmt: skip
def test_a_csv_file_of_something_else(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "scan.csv").write_bytes(content)
    if content.startswith(b"\xff"):
        expected = "scan.csv: "
    assert expected in refusal(tmp_path, tmp_path / "scan.csv")
