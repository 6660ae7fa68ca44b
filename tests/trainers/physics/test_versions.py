"""Models that were saved with version 1 of the formula keep their numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pmssm.trainers.data.columns import PARAMETERS
from pmssm.trainers.data.standardize import Standardizer
from pmssm.trainers.inference.usability import OutcomeClassifier, Usability
from pmssm.trainers.physics import FEATURES, PhysicsFeatures
from support.physics_points import point
from torch import Tensor


@pytest.fixture(scope="module")
def saved() -> dict[str, Any]:
    """What version 1 saved in model.pt, and its features of five points."""
    content = json.loads((Path(__file__).parent / "version_1.json").read_text())
    return {
        "constants": {name: torch.tensor(value, dtype=torch.float64) for name, value in content["constants"].items()},
        "features": content["features"],
        "points": torch.cat([point(**light) for light in content["light"]]),
        "values": torch.tensor(content["values"], dtype=torch.float64),
    }


def columns(features: Tensor, names: list[str]) -> Tensor:
    return features[:, [FEATURES.index(name) for name in names]]


def test_version_1_gives_the_same_features(saved: dict[str, Any]) -> None:
    layer = PhysicsFeatures.from_saved(saved["constants"])
    torch.testing.assert_close(
        columns(layer(saved["points"]), saved["features"]), saved["values"], rtol=1e-6, atol=1e-7
    )
    again = PhysicsFeatures.from_saved(layer.state_dict())  # as a model that is saved again
    torch.testing.assert_close(again(saved["points"]), layer(saved["points"]))


def test_this_version_gives_other_features(saved: dict[str, Any]) -> None:
    layer = PhysicsFeatures.from_saved(PhysicsFeatures().state_dict())
    ours = columns(layer(saved["points"]), ["log_omega"])
    torch.testing.assert_close(ours, columns(PhysicsFeatures()(saved["points"]), ["log_omega"]))
    assert (
        ours - columns(PhysicsFeatures.from_saved(saved["constants"])(saved["points"]), ["log_omega"])
    ).abs().max() > 0.1


def test_constants_of_an_unknown_version_are_refused() -> None:
    with pytest.raises(RuntimeError, match="higgs_boson"):
        PhysicsFeatures.from_saved(PhysicsFeatures().state_dict() | {"mass_shifts.higgs_boson": torch.tensor(1.0)})


def test_a_classifier_of_version_1_gets_the_features_that_it_was_trained_with(saved: dict[str, Any]) -> None:
    width = len(PARAMETERS) + len(saved["features"])
    ones = torch.ones(width).double().numpy()
    scaling = Standardizer(mean=0 * ones, std=1e4 * ones, minimum=0 * ones, maximum=ones)
    classifier = OutcomeClassifier(width, 2)
    contents = {
        "outcomes": ["usable", "failed"],
        "weights": classifier.state_dict(),
        "scaling": scaling.as_dict(),
        "features": saved["features"],
        "temperature": 1.0,
        "constants": PhysicsFeatures().state_dict(),
    }
    head = Usability.from_saved(contents)
    assert head.to_saved()["features"] == saved["features"]
    assert sum(head.probabilities(saved["points"].numpy())).tolist() == pytest.approx([1.0] * len(saved["points"]))
    contents["features"] = [*saved["features"][:-1], "unknown"]
    with pytest.raises(KeyError, match="unknown"):
        Usability.from_saved(contents)
