"""Targets: the branch to learn, its cuts, and the scale on which it is learned."""

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
MAX_LOG = 300.0
"""Limit of |ln(y / y_ref)|: even the squared errors of a bad model stay finite."""

FAILED = -1
"""Value in the branches of the lab if the calculation failed."""

TRANSFORMS: tuple[Transform, ...] = get_args(Transform)


@dataclass(frozen=True)
class Target:
    """One observable.

    Rows with `above < y < below` are kept; a model is trained on z-scores of `forward(y)`.

    Attributes:
        name: Name for `--target`.
        branch: Branch in the scan files.
        label: Name in plots and tables.
        y_ref: The logarithm is ln(y / y_ref).
        above: Lower cut; None: no cut.
        below: Upper cut; None: no cut.
        transform: `log` learns the logarithm, `none` the value itself.
    """

    name: str
    branch: str
    label: str
    y_ref: float = 1.0
    above: float | None = None
    below: float | None = None
    transform: Transform = "none"

    @property
    def learned_label(self) -> str:
        """Name of the learned quantity in plots and tables; `*_normalised` scores refer to it."""
        return f"ln({self.label} / {self.y_ref:g})" if self.transform == "log" else self.label

    def forward(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert physical values to the learned scale: y itself, or ln(y / y_ref)."""
        import numpy as np  # noqa: PLC0415 (the command line imports TARGETS without numpy)

        return np.log(values / self.y_ref) if self.transform == "log" else values

    def backward(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert learned to physical values, any shape, float64: the inverse of `forward`."""
        import numpy as np  # noqa: PLC0415

        return np.exp(np.clip(values, -MAX_LOG, MAX_LOG)) * self.y_ref if self.transform == "log" else values

    def backward_tensor(self, values: Tensor) -> Tensor:
        """Convert learned values to physical values on the device of `values`."""
        return values.clamp(-MAX_LOG, MAX_LOG).exp() * self.y_ref if self.transform == "log" else values

    @property
    def cuts(self) -> str:
        """The cuts for the log, such as `0 < Ωh² < 1`; without cuts, the label alone."""
        low = "" if self.above is None else f"{self.above:g} < "
        return low + self.label + ("" if self.below is None else f" < {self.below:g}")

    def outside_cuts(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which physical values violate the cuts, in the shape of `values`; nan does not."""
        low, high = (-math.inf if self.above is None else self.above, math.inf if self.below is None else self.below)
        return (values <= low) | (values >= high)

    def as_dict(self) -> dict[str, Any]:
        """Return plain texts and numbers for JSON and `torch.save`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Target:
        """Return the target that `as_dict` described.

        Raises:
            KeyError: A field is missing.
        """
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
"""Targets by the name for `--target`; in all of them FAILED marks failed calculations."""


def find_target(name: str, *, transform: Transform, above: float | None, below: float | None) -> Target:
    """Return the target with this name; for an unknown name, the branch with this name.

    Args:
        name: Name of a target or of a branch.
        transform: Scale on which it is learned; `log` keeps positive values only.
        above: Lower cut, in place of that of the target.
        below: Upper cut, in place of that of the target.
    """
    known = TARGETS.get(name, Target(name, name, name))
    lowest = known.above if above is None else above
    if transform == "log":
        lowest = max(0.0, lowest or 0.0)
    highest = known.below if below is None else below
    return Target(known.name, known.branch, known.label, known.y_ref, lowest, highest, transform)
