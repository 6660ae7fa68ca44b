"""Scans of several rounds: merged without duplicates, with their origin, and with one holdout for all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pmssm.trainers.data.data_report import report_lines
from pmssm.trainers.data.prepare import prepare
from pmssm.trainers.data.prepared import PreparedData, load_prepared
from pmssm.trainers.data.scan_files import ScanSelection, round_of
from pmssm.trainers.data.survey import select_files
from pmssm.trainers.errors import DataError

Rows = NDArray[np.float64]
Make = Callable[..., Rows]
Write = Callable[..., Path]


@pytest.fixture
def rounds(tmp_path: Path, root_file: Write, make_rows: Make) -> Path:
    """Scans of two rounds and one before them; round 2 repeats 10 points of round 1, two of the 40 fail."""
    for name, rows in (
        ("first", make_rows(60, 1)),
        ("simulate-r01", make_rows(30, 2)),
        ("simulate-r02", np.concatenate([make_rows(30, 2)[:10], make_rows(30, 3)])),
    ):
        (tmp_path / name).mkdir()
        rows[-2:, -1] = -1
        root_file(tmp_path / name / "points.root", rows)
    return tmp_path


def prepared(folder: Path, *, holdout: Path | None = None, seed: int = 42, testing: bool = False) -> PreparedData:
    selection = ScanSelection(
        seed=seed, fixed_holdout=() if holdout is None else (str(holdout),), max_rows=20 if testing else None
    )
    patterns = [str(folder / "first"), str(folder / "simulate-r[0-9][0-9]" / "points.root")]
    prepare(folder / f"data{seed}{testing}", patterns=patterns, selection=selection)
    return load_prepared(folder / f"data{seed}{testing}")


def physical(data: PreparedData, inputs: NDArray[np.float32]) -> set[float]:
    """The values of M_1, which identify the points."""
    return {round(float(value), 1) for value in inputs[:, 10] * data.scaling.std[10] + data.scaling.mean[10]}


def test_points_of_all_rounds_are_merged_once_each_and_their_round_is_kept(rounds: Path) -> None:
    meta = prepared(rounds).meta
    assert [(file.get("round"), file["read"], file["usable"], file["copies"]) for file in meta["files"]] == [
        (None, 60, 58, 0),
        (1, 30, 28, 0),
        (2, 40, 38, 10),
    ]
    assert "Usable rows by round: before 58 of 60, r01 28 of 30, r02 28 of 40" in report_lines(meta)


def test_a_round_is_read_from_the_folder_of_the_run() -> None:
    names = ["simulate-seed1-r07/points.root", "simulate-r123/a.csv", "scan-r7/a.csv", "points-r07.root", "r07/a.csv"]
    assert [round_of(Path("logs") / name) for name in names] == [7, 123, None, None, None]


def test_later_rounds_can_be_left_out_so_that_a_round_that_is_done_again_sees_what_it_saw(rounds: Path) -> None:
    def files_before(number: int) -> list[int | None]:
        patterns = [str(rounds / name) for name in ("first", "simulate-r[0-9][0-9]")]
        selection = ScanSelection(before_round=number)
        return [round_of(path) for path in select_files([f"{one}/points.root" for one in patterns], selection)]

    assert [files_before(number) for number in (1, 2, 3)] == [[None], [None, 1], [None, 1, 2]]
    with pytest.raises(DataError, match=r"^--before-round 1: leaves no file of .*simulate-r01; add a scan of an"):
        select_files([str(rounds / "simulate-r01")], ScanSelection(before_round=1))


def test_a_fixed_holdout_is_the_same_whatever_else_is_read_and_no_training_sees_it(
    rounds: Path, root_file: Write, make_rows: Make
) -> None:
    rows = np.concatenate([make_rows(25, 9), make_rows(60, 1)[:5]])  # five of its points are also in the scan
    holdout = root_file(rounds / "holdout.root", rows)
    wanted = {round(float(value), 1) for value in rows[:, 10]}
    for seed in (1, 2):
        data = prepared(rounds, holdout=holdout, seed=seed)
        assert data.holdout_inputs is not None
        assert physical(data, data.holdout_inputs) == wanted
        assert not physical(data, np.concatenate([data.train_inputs, data.val_inputs])) & wanted
        counts = data.meta["counts"]
        assert (counts["holdout"], counts["val"]) == (30, 11)
        assert counts["train"] + counts["val"] == 58 + 28 + 28 - 5
        assert ", 30 of the fixed holdout (seed" in report_lines(data.meta)[1]


def test_testing_shortens_scan_and_holdout_alike(rounds: Path, root_file: Write, make_rows: Make) -> None:
    counts = prepared(rounds, holdout=root_file(rounds / "holdout.root", make_rows(25, 9)), testing=True).meta["counts"]
    assert (counts["train"], counts["val"], counts["holdout"]) == (18, 2, 20)


def test_a_holdout_that_cannot_be_used_is_named(rounds: Path, root_file: Write, make_rows: Make) -> None:
    with pytest.raises(DataError, match=r"^--fixed-holdout '/nowhere/\*\.root': no ROOT.* file matches"):
        prepared(rounds, holdout=Path("/nowhere/*.root"))
    failed = make_rows(25, 9)
    failed[:, -1] = -1
    with pytest.raises(DataError, match=r"^--fixed-holdout .*holdout\.root: leaves no usable holdout row"):
        prepared(rounds, holdout=root_file(rounds / "holdout.root", failed))
