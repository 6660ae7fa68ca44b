"""All models with the optimizer settings that the lab uses.

One row per model: the command line, the training and the report read it from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Recipe:
    """A model and how the lab trains it.

    The class of the model is imported when it is first needed: the command line lists all models without torch.

    Attributes:
        model: Module in this package and class, such as `mlp:PMSSMFeedForward`.
        summary: The model in the help of its command, after "Train".
        learning_rate: Default learning rate.
        weight_decay: Decoupled weight decay.
        cosine: Decrease the learning rate to 1e-6 along a cosine; otherwise it is constant.
        clip_norm: Largest norm of the gradient of all parameters; None: no clipping.
        stackable: `--ensemble` can train several as one.
        bf16: `--precision auto` may choose bf16, because trainings reach the same validation loss in fp32 and bf16
            (benchmarks/results/validation_losses.md).
        expected_gpu_mib: GPU memory that the lab expects a training to use, MiB; for the report.
        sizes: Arguments of the class that differ from their defaults.
    """

    model: str
    summary: str
    learning_rate: float
    weight_decay: float
    cosine: bool
    clip_norm: float | None
    stackable: bool = True
    bf16: bool = False
    expected_gpu_mib: int | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def class_name(self) -> str:
        """Name of the class of the model."""
        return self.model.partition(":")[2]

    def model_class(self) -> type[nn.Module]:
        """Import the class of the model."""
        module = import_module(f".{self.model.partition(':')[0]}", __package__)
        return cast("type[nn.Module]", getattr(module, self.class_name))

    def build(self, features: int = 19) -> nn.Module:
        """Return a new model for `features` inputs, initialised from torch's global random state."""
        return self.model_class()(features=features, **self.sizes)


RECIPES = {
    "transformer": Recipe("transformer:PMSSMTransformer", "PMSSMTransformer",
                          3e-4, 1e-4, cosine=True, clip_norm=1.0, bf16=True, expected_gpu_mib=800),
    "transformer_tabular": Recipe("transformer_tabular:PMSSMTransformerTabular", "PMSSMTransformerTabular",
                                  3e-4, 1e-4, cosine=True, clip_norm=1.0, bf16=True, expected_gpu_mib=800),
    "mlp": Recipe("mlp:PMSSMFeedForward", "PMSSMFeedForward",
                  1e-4, 1e-3, cosine=False, clip_norm=None, bf16=True, expected_gpu_mib=1500),
    # Not in the main job: for plans that want better models than the lab's.
    "transformer_plr": Recipe("periodic:PMSSMTransformerPLR", "PMSSMTransformer with periodic embeddings",
                              3e-4, 1e-4, cosine=True, clip_norm=1.0),
    "transformer_tabular_plr": Recipe("periodic:PMSSMTransformerTabularPLR",
                                      "PMSSMTransformerTabular with periodic embeddings",
                                      3e-4, 1e-4, cosine=True, clip_norm=1.0),
    "mlp_plr": Recipe("periodic:PMSSMFeedForwardPLR", "PMSSMFeedForward with periodic embeddings",
                      1e-3, 1e-3, cosine=True, clip_norm=1.0),
    "mlp_plr_small": Recipe("periodic:PMSSMFeedForwardPLR", "a small PMSSMFeedForward with periodic embeddings",
                            2e-3, 1e-3, cosine=True, clip_norm=None,
                            sizes={"embedding": 8, "width": 256, "depth": 3, "frequencies": 12}),
    "tabm": Recipe("tabm:PMSSMTabM", "PMSSMTabM, an ensemble of perceptrons in one",
                   2e-3, 3e-4, cosine=True, clip_norm=1.0, stackable=False),
}  # fmt: skip
"""Recipes by the name of the command."""
