"""model.pt: a trained model with all that predictions need."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..data.prepared import PreparedData
from ..data.standardize import Standardizer
from ..data.targets import Target
from ..errors import ModelError
from ..models.recipes import RECIPES
from .surrogate import Surrogate

FORMAT = 3


def to_saved(
    name: str, models: Sequence[nn.Module], prepared: PreparedData, settings: dict[str, Any]
) -> dict[str, Any]:
    """What `model.pt` holds, as `torch.save` takes it: weights, normalisation, target, settings."""
    columns = {key: torch.from_numpy(np.array(value)) for key, value in vars(prepared.scaling).items()}
    return {
        "format": FORMAT,
        "name": name,
        "model": type(models[0]).__name__,
        # Copies: the parameters are views of one buffer, and each would be written with all of it.
        "weights": [
            {key: value.detach().cpu().clone() for key, value in model.state_dict().items()} for model in models
        ],
        "scaling": columns,
        "parameters": list(prepared.meta["parameters"]),
        "target": prepared.target.as_dict(),
        "neutralino_lsp": prepared.meta["neutralino_lsp"],
        "settings": settings,
    }


def load_surrogate(path: Path | str) -> Surrogate:
    """The surrogate in a `model.pt`, on the CPU; it needs no training data.

    Raises OSError where the file can't be read, ModelError (a ValueError) where it is not one of ours.
    """
    return from_saved(read_model(path), path)


def read_model(path: Path | str) -> dict[str, Any]:
    """What `to_saved` gave; raises as `load_surrogate` does."""
    with Path(path).open("rb") as file:
        file.read(1)  # what can't be read at all raises here, as OSError
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # any class, OSError too, where the file is not one of torch's
        raise ModelError(f"{path}: is no model, or a damaged one; give the model.pt that a trainer wrote") from error
    if isinstance(saved, dict) and saved.keys() == {"identity", "state"}:
        raise ModelError(f"{path}: is a checkpoint, not a model; give the model.pt beside it, written at the end")
    if not isinstance(saved, dict) or not {"format", "name"} <= saved.keys():
        raise ModelError(f"{path}: is no model of pmssm-supervise; give the model.pt that a trainer wrote")
    if saved["format"] != FORMAT or saved["name"] not in RECIPES:
        raise ModelError(f"{path}: is a model of another version (format {saved['format']}, this one reads {FORMAT}); "
                         "use that version, or train again")  # fmt: skip
    return saved


def from_saved(saved: dict[str, Any], path: Path | str) -> Surrogate:
    """The surrogate in what `read_model` gave; `path` names it in errors. Raises ModelError where parts are missing."""
    models = []
    try:
        for weights in saved["weights"]:
            models.append(RECIPES[saved["name"]].build())
            models[-1].load_state_dict(weights)
        scaling = Standardizer(**{key: value.numpy() for key, value in saved["scaling"].items()})
        return Surrogate(models, scaling, saved["parameters"], Target.from_dict(saved["target"]))
    except (KeyError, TypeError, RuntimeError) as error:
        raise ModelError(f"{path}: the model is incomplete; give the model.pt that a trainer wrote") from error
