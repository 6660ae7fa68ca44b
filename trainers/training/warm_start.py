"""Start of a training from the weights of a trained model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from ..errors import OptionError
from ..inference.model_file import read_model
from ..log import LOGGER


def load_initial_weights(models: Sequence[nn.Module], name: str, path: Path) -> None:
    """Load the weights of a trained model into new ones.

    The inputs are z-scores of the new data, so the function changes as much as the data have.

    Args:
        models: New models, all of the recipe `name`.
        name: Name of the recipe.
        path: model.pt of the same recipe, with the same inputs and as many models.

    Raises:
        OSError: The file cannot be read.
        TrainerError: It is not a model, or it does not fit.
    """
    saved = read_model(path)
    if saved["name"] != name:
        raise OptionError(f"--init-from {path}: is a {saved['name']}, this training is a {name}; use a model of the "
                          "same kind")  # fmt: skip
    weights = saved["weights"]
    if len(weights) != len(models):
        raise OptionError(f"--init-from {path}: has {len(weights)} models; use --ensemble {len(weights)}")
    try:
        for model, state in zip(models, weights, strict=True):
            model.load_state_dict(state)
    except RuntimeError:
        raise OptionError(f"--init-from {path}: has other inputs than this training; prepare the data with the same "
                          "--features") from None  # fmt: skip
    LOGGER.info("Starting from the weights of %s", path)


def weights_identity(path: Path | None) -> dict[str, str]:
    """Return what a checkpoint keeps of `--init-from`; nothing without it.

    Raises:
        OSError: The file cannot be read.
    """
    if path is None:
        return {}
    with path.open("rb") as file:
        return {"initial weights": hashlib.file_digest(file, "sha256").hexdigest()}
