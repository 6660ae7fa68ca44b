"""Models with physics features and a ratio target: prepared once, computed again from the 19 parameters."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pmssm.trainers.data.columns import PARAMETERS
from pmssm.trainers.data.model_inputs import ModelInputs
from pmssm.trainers.data.prepared import load_prepared
from pmssm.trainers.inference.batched import PREDICTION_ROWS, predict
from pmssm.trainers.inference.export import export_model
from pmssm.trainers.inference.model_file import load_surrogate, read_model
from pmssm.trainers.inference.physical_model import IntervalModel
from pmssm.trainers.inference.predicted_lsp import lsp_classes, lsp_classes_from_features
from pmssm.trainers.physics import FEATURES, PhysicsFeatures
from pmssm.trainers.physics.features import LOG_OMEGA, SPECTRUM_FEATURES
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")
aten = torch.ops.aten
TAKES_HOST_TENSORS = {aten._to_copy.default, aten.copy_.default, aten.index.Tensor}
"""Operators that a GPU also has for tensors of the host: copies, and an index."""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_points_give_the_inputs_and_the_reference_that_were_prepared(physics_data: Path) -> None:
    prepared = load_prepared(physics_data)
    assert prepared.physics is not None and prepared.physics.names == FEATURES
    inputs = np.array(prepared.val_inputs)
    points = inputs[:, :19].astype(np.float64) * prepared.scaling.std[:-1] + prepared.scaling.mean[:-1]
    again, reference = ModelInputs(prepared.scaling, prepared.physics).compute(torch.from_numpy(points))
    assert reference is not None and prepared.val_reference is not None
    # The points went through float32, and mass gaps are differences.
    np.testing.assert_allclose(reference.numpy(), prepared.val_reference, atol=0.01)
    assert np.median(np.abs(again.numpy() - inputs)) < 1e-6
    column = inputs[:, 19 + LOG_OMEGA] * prepared.physics.scaling.std[LOG_OMEGA]
    np.testing.assert_allclose(
        column + prepared.physics.scaling.mean[LOG_OMEGA], prepared.val_reference, rtol=1e-5, atol=1e-5
    )


def test_a_short_training_is_already_better_than_a_factor_of_two(physics_data: Path, physics_model: Path) -> None:
    prepared, surrogate = load_prepared(physics_data), load_surrogate(physics_model)
    assert surrogate.parameters == PARAMETERS
    inputs = np.array(prepared.val_inputs)[:, :19].astype(np.float64)
    predicted = surrogate.predict_members(inputs * prepared.scaling.std[:-1] + prepared.scaling.mean[:-1], warn=False)
    learned = np.array(prepared.val_targets) * prepared.scaling.std[-1] + prepared.scaling.mean[-1]
    error = predicted.mean(axis=0) / prepared.target.backward(learned, prepared.val_reference)
    assert np.mean((error > 0.5) & (error < 2)) > 0.9


def test_model_files_with_physics_have_their_own_format(physics_model: Path) -> None:
    saved = read_model(physics_model)
    assert saved["format"] == 4
    assert saved["physics"]["names"] == list(FEATURES)
    assert len(saved["physics"]["constants"]) > 70


def test_the_class_of_a_point_follows_from_the_features_as_from_the_spectrum(physics_data: Path) -> None:
    prepared, layer = load_prepared(physics_data), PhysicsFeatures()
    points = np.array(prepared.train_inputs)[:, :19].astype(np.float64) * prepared.scaling.std[:-1]
    points = torch.from_numpy(points + prepared.scaling.mean[:-1])
    found = lsp_classes_from_features(layer(points))
    assert torch.equal(found, lsp_classes(points, layer.constants()))
    assert len(found.unique()) >= 5


class OneDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises AssertionError where an operator would get tensors of the host besides those of a GPU."""

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None  # noqa: ANN401
    ) -> Any:  # noqa: ANN401  # fmt: skip
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        devices = {tensor.device for tensor in tensors if tensor.ndim or tensor.device == META}
        assert len(devices) <= 1 or operator in TAKES_HOST_TENSORS, f"{operator} gets tensors on {devices}"
        return operator(*args, **(kwargs or {}))


