"""Optimizers and loss functions by the names that `--optimizer` and `--loss` take.

They are imported when they are first needed: the command line lists them without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from .adamw import FlatAdamW
    from .losses import Loss

OPTIMIZERS = {"adamw": "adamw:FlatAdamW", "muon": "muon:FlatMuon"}
"""Modules of this package and classes."""

LOSSES = {"mse": "losses:MSE", "huber": "losses:HUBER", "l1": "losses:L1", "log-cosh": "losses:LOG_COSH"}
"""Modules of this package and functions."""


def optimizer_class(name: str) -> type[FlatAdamW]:
    """Import the class of an optimizer."""
    return cast("type[FlatAdamW]", _load(OPTIMIZERS[name]))


def loss_function(name: str) -> Loss:
    """Import a loss function."""
    return cast("Loss", _load(LOSSES[name]))


def _load(place: str) -> Any:  # noqa: ANN401 (a class or an object)
    module, name = place.split(":")
    return getattr(import_module(f".{module}", __package__), name)
