"""Use trained models: load, predict, export."""

from .model_file import load_surrogate
from .surrogate import Surrogate

__all__ = ["Surrogate", "load_surrogate"]
