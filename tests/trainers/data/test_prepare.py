from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pmssm.trainers.data.columns import COLUMNS, PARAMETERS
from pmssm.trainers.data.prepare import prepare
from pmssm.trainers.data.prepared import ARRAYS, load_prepared
from pmssm.trainers.data.scan import CALIBRATION, TRAIN, VAL, split
from pmssm.trainers.data.scan_files import ScanSelection, find_files, fingerprint
from pmssm.trainers.errors import DataError, NotPreparedError
from support.trainer_commands import StartedCommand

Rows = NDArray[np.float64]
Make = Callable[..., Rows]
Write = Callable[..., Path]
Start = Callable[..., StartedCommand]


def run(output: Path, *patterns: object, cache: Path | None = None, **selection: int) -> None:
    prepare(output, patterns=[str(pattern) for pattern in patterns], selection=ScanSelection(**selection), cache=cache)


def arrays(folder: Path) -> list[NDArray[np.generic]]:
    return [np.array(array) for array in load_prepared(folder)[:6]]


def test_root_and_csv_of_the_same_rows_give_the_same_arrays(tmp_path: Path, root_file: Write, csv_file: Write) -> None:
    run(tmp_path / "a", root_file(tmp_path / "scan.root"))
    run(tmp_path / "b", csv_file(tmp_path / "scan.csv"))
    for a, b in zip(arrays(tmp_path / "a"), arrays(tmp_path / "b"), strict=True):
        assert a.tobytes() == b.tobytes()
    assert load_prepared(tmp_path / "a").meta["content"] == load_prepared(tmp_path / "b").meta["content"]


def test_the_folder_of_the_arrays_itself_will_do_as_well(tmp_path: Path, csv_file: Write) -> None:
    run(tmp_path / "out", csv_file(tmp_path / "scan.csv"))
    inner = tmp_path / "out" / load_prepared(tmp_path / "out").meta["fingerprint"]
    for a, b in zip(arrays(tmp_path / "out"), arrays(inner), strict=True):
        assert np.array_equal(a, b)


def test_rows_are_pruned_split_and_scaled_on_the_training_part(
    tmp_path: Path, root_file: Write, make_rows: Make
) -> None:
    rows = make_rows(100)
    rows[0, -1], rows[1, -1], rows[2, 3], rows[3, -1], rows[4, -1] = -1, np.nan, np.inf, 1.0, 0.0
    run(tmp_path / "out", root_file(tmp_path / "scan.root", rows))
    prepared = load_prepared(tmp_path / "out")
    assert list(prepared.meta["cuts"].values()) == [1, 2, 1, 1]
    assert prepared.meta["counts"] == {"read": 100, "usable": 95, "copies": 0, "train": 85, "val": 10}
    is_val = split(95, 42) == VAL
    train, val = rows[5:][~is_val], rows[5:][is_val]
    varying = [i for i in range(20) if i != 4]
    mean, std = train.mean(axis=0), train.std(axis=0)
    expected = ((train - mean) / np.where(std > 0, std, 1)).astype(np.float32)
    np.testing.assert_allclose(prepared.train_inputs[:, varying[:-1]], expected[:, varying[:-1]], atol=1e-6)
    np.testing.assert_allclose(prepared.train_targets, expected[:, -1], atol=1e-6)
    np.testing.assert_allclose(
        prepared.val_targets * prepared.scaling.std[-1] + prepared.scaling.mean[-1], val[:, -1], atol=1e-6
    )


def test_constant_columns_become_exactly_0_and_the_log_names_them(
    tmp_path: Path, root_file: Write, make_rows: Make, caplog: pytest.LogCaptureFixture
) -> None:
    rows = make_rows(60)
    rows[:, 13] = 4000.1 + np.arange(60) * 1e-10  # a spread that no float32 can show
    with caplog.at_level("INFO", "pmssm.trainers"):
        run(tmp_path / "out", root_file(tmp_path / "scan.root", rows))
    prepared = load_prepared(tmp_path / "out")
    assert prepared.meta["constant"] == ["IN_mqL1", "IN_M_3"]
    assert "IN_mqL1, IN_M_3" in caplog.text
    for inputs in (prepared.train_inputs, prepared.val_inputs):
        assert (inputs[:, [4, 13]] == 0).all()
        assert np.abs(inputs).max() < 10


