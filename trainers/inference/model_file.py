"""model.pt: a trained model with all that predictions need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..data.model_inputs import PhysicsColumns
from ..data.prepared import PreparedData
from ..data.standardize import Standardizer
from ..data.targets import Target
from ..errors import ModelError
from ..models.recipes import RECIPES
from ..physics import PhysicsFeatures
from .fingerprints import Fingerprints, fingerprints
from .intervals import CalibratedIntervals, calibrate
from .learned_scale import learned_difference
from .surrogate import Surrogate
from .usability import Usability

FORMAT, PHYSICS_FORMAT = 3, 4
"""Format of model.pt without and with physics; versions without physics read the former only."""


def to_saved(
    name: str, models: Sequence[nn.Module], prepared: PreparedData, settings: dict[str, Any]
) -> dict[str, Any]:
    """Return the contents of model.pt, for `torch.save`.

    These are the weights, the normalisation, the target, the settings, and fingerprints of the points used.

    Args:
        name: Name of the recipe.
        models: Models trained together.
        prepared: Data that they were trained on.
        settings: Settings of the training, for the report.
    """
    columns = {key: torch.from_numpy(np.array(value)) for key, value in vars(prepared.scaling).items()}
    return {
        "format": FORMAT if prepared.physics is None else PHYSICS_FORMAT,
        "name": name,
        "model": type(models[0]).__name__,
        # Copies, because the parameters are views of one buffer, which would be written with each of them.
        "weights": [
            {key: value.detach().cpu().clone() for key, value in model.state_dict().items()} for model in models
        ],
        "scaling": columns,
        "parameters": list(prepared.meta["parameters"]),
        "target": prepared.target.as_dict(),
        "neutralino_lsp": prepared.meta["neutralino_lsp"],
        "require": list(prepared.meta.get("require", [])),
        "settings": settings,
        "fingerprints": torch.from_numpy(fingerprints(used_inputs(prepared))),
        **({} if prepared.physics is None else {"physics": _saved_physics(prepared.physics)}),
    }


def _saved_physics(physics: PhysicsColumns) -> dict[str, Any]:
    """Return the physics columns for `torch.save`, with the constants that the features were computed with."""
    return {
        "names": list(physics.names),
        "scaling": physics.scaling.as_dict(),
        "constants": dict(PhysicsFeatures().state_dict()),
    }


def used_inputs(prepared: PreparedData) -> list[NDArray[np.float32]]:
    """Return the z-scores of all points that a training uses, part by part."""
    calibration = [] if prepared.calibration_inputs is None else [prepared.calibration_inputs]
    return [prepared.train_inputs, prepared.val_inputs, *calibration]


def calibrate_surrogate(surrogate: Surrogate, prepared: PreparedData) -> CalibratedIntervals | None:
    """Return intervals from the rows that were set aside for calibration; None if there are none."""
    if prepared.calibration_inputs is None or prepared.calibration_targets is None:
        return None
    scaling, width = surrogate.scaling, len(surrogate.parameters)
    points = prepared.calibration_inputs[:, :width] * scaling.std[:width] + scaling.mean[:width]
    learned = prepared.calibration_targets.astype(np.float64) * scaling.std[-1] + scaling.mean[-1]
    _, reference = surrogate.inputs.compute(torch.from_numpy(points).to(surrogate.inputs.points_mean.device))
    true = surrogate.target.backward(np.asarray(learned), None if reference is None else reference.cpu().numpy())
    members = surrogate.predict_members(points, warn=False)
    errors = learned_difference(surrogate.target, true, members.mean(axis=0)) / scaling.std[-1]
    return calibrate(points, errors, surrogate.spread_of(members) if len(members) > 1 else None)


def known_fingerprints(saved: dict[str, Any]) -> Fingerprints | None:
    """Return the fingerprints in the contents of a model.pt; None in files of earlier versions."""
    found = saved.get("fingerprints")
    return found.numpy() if isinstance(found, torch.Tensor) and found.dtype == torch.int64 else None


def load_surrogate(path: Path | str) -> Surrogate:
    """Load the surrogate in a model.pt, on the CPU; the training data are not needed.

    Args:
        path: model.pt that a trainer wrote.

    Returns:
        A function of points in physical units.

    Raises:
        OSError: The file cannot be read.
        ModelError: The file is not a model of this version; also a ValueError.

    Example:
        >>> from pmssm.trainers import load_surrogate
        >>> surrogate = load_surrogate("logs/session_20260122_153100/mlp/model.pt")
        >>> surrogate.target.label
        'Ωh²'
        >>> len(surrogate.parameters)
        19
    """
    return from_saved(read_model(path), path)


def read_model(path: Path | str) -> dict[str, Any]:
    """Read the contents of a model.pt, as `to_saved` returned them.

    Raises:
        OSError: The file cannot be read.
        ModelError: The file is not a model of this version.
    """
    with Path(path).open("rb") as file:
        file.read(1)  # raises OSError if the file cannot be read
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a file of another kind raises any class, also OSError
        raise ModelError(f"{path}: not a model, or damaged; use the model.pt that a trainer wrote") from error
    if isinstance(saved, dict) and saved.keys() == {"identity", "state"}:
        raise ModelError(f"{path}: a checkpoint, not a model; use the model.pt in the same folder, written at the end")
    if not isinstance(saved, dict) or not {"format", "name"} <= saved.keys():
        raise ModelError(f"{path}: not a model of pmssm-supervise; use the model.pt that a trainer wrote")
    if saved["format"] not in (FORMAT, PHYSICS_FORMAT) or saved["name"] not in RECIPES:
        raise ModelError(f"{path}: a model of another version (format {saved['format']}, this one reads {FORMAT} and "
                         f"{PHYSICS_FORMAT}); use that version, or train again")  # fmt: skip
    return saved


def from_saved(saved: dict[str, Any], path: Path | str) -> Surrogate:
    """Return the surrogate in the contents of a model.pt.

    Args:
        saved: Result of `read_model`.
        path: File, for messages.

    Raises:
        ModelError: A part is missing.
    """
    models = []
    try:
        physics = saved.get("physics")
        columns = physics and PhysicsColumns(
            tuple(physics["names"]), Standardizer.from_dict(physics["scaling"]), physics["constants"]
        )
        width = len(saved["parameters"]) + (len(columns.names) if columns else 0)
        for weights in saved["weights"]:
            models.append(RECIPES[saved["name"]].build(width))
            models[-1].load_state_dict(weights)
        scaling = Standardizer(**{key: value.numpy() for key, value in saved["scaling"].items()})
        calibrated = CalibratedIntervals.from_saved(saved["intervals"]) if "intervals" in saved else None
        usability = Usability.from_saved(saved["usability"]) if "usability" in saved else None
        return Surrogate(
            models, scaling, saved["parameters"], Target.from_dict(saved["target"]), columns,
            calibrated=calibrated, usability=usability,
        )  # fmt: skip
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        raise ModelError(f"{path}: the model is incomplete; use the model.pt that a trainer wrote") from error
