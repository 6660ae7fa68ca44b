"""Targets: the branch to learn, its cuts, and the scale on which it is learned."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..errors import OptionError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Transform = Literal["none", "log", "ratio"]
MAX_LOG = 300.0
"""Limit of |ln(y / y_ref)| and |ln y|: even the squared errors of a bad model stay finite."""

RELIC_DENSITY = "MO_Omega"
"""Branch of the relic density, the only target with a semi-analytic value."""

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
        transform: `log` learns the logarithm, `none` the value itself, `ratio` the logarithm of its ratio to the
            semi-analytic value.
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
        labels = {
            "log": f"ln({self.label} / {self.y_ref:g})",
            "ratio": f"ln({self.label} / semi-analytic {self.label})",
        }
        return labels.get(self.transform, self.label)

    @property
    def is_logarithmic(self) -> bool:
        """Whether a logarithm is learned."""
        return self.transform != "none"

    @property
    def uses_reference(self) -> bool:
        """Whether `forward` and `backward` need the semi-analytic value of each point."""
        return self.transform == "ratio"

    def forward(self, values: NDArray[np.float64], reference: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Convert physical values to the learned scale: y itself, ln(y / y_ref), or ln y - reference.

        Args:
            values: Shape (..., n).
            reference: Logarithm of the semi-analytic value of each point, shape (n,); for `ratio` only.
        """
        import numpy as np  # noqa: PLC0415 (the command line imports TARGETS without numpy)

        if self.uses_reference and reference is not None:
            return np.asarray(np.log(values) - reference)
        return np.log(values / self.y_ref) if self.transform == "log" else values

    def backward(
        self, values: NDArray[np.float64], reference: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Convert learned to physical values, float64: the inverse of `forward`, with its arguments."""
        import numpy as np  # noqa: PLC0415

        if self.uses_reference and reference is not None:
            return np.asarray(np.exp(np.clip(values + reference, -MAX_LOG, MAX_LOG)))
        return np.exp(np.clip(values, -MAX_LOG, MAX_LOG)) * self.y_ref if self.transform == "log" else values

    def backward_tensor(self, values: Tensor, reference: Tensor | None = None) -> Tensor:
        """Convert learned values to physical values on the device of `values`."""
        if self.uses_reference and reference is not None:
            return (values + reference).clamp(-MAX_LOG, MAX_LOG).exp()
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
        Target("relic_density", RELIC_DENSITY, "Ωh²", y_ref=0.12, above=0.0, below=1.0),
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
        transform: Scale on which it is learned; `log` and `ratio` keep positive values only.
        above: Lower cut, in place of that of the target.
        below: Upper cut, in place of that of the target.

    Raises:
        OptionError: `ratio` for another target than the relic density.
    """
    known = TARGETS.get(name, Target(name, name, name))
    if transform == "ratio" and known.branch != RELIC_DENSITY:
        raise OptionError(f"--y-transform ratio: {name} has no semi-analytic value, only relic_density has; use log")
    lowest = known.above if above is None else above
    if transform != "none":
        lowest = max(0.0, lowest or 0.0)
    highest = known.below if below is None else below
    return Target(known.name, known.branch, known.label, known.y_ref, lowest, highest, transform)