def test_without_data_the_embedded_sample_is_taken(tmp_path: Path) -> None:
    run(tmp_path, max_rows=500)
    meta = load_prepared(tmp_path).meta
    assert meta["counts"]["read"] == 500
    assert meta["sources"][0].endswith("pmssm_scan_0.root")
    assert len(meta["sources"]) == 1  # the others were not read
    assert "IN_mA" in meta["constant"]


def test_files_come_in_natural_order_whatever_named_them(
    tmp_path: Path, csv_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (10, 2, 1):
        csv_file(tmp_path / f"scan_{number}.csv")
    (tmp_path / "notes.txt").write_text("not a scan")
    expected = [(tmp_path / f"scan_{number}.csv").resolve() for number in (1, 2, 10)]
    assert find_files([str(tmp_path)]) == expected
    assert find_files([str(tmp_path / "*")]) == expected
    assert find_files([str(tmp_path / "scan_10.csv"), str(tmp_path / "scan_?.csv"), str(tmp_path)]) == expected
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_files(["~/scan_*.csv"]) == expected


def test_n_datasets_takes_the_first_files_and_n_samples_the_first_rows_of_each(
    tmp_path: Path, csv_file: Write, root_file: Write
) -> None:
    csv_file(tmp_path / "scan_2.csv")
    root_file(tmp_path / "scan_3.root")
    csv_file(tmp_path / "scan_10.csv")
    run(tmp_path / "out", tmp_path, n_datasets=2, n_samples=20)
    meta = load_prepared(tmp_path / "out").meta
    assert [Path(source).name for source in meta["sources"]] == ["scan_2.csv", "scan_3.root"]
    assert meta["counts"]["read"] == 40


def test_the_same_input_is_prepared_once_and_a_changed_one_again(
    tmp_path: Path, root_file: Write, make_rows: Make, caplog: pytest.LogCaptureFixture
) -> None:
    scan, out = root_file(tmp_path / "scan.root"), tmp_path / "out"
    run(out, scan)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.npy")}
    with caplog.at_level("INFO", "pmssm.trainers"):
        run(out, scan)
    assert "Already prepared" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.npy")} == before
    root_file(scan, make_rows(70))
    run(out, scan)
    assert load_prepared(out).meta["counts"]["read"] == 70
    run(out, scan, n_samples=30)
    assert load_prepared(out).meta["counts"]["read"] == 30


def test_a_cache_holds_the_arrays_once_and_outputs_link_to_them(tmp_path: Path, root_file: Write) -> None:
    scan, cache = root_file(tmp_path / "scan.root"), tmp_path / "cache"
    run(tmp_path / "a", scan, cache=cache)
    scan_stat = scan.stat()
    scan.write_bytes(b"\0" * scan_stat.st_size)  # the second time nobody reads it
    os.utime(scan, ns=(scan_stat.st_atime_ns, scan_stat.st_mtime_ns))
    run(tmp_path / "b", scan, cache=cache)
    (store,) = cache.iterdir()
    for name in ARRAYS:
        inodes = {next(folder.rglob(f"{name}.npy")).stat().st_ino for folder in (store, tmp_path / "a", tmp_path / "b")}
        assert len(inodes) == 1


def test_where_links_are_refused_the_arrays_are_copied(
    tmp_path: Path, root_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    run(tmp_path / "a", root_file(tmp_path / "scan.root"), cache=tmp_path / "cache")
    assert len(load_prepared(tmp_path / "a").train_inputs) == 45


def test_a_damaged_prepared_folder_is_refused_by_trainers_and_made_again_by_prepare(
    tmp_path: Path, root_file: Write
) -> None:
    scan, out = root_file(tmp_path / "scan.root"), tmp_path / "out"
    run(out, scan)
    array = next(out.rglob("train_inputs.npy"))
    array.write_bytes(array.read_bytes()[:-8])
    with pytest.raises(NotPreparedError, match="incomplete"):
        load_prepared(out)
    run(out, scan)
    assert len(load_prepared(out).train_inputs) == 45


def test_nothing_is_left_behind_by_a_failure(tmp_path: Path, root_file: Write, make_rows: Make) -> None:
    rows = make_rows(30)
    rows[:, -1] = -1
    with pytest.raises(DataError):
        run(tmp_path / "out", root_file(tmp_path / "scan.root", rows))
    assert list((tmp_path / "out").iterdir()) == []


def test_two_prepares_of_the_same_output_at_once_both_succeed(
    tmp_path: Path, root_file: Write, start_cli: Start
) -> None:
    scan, out = root_file(tmp_path / "scan.root"), tmp_path / "out"
    racers = [start_cli("prepare", "--data", scan, "--output", out) for _ in range(3)]
    for racer in racers:
        output, _ = racer.communicate(timeout=60)
        assert racer.returncode == 0, output
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["meta.json", "target_histogram.png", load_prepared(out).meta["fingerprint"]]
    )


def test_trainers_refuse_a_folder_that_is_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(NotPreparedError, match=r"prepare --output .* first"):
        load_prepared(tmp_path)
    (tmp_path / "meta.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(NotPreparedError, match="of this version"):
        load_prepared(tmp_path)


def test_a_split_holds_a_tenth_and_depends_on_the_seed_alone() -> None:
    assert (split(1000, 42) == VAL).sum() == 100
    assert (split(1000, 42) == split(1000, 42)).all()
    assert (split(1000, 42) != split(1000, 43)).any()
    assert (split(2, 42) == VAL).sum() == 1
    assert len(PARAMETERS) + 1 == len(COLUMNS) == 20


def test_rows_for_calibration_are_set_aside_from_training_and_leave_validation_as_it_is() -> None:
    plain, with_calibration = split(1000, 42), split(1000, 42, 0.2)
    assert [int((with_calibration == part).sum()) for part in (TRAIN, VAL, CALIBRATION)] == [700, 100, 200]
    assert ((plain == VAL) == (with_calibration == VAL)).all()
    assert sorted(split(3, 1, 0.1).tolist()) == [TRAIN, VAL, CALIBRATION]


def test_calibration_rows_are_prepared_and_their_absence_keeps_the_fingerprint(
    tmp_path: Path, root_file: Write, make_rows: Make
) -> None:
    source = root_file(tmp_path / "scan.root", make_rows(100))
    prepare(tmp_path / "data", patterns=[str(source)], selection=ScanSelection(calibration=0.2))
    prepared = load_prepared(tmp_path / "data")
    assert prepared.calibration_inputs is not None and prepared.calibration_targets is not None
    assert (len(prepared.train_inputs), len(prepared.val_inputs), len(prepared.calibration_inputs)) == (70, 10, 20)
    z = prepared.calibration_inputs[:, 10] * prepared.scaling.std[10] + prepared.scaling.mean[10]
    learned = prepared.calibration_targets * prepared.scaling.std[-1] + prepared.scaling.mean[-1]
    rows = make_rows(100)
    nearest = np.abs(rows[:, 10][None] - z[:, None]).argmin(axis=1)
    np.testing.assert_allclose(learned, rows[nearest, -1], rtol=1e-5)
    prepare(tmp_path / "plain", patterns=[str(source)], selection=ScanSelection())
    assert load_prepared(tmp_path / "plain").calibration_inputs is None
    stat = source.stat()
    choice = asdict(ScanSelection())
    for name in ("calibration", "features", "require", "fixed_holdout", "before_round"):  # as before
        del choice[name]
    files = [(str(source), stat.st_size, stat.st_mtime_ns)]
    identity = {"format": 2, "files": files, "choice": choice, "keeps_cut_rows": True}
    expected = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    assert fingerprint([source], ScanSelection()) == expected
