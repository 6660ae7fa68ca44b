"""The three regressors of the lab and better ones to choose instead, one per file."""

from .mlp import PMSSMFeedForward
from .periodic import PMSSMFeedForwardPLR, PMSSMTransformerPLR, PMSSMTransformerTabularPLR
from .recipes import RECIPES, Recipe
from .tabm import PMSSMTabM
from .transformer import PMSSMTransformer
from .transformer_tabular import PMSSMTransformerTabular

__all__ = [
    "RECIPES",
    "PMSSMFeedForward",
    "PMSSMFeedForwardPLR",
    "PMSSMTabM",
    "PMSSMTransformer",
    "PMSSMTransformerPLR",
    "PMSSMTransformerTabular",
    "PMSSMTransformerTabularPLR",
    "Recipe",
]
