"""Each model with the optimizer settings that the lab uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from .mlp import PMSSMFeedForward
from .periodic import PMSSMFeedForwardPLR, PMSSMTransformerPLR, PMSSMTransformerTabularPLR
from .tabm import PMSSMTabM
from .transformer import PMSSMTransformer
from .transformer_tabular import PMSSMTransformerTabular


@dataclass(frozen=True)
class Recipe:
    """A model and how the lab trains it."""

    build: Callable[[], nn.Module]
    learning_rate: float
    weight_decay: float
    cosine: bool
    """Learning rate follows a cosine to 1e-6 over the epochs; else it is constant."""
    clip_norm: float | None
    """Largest norm of the gradient of all parameters together."""
    stackable: bool = True
    """Whether `--ensemble` can train several as one."""


RECIPES = {
    "transformer": Recipe(PMSSMTransformer, 3e-4, 1e-4, cosine=True, clip_norm=1.0),
    "transformer_tabular": Recipe(PMSSMTransformerTabular, 3e-4, 1e-4, cosine=True, clip_norm=1.0),
    "mlp": Recipe(PMSSMFeedForward, 1e-4, 1e-3, cosine=False, clip_norm=None),
    # Not in the main job: for plans that want better models than the lab's.
    "transformer_plr": Recipe(PMSSMTransformerPLR, 3e-4, 1e-4, cosine=True, clip_norm=1.0),
    "transformer_tabular_plr": Recipe(PMSSMTransformerTabularPLR, 3e-4, 1e-4, cosine=True, clip_norm=1.0),
    "mlp_plr": Recipe(PMSSMFeedForwardPLR, 1e-3, 1e-3, cosine=True, clip_norm=1.0),
    "tabm": Recipe(PMSSMTabM, 2e-3, 3e-4, cosine=True, clip_norm=1.0, stackable=False),
}
"""By command name."""