def test_what_a_model_computes_on_another_device_stays_there(
    physics_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    surrogate = load_surrogate(physics_model)
    assert surrogate.calibrated is not None and surrogate.usability is not None
    interval_model = IntervalModel(surrogate.physical_model(), surrogate.scaling, surrogate.calibrated).to(META)
    surrogate.to(META)
    monkeypatch.setitem(PREDICTION_ROWS, "meta", 256)
    points = torch.empty(500, len(PARAMETERS), dtype=torch.float64, device=META)
    with OneDevice():
        inputs, reference = surrogate.inputs.compute(points)
        predictions = [predict(model, inputs) for model in surrogate.models]
        logits = surrogate.usability.classifier(surrogate.usability.inputs.compute(points)[0])
        bounds = interval_model(points)
        (gradient,) = torch.autograd.grad(interval_model.model(points.requires_grad_()).sum(), points)
    assert reference is not None
    results = [inputs, reference, *predictions, logits, *bounds, gradient]
    assert {result.device for result in results} == {META}
    assert {len(result) for result in results} == {len(points)}


@pytest.mark.parametrize("forbidden", [torch.ones(3), torch.ones(3, dtype=torch.float64)])
def test_a_tensor_of_the_host_among_those_of_a_gpu_is_noticed(forbidden: Tensor) -> None:
    with OneDevice(), pytest.raises(AssertionError, match=r"add.Tensor gets tensors on"):
        torch.ones(3, device=META) + forbidden


@pytest.mark.long(20)
@pytest.mark.timeout(200)
def test_a_program_takes_19_parameters_and_gives_the_same_numbers(physics_model: Path, tmp_path: Path) -> None:
    export_model(physics_model, tmp_path / "model.pt2")  # compares 1,000 points, also the bounds
    assert zipfile.is_zipfile(tmp_path / "model.pt2")


@pytest.mark.timeout(200)
def test_onnx_files_give_the_target_and_its_bounds(physics_model: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    export_model(physics_model, tmp_path / "model.onnx")  # compares 1,000 points
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    assert [one.name for one in session.get_outputs()] == [
        "target", "lower_68", "upper_68", "lower_95", "upper_95",
    ]  # fmt: skip
    surrogate = load_surrogate(physics_model)
    points = np.linspace(surrogate.scaling.minimum[:-1], surrogate.scaling.maximum[:-1], 5)
    points[3, 10] = 9000
    target, *bounds = session.run(None, {"points": points})
    np.testing.assert_allclose(target, surrogate.predict_members(points, warn=False).mean(axis=0), rtol=1e-4)
    assert [bool(np.isnan(bound[3])) for bound in bounds] == [True] * 4
    assert (bounds[2] < bounds[0])[[0, 1, 2, 4]].all() and (bounds[1] < bounds[3])[[0, 1, 2, 4]].all()


def test_intervals_of_a_ratio_model_cover_unseen_points(physics_model: Path, tmp_path: Path, cli: Run) -> None:
    sample = resources.files("pmssm.trainers.data") / "sample" / "pmssm_scan_2.root"
    with resources.as_file(sample) as path:
        done = cli(
            "prepare", "--output", tmp_path / "data", "--data", path, "--n-samples", 3000, "--y-transform", "ratio"
        )
    assert done.returncode == 0, done.stderr
    prepared, surrogate = load_prepared(tmp_path / "data"), load_surrogate(physics_model)
    points = prepared.train_inputs * prepared.scaling.std[:-1] + prepared.scaling.mean[:-1]
    learned = prepared.train_targets * prepared.scaling.std[-1] + prepared.scaling.mean[-1]
    _, reference = ModelInputs(prepared.scaling, prepared.physics).compute(torch.from_numpy(points))
    assert reference is not None
    true = prepared.target.backward(learned, reference.numpy())
    found = surrogate.intervals_of(points, surrogate.predict_members(points, warn=False))
    known = np.isfinite(found.lower_68)
    assert known.mean() > 0.95
    # The standard error of 312 calibration rows is 2.6 points at 68 %, and 1.2 at 95 %.
    assert np.mean((found.lower_68 <= true) & (true <= found.upper_68), where=known) == pytest.approx(0.68, abs=0.08)
    assert np.mean((found.lower_95 <= true) & (true <= found.upper_95), where=known) == pytest.approx(0.95, abs=0.04)


def test_predict_takes_a_file_of_19_columns(
    physics_model: Path, cli: Run, csv_file: Callable[..., Path], tmp_path: Path
) -> None:
    csv_file(tmp_path / "points.csv")
    done = cli("predict", physics_model, "--input", tmp_path / "points.csv", "--output", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 51
    with pytest.raises(ValueError, match=r"points must be \(n, 19\)"):
        load_surrogate(physics_model)(np.zeros((3, 60)))
    assert load_surrogate(physics_model).predict_members(np.zeros((0, 19))).shape == (2, 0)


def test_another_target_gets_the_features_of_the_spectrum_alone(tmp_path: Path, cli: Run) -> None:
    options = ("--testing", "--target", "SP_LSP_mass", "--features", "physics")
    done = cli("prepare", "--output", tmp_path / "data", *options)
    assert done.returncode == 0, done.stderr
    prepared = load_prepared(tmp_path / "data")
    assert prepared.train_inputs.shape[1] == 19 + len(SPECTRUM_FEATURES)
    assert prepared.val_reference is None
    refused = cli("prepare", "--output", tmp_path / "other", "--target", "SP_LSP_mass", "--y-transform", "ratio")
    assert refused.returncode == 2
    assert "SP_LSP_mass has no semi-analytic value" in refused.stdout + refused.stderr


def test_features_are_part_of_the_fingerprint(physics_data: Path, tmp_path: Path, cli: Run) -> None:
    done = cli("prepare", "--output", tmp_path / "data", "--testing", "--y-transform", "ratio")
    assert done.returncode == 0, done.stderr
    plain = load_prepared(tmp_path / "data")
    assert plain.train_inputs.shape[1] == 19
    assert plain.val_reference is not None
    metas = [json.loads((folder / "meta.json").read_text()) for folder in (physics_data, tmp_path / "data")]
    assert metas[0]["fingerprint"] != metas[1]["fingerprint"]
