"""The report on scan data before a training; no point is on both sides of the split."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pmssm.trainers.data.columns import COLUMNS, LSP_COLUMNS, LSP_TYPE
from pmssm.trainers.data.data_report import histogram, report_lines, warning_lines
from pmssm.trainers.data.duplicates import first_occurrences, point_keys
from pmssm.trainers.data.lsp import LSP_CLASSES, classify
from pmssm.trainers.data.prepare import prepare
from pmssm.trainers.data.prepared import load_prepared
from pmssm.trainers.data.scan_files import ScanSelection
from pmssm.trainers.data.survey import check
from pmssm.trainers.data.targets import TARGETS, find_target
from pmssm.trainers.errors import DataError

Make = Callable[..., np.ndarray]
Write = Callable[..., Path]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def report_text(*patterns: object, **selection: object) -> str:
    meta = check([str(pattern) for pattern in patterns], ScanSelection(**selection))  # type: ignore[arg-type]
    return "\n".join([*report_lines(meta), *warning_lines(meta)])


def test_a_point_that_two_files_share_is_kept_once_and_is_in_the_report(
    tmp_path: Path, root_file: Write, csv_file: Write, make_rows: Make
) -> None:
    rows = make_rows(100)
    root_file(tmp_path / "scan_1.root", rows)
    again = rows[:30].copy()
    again[:5, -1] /= 2
    csv_file(tmp_path / "scan_2.csv", np.concatenate([again, make_rows(50, seed=2)]))
    prepare(tmp_path / "out", patterns=[str(tmp_path)], selection=ScanSelection())
    prepared = load_prepared(tmp_path / "out")
    assert prepared.meta["counts"] == {"read": 180, "usable": 180, "copies": 30, "train": 135, "val": 15}
    train, val = ({row.tobytes() for row in part} for part in (prepared.train_inputs, prepared.val_inputs))
    assert len(train) == 135 and len(val) == 15 and not train & val
    text = "\n".join(warning_lines(prepared.meta))
    assert "30 usable rows repeat the 19 parameters of an earlier row" in text
    assert "5 of them had another MO_Omega; most of them, 30, in scan_2.csv" in text
    assert "30 copies of a point left out, so none is on both sides" in "\n".join(report_lines(prepared.meta))


rows_of_few_values = st.integers(1, 30).flatmap(
    lambda n: npst.arrays(np.float64, (n, 3), elements=st.sampled_from([0.0, -0.0, 1.0, 2000.0, 1e-30, -4000.0]))
)


@given(rows_of_few_values)
def test_the_first_of_equal_points_is_found_and_no_other(rows: np.ndarray) -> None:
    first = first_occurrences(point_keys(rows))
    points = [tuple(row) for row in rows]  # 0.0 == -0.0 here as well
    assert first.tolist() == [points.index(point) for point in points]


def test_many_different_points_are_no_duplicates() -> None:
    rows = np.random.default_rng(1).uniform(-2000, 2000, (100_000, 2)).round(0)
    distinct = len(np.unique(rows.astype(np.float32), axis=0))
    assert len(np.unique(first_occurrences(point_keys(rows)))) == distinct


def test_the_report_has_rows_cuts_ranges_and_what_is_constant_or_not_finite(
    tmp_path: Path, root_file: Write, make_rows: Make
) -> None:
    rows = make_rows(100)
    rows[:3, -1], rows[3, 2], rows[4:6, 17] = -1, np.nan, np.inf
    text = report_text(root_file(tmp_path / "scan.root", rows))
    assert "Rows: 100 read from 1 file, 94 usable (94.0 %); pruned 3 MO_Omega = -1 (calculation failed), 3 not" in text
    assert "Split: 85 to train, 9 to validate (seed 42)" in text
    assert "Target: relic_density = MO_Omega, learned as it is; lowest 0.1" in text
    assert re.search(r"IN_mqL1 +4000 +4000 +4000 +0  constant", text)
    assert "Constant in the training part, mapped to 0: IN_mqL1" in text
    assert "Not finite (nan, inf, empty or beyond float32): IN_mtauL 1, IN_mA 2" in text
    assert "Lightest sparticle" not in text


def with_lsp(path: Path, rows: np.ndarray, lsp: np.ndarray) -> Path:
    np.savez(path, **dict(zip((*COLUMNS, *LSP_COLUMNS), np.column_stack([rows, lsp]).T, strict=True)))
    return path


LSP = np.array([
    [1, 0.99, 0.01, 0.0], [2, 0.0, 0.9, 0.1], [3, 0.0, 0.1, 0.9], [3, 0.3, 0.1, 0.6], [1000022, -1, -1, -1],
    [2, np.nan, np.nan, np.nan], [np.nan, np.nan, np.nan, np.nan],
])  # fmt: skip


def test_the_class_of_the_lightest_sparticle_follows_from_its_type_and_composition() -> None:
    classes = [LSP_CLASSES[index] for index in classify(LSP)]
    assert classes == ["bino", "wino", "higgsino", "mixed", "no neutralino", "wino", "unknown"]


def test_neutralino_lsp_keeps_neutralinos_and_the_arrays_know_which(tmp_path: Path, make_rows: Make) -> None:
    path = with_lsp(tmp_path / "scan.npz", make_rows(70), np.tile(LSP[:5], (14, 1)))
    assert (
        "bino 14 (20 %), wino 14 (20 %), higgsino 14 (20 %), mixed 14 (20 %), no neutralino 14 (20 %)"
        in report_text(path)
    )
    assert f"14 {LSP_TYPE} not 1-3 (no neutralino)" in report_text(path, neutralino_lsp=True)
    prepare(tmp_path / "out", patterns=[str(path)], selection=ScanSelection(neutralino_lsp=True))
    prepared = load_prepared(tmp_path / "out")
    counts = np.bincount(np.concatenate([prepared.train_lsp, prepared.val_lsp]), minlength=6)
    assert counts.tolist() == [0, 14, 14, 14, 14, 0]


def test_neutralino_lsp_without_its_branch_is_refused(tmp_path: Path, root_file: Write) -> None:
    with pytest.raises(DataError, match=r"no branch named 'SP_LSP_type'.*leave out --neutralino-lsp"):
        report_text(root_file(tmp_path / "scan.root"), neutralino_lsp=True)


@pytest.mark.parametrize("name", list(TARGETS))
@pytest.mark.parametrize("transform", ["none", "log"])
def test_every_target_goes_to_what_is_learned_and_back(
    name: str, transform: str, tmp_path: Path, csv_file: Write, make_rows: Make
) -> None:
    target = find_target(name, transform=transform, above=None, below=None)  # type: ignore[arg-type]
    rows = make_rows(60)
    rows[:6, -1] = -1
    rows[6, -1] = 1.5
    path = csv_file(tmp_path / "scan.csv", rows)
    path.write_text(path.read_text().replace("MO_Omega", target.branch))
    prepare(tmp_path / "out", patterns=[str(path)], selection=ScanSelection(target=target))
    prepared = load_prepared(tmp_path / "out")
    assert prepared.target == target
    assert prepared.meta["counts"]["usable"] == (53 if name == "relic_density" else 54)
    scores = np.concatenate([prepared.train_targets, prepared.val_targets]).astype(np.float64)
    physical = target.backward(scores * prepared.scaling.std[-1] + prepared.scaling.mean[-1])
    kept = rows[6 if prepared.meta["counts"]["usable"] == 54 else 7 :, -1]
    np.testing.assert_allclose(np.sort(physical), np.sort(kept), rtol=1e-5)
    assert np.isfinite(np.square(target.backward(np.array([-1e9, 1e9])))).all()
    if transform == "log":
        assert prepared.scaling.maximum[-1] == pytest.approx(np.log(kept.max() / target.y_ref), abs=0.2)


def test_any_branch_is_a_target_with_cuts_of_its_own(tmp_path: Path, csv_file: Write, make_rows: Make) -> None:
    path = csv_file(tmp_path / "scan.csv", make_rows(60))
    path.write_text(path.read_text().replace("MO_Omega", "SP_m_h0"))
    target = find_target("SP_m_h0", transform="none", above=0.2, below=None)
    text = report_text(path, target=target)
    assert "Target: SP_m_h0 = SP_m_h0, learned as it is; lowest 0.2" in text
    assert " SP_m_h0 <= 0.2" in text and "= -1" not in text


def test_marks_of_failed_calculations_that_no_cut_drops_are_named(
    tmp_path: Path, csv_file: Write, make_rows: Make
) -> None:
    rows = make_rows(50)
    rows[:7, -1] = -1
    path = csv_file(tmp_path / "scan.csv", rows)
    uncut, cut = (find_target("MO_Omega", transform="none", above=above, below=None) for above in (None, -1))
    assert "MO_Omega is -1 in 7 usable rows" in report_text(path, target=uncut)
    assert "--target-above -1, or --target relic_density, drops them" in report_text(path, target=uncut)
    assert "is -1 in" not in report_text(path, target=cut)


values = npst.arrays(np.float64, st.integers(2, 50), elements=st.floats(1e-30, 1e30) | st.floats(-1e6, 1e6))


@given(values.filter(lambda some: some.max() > some.min() + 1e-6 * abs(some).max()))
def test_every_value_is_in_the_histogram(some: np.ndarray) -> None:
    counts, edges = histogram(some)
    assert counts.sum() == len(some)
    assert len(edges) == len(counts) + 1
    assert (np.diff(edges) > 0).all()


def test_check_prints_the_report_draws_the_histogram_and_writes_nothing_else(
    tmp_path: Path, cli: Run, root_file: Write
) -> None:
    root_file(tmp_path / "scan.root")
    picture = tmp_path / "target.png"
    done = cli("check", "--data", tmp_path / "scan.root", "--histogram", picture, cwd=tmp_path)
    assert done.returncode == 0, done
    assert "Rows: 50 read from 1 file, 50 usable" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scan.root", "target.png"]
