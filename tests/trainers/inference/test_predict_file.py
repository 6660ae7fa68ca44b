"""`predict`, `export` and load_surrogate: the uses of a finished model."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pmssm.trainers.data.columns import PARAMETERS, TREE
from pmssm.trainers.data.writing import table_writer
from pmssm.trainers.errors import ModelError, TrainerError
from pmssm.trainers.inference.export import export_model, traced
from pmssm.trainers.inference.model_file import load_surrogate
from pmssm.trainers.inference.predict_file import predict_file
from pmssm.trainers.models.recipes import RECIPES
from pmssm.trainers.precision import Precision

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def points(model: Path) -> Floats:
    """300 points inside the training range, but the last."""
    scaling = load_surrogate(model).scaling
    rows = np.random.default_rng(4).uniform(scaling.minimum[:-1], scaling.maximum[:-1], (300, 19))
    rows[-1, 18] = scaling.maximum[18] * 2
    return rows


def write_points(path: Path, points: Floats) -> Path:
    with table_writer(path) as append:
        append({name.removeprefix("IN_"): points[:, i] for i, name in enumerate(PARAMETERS)})
    return path


def read_table(path: Path) -> dict[str, NDArray[np.generic]]:
    import pandas as pd
    import uproot

    if path.suffix == ".npz":
        return dict(np.load(path))
    if path.suffix == ".root":
        with uproot.open(path) as file:
            return dict(file[TREE].arrays(library="np"))
    frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    return {name: frame[name].to_numpy() for name in frame.columns}


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz", ".root"])
def test_each_format_of_points_gets_a_row_of_results_a_point(
    suffix: str, model: Path, points: Floats, tmp_path: Path
) -> None:
    source, output = write_points(tmp_path / f"in{suffix}", points), tmp_path / f"out{suffix}"
    predict_file(model, source, output, tree=TREE, branches=(), device="cpu")
    table = read_table(output)
    members = load_surrogate(model).predict_members(points, warn=False)
    assert list(table) == ["relic_density", "relic_density_spread", "outside_training_range"]
    np.testing.assert_allclose(table["relic_density"].astype(float), members.mean(axis=0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(table["relic_density_spread"].astype(float), members.std(axis=0), rtol=1e-3, atol=1e-7)
    assert np.flatnonzero(table["outside_training_range"]).tolist() == [299]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source.name, output.name])


def test_bf16_is_close_to_fp32_and_reaches_the_body_alone(model: Path, points: Floats) -> None:
    exact, coarse = load_surrogate(model), load_surrogate(model).to(torch.device("cpu"), Precision.BF16)
    off = (
        np.abs(coarse.predict_members(points, warn=False) - exact.predict_members(points, warn=False))
        / exact.scaling.std[-1]
    )
    assert 0 < off.max() < 0.05
    types = {name: parameter.dtype for name, parameter in coarse.models[0].named_parameters()}
    assert types["hidden.1.weight"] == torch.bfloat16
    assert types["embedding.weight"] == types["output.weight"] == torch.float32


def test_points_with_nan_are_predicted_as_nan_and_lie_outside(model: Path, points: Floats, tmp_path: Path) -> None:
    points = points[:5].copy()
    points[2, 7] = np.nan
    predict_file(model, write_points(tmp_path / "in.npz", points), tmp_path / "out.npz", tree=TREE, branches=(),
                 device="cpu")  # fmt: skip
    table = read_table(tmp_path / "out.npz")
    assert np.isnan(table["relic_density"].astype(float)).tolist() == [False, False, True, False, False]
    assert table["outside_training_range"].tolist() == [False, False, True, False, False]


def test_the_command_counts_the_points_outside_by_parameter(
    model: Path, points: Floats, tmp_path: Path, cli: Run
) -> None:
    done = cli("predict", model, "--input", write_points(tmp_path / "p.csv", points), "--output", tmp_path / "o.csv")
    assert done.returncode == 0, done
    assert re.search(r"300 points in \d+\.\d s: Ωh² in .*o\.csv", done.stdout)
    assert "1 points (0.3 %) lie outside the training range" in done.stdout
    assert "IN_tanb (1)" in done.stdout


def test_predictions_such_as_no_training_point_had_are_counted(
    model: Path, points: Floats, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved = torch.load(model, weights_only=True)
    saved["scaling"]["mean"][-1] = -0.5
    torch.save(saved, tmp_path / "low.pt")
    source = write_points(tmp_path / "p.npz", points)
    predict_file(tmp_path / "low.pt", source, tmp_path / "o.npz", tree=TREE, branches=(), device="cpu")
    count = int((np.load(tmp_path / "o.npz")["relic_density"] <= 0).sum())
    assert count > 0
    assert f"{count} predictions ({count / 3:.1f} %) are not within 0 < Ωh² < 1" in caplog.text


def test_a_bad_file_leaves_the_output_as_it_was_and_gives_one_line(
    model: Path, tmp_path: Path, points: Floats, cli: Run
) -> None:
    good = write_points(tmp_path / "good.csv", points)
    (tmp_path / "bad.csv").write_text(good.read_text().replace("tanb", "tanbeta"))
    (tmp_path / "out.csv").write_text("of yesterday")
    done = cli("predict", model, "--input", tmp_path / "bad.csv", "--output", tmp_path / "out.csv")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert "bad.csv: no column named" in line and "tanb" in line
    assert (tmp_path / "out.csv").read_text() == "of yesterday"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.csv", "good.csv", "out.csv"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none.pt", "none.pt: No such file or directory; check its name"),
        (".", "Is a directory; name a file in it"),
    ],
)
def test_a_model_that_is_not_there_gives_one_line_with_the_remedy(
    name: str, expected: str, points: Floats, tmp_path: Path, cli: Run
) -> None:
    source = write_points(tmp_path / "in.csv", points)
    done = cli("predict", tmp_path / name, "--input", source, "--output", tmp_path / "out.csv")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and line.endswith(expected)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_predictions_are_as_readable_for_others_as_the_umask_says(
    umask: int, mode: int, model: Path, points: Floats, tmp_path: Path
) -> None:
    source, output = write_points(tmp_path / "in.csv", points), tmp_path / "out.csv"
    words = [sys.executable, "-m", "pmssm.trainers", "predict", model, "--input", source, "--output", output]
    subprocess.run(words, check=True, capture_output=True, timeout=120, umask=umask)
    assert output.stat().st_mode & 0o777 == mode


def test_prepared_points_are_private_whatever_the_umask(tmp_path: Path, root_file: Callable[..., Path]) -> None:
    scan = root_file(tmp_path / "scan.root")
    words = [sys.executable, "-m", "pmssm.trainers", "prepare", "--data", scan, "--output", tmp_path / "data"]
    subprocess.run(words, check=True, capture_output=True, timeout=120, umask=0)
    assert {path.stat().st_mode & 0o077 for path in [tmp_path / "data", *(tmp_path / "data").iterdir()]} == {0}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("none.csv", "out.csv"), "none.csv: no such file"),
        (("spectra", "out.csv"), "spectra: no such file; give a file of points, or a folder of SLHA files"),
        (("in.xls", "out.csv"), "in.xls: its name must end in one of .root"),
        (("in.csv", "out.xls"), "out.xls: its name must end in one of .csv"),
        (("in.csv", "in.csv"), "in.csv: is the input file"),
        (("in.csv", "none/out.csv"), "none does not exist"),
    ],
)
def test_files_with_a_wrong_name_or_place_are_rejected(
    names: tuple[str, str], expected: str, model: Path, points: Floats, tmp_path: Path
) -> None:
    source, output = names
    write_points(tmp_path / "in.csv", points)
    (tmp_path / "in.xls").touch()
    with pytest.raises(TrainerError, match=expected):
        predict_file(model, tmp_path / source, tmp_path / output, tree=TREE, branches=(), device="cpu")


def test_a_table_is_taken_with_its_columns_in_order_and_refused_in_another(model: Path, points: Floats) -> None:
    import pandas as pd

    surrogate = load_surrogate(model)
    table = pd.DataFrame(points[:5], columns=list(PARAMETERS))
    expected = surrogate(points[:5]).tolist()
    for same in (table, table.rename(columns=lambda name: name.removeprefix("IN_")), pd.DataFrame(points[:5])):
        assert surrogate(same).tolist() == expected
    for other in (table[sorted(table.columns)], table.rename(columns={"IN_mA": "mass"})):
        with pytest.raises(ValueError, match=r"in that order; give points\[list\(surrogate\.parameters\)\]"):
            surrogate(other)
    assert surrogate(table[sorted(table.columns)][list(surrogate.parameters)]).tolist() == expected


def test_a_foreign_file_is_one_clear_error(model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("not a model")
    (tmp_path / "empty.pt").touch()
    (tmp_path / "cut.pt").write_bytes(model.read_bytes()[:20_000])
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    torch.save({"format": 0, "name": "mlp"}, tmp_path / "old.pt")
    for name, expected in {
        "text.pt": "text.pt: not a model, or damaged; use the model.pt that a trainer wrote",
        "empty.pt": "empty.pt: not a model, or damaged",
        "cut.pt": "cut.pt: not a model, or damaged",
        "other.pt": "other.pt: not a model of pmssm-supervise",
        "old.pt": "old.pt: a model of another version",
    }.items():
        with pytest.raises(ModelError, match=expected) as caught:
            load_surrogate(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, ValueError)
    with pytest.raises(ModelError, match=r"a checkpoint, not a model; use the model\.pt in the same folder"):
        load_surrogate(model.with_name("checkpoint.pt"))


def test_an_exported_program_gives_what_the_model_gives(model: Path, points: Floats, tmp_path: Path) -> None:
    export_model(model, tmp_path / "model.pt2")
    exported = torch.export.load(tmp_path / "model.pt2").module()
    for rows in (points, points[:1]):
        expected = load_surrogate(model).predict_members(rows, warn=False).mean(axis=0)
        np.testing.assert_allclose(exported(torch.from_numpy(rows)).detach().numpy(), expected, rtol=1e-6, atol=1e-6)
    with pytest.raises(TrainerError, match=r"model\.pkl: its name must end in \.onnx"):
        export_model(model, tmp_path / "model.pkl")


def test_an_onnx_file_gives_what_the_model_gives_for_any_number_of_points(
    model: Path, points: Floats, tmp_path: Path
) -> None:
    import onnxruntime

    export_model(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for rows in (points, points[:1]):
        (found,) = session.run(None, {"points": rows})
        np.testing.assert_allclose(
            found, load_surrogate(model).predict_members(rows, warn=False).mean(axis=0), rtol=1e-6, atol=1e-6
        )


def test_an_export_that_differs_from_the_model_is_not_kept(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pmssm.trainers.inference.export._run_program", lambda _path, points: [points[:, 0] * 0 + 0.3])
    with pytest.raises(TrainerError, match=r"model\.pt2: the export differs from the model by .*; it was not kept"):
        export_model(model, tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["transformer", "tabm"])
def test_models_that_use_the_number_of_rows_are_exported_for_any_number(name: str) -> None:
    model = RECIPES[name].build().eval()
    rows = torch.randn(5, 19)
    found = traced(model, torch.randn(8, 19)).module()(rows)
    with torch.no_grad():
        torch.testing.assert_close(found, model(rows))
