"""The layer: gradients, exporters, and agreement with the embedded sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pmssm.trainers.data
import pytest
import torch
from pmssm.trainers.data.columns import PARAMETERS, TREE
from pmssm.trainers.inference.export import write_traced_onnx
from pmssm.trainers.physics import PhysicsFeatures, compute_features
from pmssm.trainers.physics.constants import CONSTANTS
from pmssm.trainers.physics.features import LOG_OMEGA
from support.physics_points import point
from torch import Tensor

SAMPLE = Path(next(iter(pmssm.trainers.data.__path__))) / "sample"

BRANCHES = (*PARAMETERS, "MO_Omega", "SP_LSP_type", "SP_LSP_mass", "SP_m_chi_1p", "SP_m_e_R", "SP_m_nu_eL", "SP_m_h")


@pytest.fixture(scope="module")
def sample() -> dict[str, Tensor]:
    """Usable points of the embedded sample."""
    import uproot

    parts = [uproot.open(path)[TREE].arrays(BRANCHES, library="np") for path in sorted(SAMPLE.glob("*.root"))]
    columns = {name: torch.tensor(np.concatenate([part[name] for part in parts])).double() for name in BRANCHES}
    usable = (columns["MO_Omega"] > 0) & (columns["MO_Omega"] < 1)
    return {name: column[usable] for name, column in columns.items()}


def points_of(sample: dict[str, Tensor]) -> Tensor:
    return torch.stack([sample[name] for name in PARAMETERS], 1)


def test_the_semi_analytic_density_is_within_a_tenth_for_nine_of_ten_points(sample: dict[str, Tensor]) -> None:
    predicted = compute_features(PhysicsFeatures(), points_of(sample))[:, LOG_OMEGA].exp()
    error = (predicted / sample["MO_Omega"] - 1).abs()
    assert (error < 0.1).double().mean() > 0.91
    assert (error < 0.2).double().mean() > 0.95
    right_side = (predicted < 0.12) == (sample["MO_Omega"] < 0.12)
    assert right_side.double().mean() > 0.99


@pytest.mark.parametrize(
    ("field", "branch", "limit"),
    [("selectron_right", "SP_m_e_R", 0.5), ("sneutrino", "SP_m_nu_eL", 0.8), ("light_chargino", "SP_m_chi_1p", 1.5)],
)
def test_masses_agree_with_the_spectrum_generator_to_a_gev(
    sample: dict[str, Tensor], field: str, branch: str, limit: float
) -> None:
    masses, _ = PhysicsFeatures().physics(points_of(sample))
    ours = masses.chargino[0] if field == "light_chargino" else getattr(masses, field)
    known = sample[branch] > 100
    assert (ours - sample[branch]).abs()[known].median() < limit


def test_the_mass_of_h_agrees_with_the_spectrum_generator(sample: dict[str, Tensor]) -> None:
    _, relic = PhysicsFeatures().physics(points_of(sample))
    error = (relic.higgs_mass - sample["SP_m_h"]).abs()
    assert error.median() < 0.15
    assert error.quantile(0.9) < 0.4
    assert sample["SP_m_h"].std() > 2  # which a constant would not do


def test_masses_of_light_higgsinos_agree_with_the_spectrum_generator(sample: dict[str, Tensor]) -> None:
    light = (sample["SP_LSP_type"] == 3) & (sample["SP_LSP_mass"] < 120)
    masses, _ = PhysicsFeatures().physics(points_of(sample)[light])
    error = (masses.neutralino[0].abs() - sample["SP_LSP_mass"][light]).abs()
    assert error.median() < 0.3


def test_batches_do_not_change_the_features(sample: dict[str, Tensor]) -> None:
    points, layer = points_of(sample)[:5000], PhysicsFeatures()
    torch.testing.assert_close(compute_features(layer, points)[4321], layer(points[4321:4322])[0])


DEGENERATE = {
    "wino and higgsino": {"M_2": 300.0, "mu": 300.0},
    "bino and wino": {"M_1": 300.0, "M_2": 300.0},
    "everything": dict.fromkeys(["meL", "meR", "mtauL", "mtauR", "M_1", "M_2", "mu"], 300.0),
    "opposite signs": {"M_1": 300.0, "M_2": -300.0, "mu": 300.0, "tanb": 1.0},
    "staus without mixing": {"mtauL": 300.0, "mtauR": 300.0, "mu": 1.0, "M_1": 400.0, "tanb": 1.0},
    "massless parameters": {"M_1": 0.0, "M_2": 0.0, "mu": 0.0, "meL": 0.0, "meR": 0.0},
    "at the pole of Z": {"M_1": 45.5938, "mu": 300.0},
}


@pytest.mark.parametrize("light", DEGENERATE.values(), ids=DEGENERATE.keys())
def test_gradients_stay_finite_where_masses_are_degenerate(light: dict[str, float]) -> None:
    layer = PhysicsFeatures(trainable=True)
    points = point(**light).requires_grad_()
    layer(points).sum().backward()
    assert points.grad is not None
    assert torch.isfinite(points.grad).all()
    assert all(torch.isfinite(one.grad).all() for one in layer.parameters() if one.grad is not None)


def test_gradients_of_the_density_agree_with_finite_differences(sample: dict[str, Tensor]) -> None:
    layer = PhysicsFeatures()
    points = points_of(sample)[:200].requires_grad_()
    layer.physics(points)[1].log_omega.sum().backward()
    assert points.grad is not None
    for column, step in ((0, 1e-3), (10, 1e-3), (11, 1e-3), (12, 1e-3), (17, 1e-3), (18, 1e-5)):
        shift = torch.zeros(19, dtype=torch.float64)
        shift[column] = step
        with torch.no_grad():
            up, down = (layer.physics(points + sign * shift)[1].log_omega for sign in (1, -1))
        slope = (up - down) / (2 * step)
        # x_f is cut at its limits and the lightest particle may change: kinks between the two points are rare.
        agree = (points.grad[:, column] - slope).abs() < 1e-5 + 1e-3 * slope.abs()
        assert agree.double().mean() > 0.98


def test_every_constant_matters_for_the_density_or_the_masses(sample: dict[str, Tensor]) -> None:
    layer = PhysicsFeatures(trainable=True)
    points = torch.cat([points_of(sample)[:3000], point(mtauL=300.0, mtauR=320.0, mu=900.0, tanb=30.0, Atau=500.0)])
    layer.physics(points)[1].log_omega.sum().backward()
    names = [name for name, one in layer.named_parameters() if one.grad is None or one.grad == 0]
    assert names == []
    assert len(list(layer.parameters())) == len(CONSTANTS)


def test_a_frozen_layer_has_nothing_to_train_and_keeps_float32_inputs_accurate() -> None:
    layer = PhysicsFeatures()
    assert not any(one.requires_grad for one in layer.parameters())
    torch.testing.assert_close(layer(point(mu=500.0).float()), layer(point(mu=500.0)), rtol=1e-5, atol=1e-6)


def test_onnx_runtime_gives_the_same_numbers_for_any_number_of_points(
    sample: dict[str, Tensor], tmp_path: Path
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    layer, points = PhysicsFeatures().eval(), points_of(sample)
    write_traced_onnx(layer, points[:7], tmp_path / "physics.onnx")
    session = runtime.InferenceSession(tmp_path / "physics.onnx")
    for count in (300, 1):
        (result,) = session.run(None, {"points": points[:count].numpy()})
        np.testing.assert_allclose(result, layer(points[:count]).numpy(), rtol=1e-9, atol=1e-9)
