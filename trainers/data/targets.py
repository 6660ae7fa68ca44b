"""What a surrogate learns: a branch, which of its values count, and the scale it is learned on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Transform = Literal["none", "log"]
LIMIT = 300.0
"""Of |ln(y / y_ref)|: a model gone astray has errors that are still numbers, squared as well."""

FAILED = -1
"""What the lab's branches hold where the calculation failed."""

TRANSFORMS: tuple[Transform, ...] = get_args(Transform)


@dataclass(frozen=True)
class Target:
    """One observable. Kept are rows with `above < y < below`; a model is trained on z-scores of `forward(y)`."""

    name: str
    """As `--target` has it."""
    branch: str
    label: str
    """For plots and tables."""
    y_ref: float = 1.0
    """The logarithm is that of y / y_ref."""
    above: float | None = None
    below: float | None = None
    transform: Transform = "none"

    @property
    def learned(self) -> str:
        """For plots and tables: what a model learns, and `*_normalised` figures are of."""
        return f"ln({self.label} / {self.y_ref:g})" if self.transform == "log" else self.label

    def forward(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """`y` on the scale that is learned: y itself, or ln(y / y_ref)."""
        import numpy as np  # noqa: PLC0415 (the command line reads TARGETS without it)

        return np.log(values / self.y_ref) if self.transform == "log" else values

    def backward(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The physical values of what is learned, any shape, float64; the inverse of `forward`."""
        import numpy as np  # noqa: PLC0415

        return np.exp(np.clip(values, -LIMIT, LIMIT)) * self.y_ref if self.transform == "log" else values

    def backward_tensor(self, values: Tensor) -> Tensor:
        """The same as `backward`, on the device of `values`."""
        return values.clamp(-LIMIT, LIMIT).exp() * self.y_ref if self.transform == "log" else values

    @property
    def cuts(self) -> str:
        """`0 < Ωh² < 1`, for the log; the label alone where there is no cut."""
        low = "" if self.above is None else f"{self.above:g} < "
        return low + self.label + ("" if self.below is None else f" < {self.below:g}")

    def beyond_cuts(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Which of physical `values`, any shape, are such as no training point has; nan is not."""
        low, high = (-math.inf if self.above is None else self.above, math.inf if self.below is None else self.below)
        return (values <= low) | (values >= high)

    def as_dict(self) -> dict[str, Any]:
        """Plain texts and numbers, for JSON and `torch.save`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Target:
        """The target that `as_dict` gave. Raises KeyError where a field is missing."""
        return cls(**{field.name: saved[field.name] for field in fields(cls)})


TARGETS = {
    target.name: target
    for target in (
        Target("relic_density", "MO_Omega", "Ωh²", y_ref=0.12, above=0.0, below=1.0),
        Target("expected_r", "SModelS_bestExpR_r_expected", "expected r", y_ref=1.0, above=0.0),
        Target("cross_section", "xsec_TOTAL", "total cross section", y_ref=0.03, above=0.0),
        Target("cls", "Final__CLs", "CLs", y_ref=0.05, above=0.0),
    )
}
"""By the name that `--target` takes; FAILED is where the calculation failed, in all of them."""


def find_target(name: str, *, transform: Transform, above: float | None, below: float | None) -> Target:
    """The target of that name, or the branch of that name without cuts of its own; given cuts replace its own.

    A logarithm keeps positive values alone, whatever the cuts.
    """
    known = TARGETS.get(name, Target(name, name, name))
    lowest = known.above if above is None else above
    if transform == "log":
        lowest = max(0.0, lowest or 0.0)
    highest = known.below if below is None else below
    return Target(known.name, known.branch, known.label, known.y_ref, lowest, highest, transform)
