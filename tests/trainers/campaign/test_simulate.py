"""`simulate`: a scan of the semi-analytic formula that survives a kill and marks its failures."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pmssm.trainers.campaign.pool import Ranges, latin_hypercube
from pmssm.trainers.campaign.semi_analytic import COLUMNS
from pmssm.trainers.campaign.simulate import Behaviour, simulate_file
from pmssm.trainers.data.columns import PARAMETERS, TREE
from pmssm.trainers.data.scan_files import ScanSelection
from pmssm.trainers.data.survey import check
from pmssm.trainers.data.writing import table_writer
from pmssm.trainers.errors import OptionError
from pmssm.trainers.physics import PhysicsFeatures, compute_features
from pmssm.trainers.physics.features import LOG_OMEGA
from support.physics_points import scan_ends
from support.trainer_commands import StartedCommand

Floats = NDArray[np.float64]

SCAN = Ranges(np.array(scan_ends(0)), np.array(scan_ends(1)))


@pytest.fixture(scope="module")
def points() -> Floats:
    return latin_hypercube(300, SCAN, np.random.default_rng(3))


@pytest.fixture(scope="module")
def proposals(points: Floats, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("proposals") / "proposals.csv"
    with table_writer(path) as append:
        append(dict(zip(PARAMETERS, points.T, strict=True)))
    return path


def read_scan(path: Path) -> dict[str, Floats]:
    import uproot

    with uproot.open(path) as file:
        return dict(file[TREE].arrays(library="np"))


def simulate(proposals: Path, output: Path, *, fresh: bool = False, **behaviour: float) -> None:
    simulate_file(proposals, output, Behaviour(**behaviour), tree=TREE, fresh=fresh)  # type: ignore[arg-type]


def test_the_scan_has_the_branches_of_the_lab_and_the_values_of_the_formula(
    proposals: Path, points: Floats, tmp_path: Path
) -> None:
    simulate(proposals, tmp_path)
    scan = read_scan(tmp_path / "points.root")
    assert tuple(scan) == COLUMNS
    log_omega = compute_features(PhysicsFeatures(), torch.from_numpy(points))[:, LOG_OMEGA]
    np.testing.assert_allclose(scan["MO_Omega"], log_omega.exp().numpy(), rtol=1e-9)
    np.testing.assert_array_equal(np.column_stack([scan[name] for name in PARAMETERS]), points)
    assert set(scan["SP_LSP_type"]) <= {1, 2, 3, 1000011, 2000011, 1000012, 1000015, 2000015, 1000016}


def test_prepare_reads_root_and_csv_alike(proposals: Path, tmp_path: Path) -> None:
    simulate(proposals, tmp_path, failure_rate=0.2)
    root, csv = (check([str(tmp_path / name)], ScanSelection()) for name in ("points.root", "points.csv"))
    assert root["counts"] == csv["counts"]
    assert root["lsp"] == csv["lsp"]
    failed = json.loads((tmp_path / "result.json").read_text())["failed"]
    assert root["cuts"]["MO_Omega = -1 (calculation failed)"] == failed > 30


def test_a_failed_point_is_in_the_scan_with_minus_one_in_all_results(proposals: Path, tmp_path: Path) -> None:
    simulate(proposals, tmp_path, failure_rate=0.3, seed=5)
    scan = read_scan(tmp_path / "points.root")
    failed = scan["MO_Omega"] == -1
    assert 50 < failed.sum() < 130
    assert (scan["SP_LSP_mass"][failed] == -1).all()
    assert (scan["IN_meL"][failed] > 0).all()


def test_the_summary_counts_hits_and_names_the_formula(proposals: Path, tmp_path: Path) -> None:
    simulate(proposals, tmp_path)
    summary = json.loads((tmp_path / "result.json").read_text())
    omega = read_scan(tmp_path / "points.root")["MO_Omega"]
    hits = int(((omega >= 0.108) & (omega <= 0.132)).sum())
    assert summary == {"source": "semi-analytic formula", "points": 300, "failed": 0, "hits": hits,
                       "hit_rate": hits / 300}  # fmt: skip


@pytest.mark.parametrize("cut", [1, 400, 20_000])
def test_a_simulation_that_was_cut_off_anywhere_is_continued_without_gap_or_duplicate(
    cut: int, proposals: Path, tmp_path: Path
) -> None:
    simulate(proposals, tmp_path / "whole", failure_rate=0.2)
    whole = (tmp_path / "whole" / "points.csv").read_bytes()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "points.csv").write_bytes(whole[:cut])
    simulate(proposals, tmp_path / "cut", failure_rate=0.2)
    assert (tmp_path / "cut" / "points.csv").read_bytes() == whole


def test_a_killed_simulation_keeps_its_points_and_the_next_one_adds_the_others(
    proposals: Path, tmp_path: Path, start_cli: Callable[..., StartedCommand]
) -> None:
    process = start_cli("simulate", "--input", proposals, "--output", tmp_path / "run", "--delay", 0.01)
    table, deadline = tmp_path / "run" / "points.csv", time.monotonic() + 60
    while not (table.exists() and table.read_bytes().count(b"\n") > 1):
        assert time.monotonic() < deadline, process.communicate(timeout=5)
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    assert 1 < table.read_bytes().count(b"\n") < 301
    assert not (tmp_path / "run" / "points.root").exists()
    simulate(proposals, tmp_path / "run")
    simulate(proposals, tmp_path / "whole")
    assert table.read_bytes() == (tmp_path / "whole" / "points.csv").read_bytes()


def test_results_of_other_points_are_refused_until_fresh_deletes_them(
    proposals: Path, points: Floats, tmp_path: Path
) -> None:
    other = tmp_path / "other.csv"
    with table_writer(other) as append:
        append(dict(zip(PARAMETERS, (points + 1).T, strict=True)))
    simulate(other, tmp_path / "run")
    with pytest.raises(OptionError, match=r"points\.csv: holds results of other points; use another --output, or "):
        simulate(proposals, tmp_path / "run")
    simulate(proposals, tmp_path / "run", fresh=True)
    np.testing.assert_array_equal(read_scan(tmp_path / "run" / "points.root")["IN_meL"], points[:, 0])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"nowhere\.csv: no such file; give a file of points"):
        simulate(tmp_path / "nowhere.csv", tmp_path)
