"""The physics layer: what a model gets in addition to its 19 inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from . import version_1
from .annihilation import masses_by_species
from .constants import CROSS_SECTIONS, HIGGS_MASS, M_W, M_Z, MASS_SHIFTS, Constants
from .parameters import split_parameters
from .relic_density import RelicDensity, relic_density
from .species import Species
from .spectrum import Spectrum, spectrum

_MASSES = (
    "chi_10", "chi_20", "chi_30", "chi_40", "chi_1p", "chi_2p", "e_R", "e_L", "nu_e", "tau_1", "tau_2", "nu_tau",
)  # fmt: skip

SPECTRUM_FEATURES = (
    "log_m_lsp",
    *(f"gap_{name}" for name in _MASSES),
    "bino_1", "wino_1", "higgsino_1", "bino_2", "wino_2", "higgsino_2",
    "wino_minus_1", "wino_plus_1", "tau_1_left", "sign_12",
    "funnel_A", "coupling_A",
)  # fmt: skip
"""Features that any target can use: masses, mass gaps relative to the lightest sparticle, mixings, A funnel."""

RELIC_FEATURES = (
    "log_omega", "x_freeze_out", "log_sigma_v", "share_resonant", *(f"share_{name}" for name in _MASSES),
    "pole_W", "pole_Z", "pole_h", "pole_A",
)  # fmt: skip
"""Features of the semi-analytic freeze-out, for the relic density."""

FEATURES = (*SPECTRUM_FEATURES, *RELIC_FEATURES)
"""Columns of the output of `PhysicsFeatures`, in order."""

LOG_OMEGA = FEATURES.index("log_omega")
"""Column of the semi-analytic ln Ωh²."""

POLE_WIDTH = 0.02
"""Relative distance from a pole at which its features change from linear to logarithmic."""

GAPS = slice(FEATURES.index("gap_chi_10"), FEATURES.index("gap_chi_10") + len(_MASSES))
"""Columns of the mass gaps, in the order of `Species`."""

FRACTIONS = slice(FEATURES.index("bino_1"), FEATURES.index("higgsino_1") + 1)
"""Columns of the bino, wino and higgsino content of the lightest neutralino."""

GAP_LIMIT = 3.0
"""Relative mass gaps are cut here: particles so heavy do not coannihilate."""


BATCH = 2048
"""Points at once in `compute_features`: fewer cost more calls of kernels, more leave the cache."""


class PhysicsFeatures(nn.Module):
    """Compute the physics features of pMSSM points.

    The fitted constants are parameters. Cross sections are stored as logarithms, which keeps them positive in
    training.
    The layer computes in float64 whatever the type of its input, since mass gaps are differences of large numbers.

    Args:
        trainable: Whether the constants receive gradients.

    Attributes:
        mass_shifts: `constants.MASS_SHIFTS` by name.
        higgs_mass: `constants.HIGGS_MASS` by name.
        log_cross_sections: Logarithms of `constants.CROSS_SECTIONS` by name.

    Example:
        >>> import torch
        >>> from pmssm.trainers.physics import FEATURES, PhysicsFeatures
        >>> higgsino = [2000.0] * 4 + [4000.0] * 6 + [1800.0, 1900.0, 1000.0, 4000.0, 0.0, 0.0, 0.0, 2000.0, 10.0]
        >>> features = PhysicsFeatures()(torch.tensor([higgsino], dtype=torch.float64))
        >>> features.shape == (1, len(FEATURES))
        True
        >>> 0.08 < features[0, FEATURES.index("log_omega")].exp().item() < 0.14
        True
    """

    def __init__(self, *, trainable: bool = False) -> None:
        super().__init__()
        self.mass_shifts = _parameters({one.name: one.value for one in MASS_SHIFTS}, trainable)
        self.higgs_mass = _parameters({one.name: one.value for one in HIGGS_MASS}, trainable)
        logarithms = {one.name: torch.tensor(one.value, dtype=torch.float64).log().item() for one in CROSS_SECTIONS}
        self.log_cross_sections = _parameters(logarithms, trainable)

    @classmethod
    def from_saved(cls, state: Mapping[str, Tensor]) -> PhysicsFeatures:
        """Return the layer with the constants of a saved model.

        The names of the cross sections tell the version of the formula. Version 1 has fewer loop corrections than this
        version; coefficients that it lacks are 0.

        Args:
            state: State of a layer of this version or of version 1.

        Raises:
            RuntimeError: The constants are those of another version.
        """
        layer = cls()
        prefix = "log_cross_sections."
        names = [key.removeprefix(prefix) for key in state if key.startswith(prefix)]
        if version_1.has_its_constants(dict.fromkeys(names, torch.zeros(1))):
            layer.log_cross_sections = _parameters(dict.fromkeys(names, 0.0), trainable=False)
            state = {key: torch.zeros_like(value) for key, value in layer.state_dict().items()} | dict(state)
        layer.load_state_dict(dict(state))
        return layer

    def constants(self) -> Constants:
        """Return the fitted constants by name, in float64, each of shape (1,).

        An exporter by tracing would take the type of a number for that of a tensor without dimensions, float32.
        """
        linear = {**self.mass_shifts, **self.higgs_mass}
        return _as_double(linear) | _as_double({**self.log_cross_sections}, torch.exp)

    def physics(self, points: Tensor) -> tuple[Spectrum, RelicDensity]:
        """Return the spectrum and the freeze-out of `points`, shape (points, 19)."""
        parameters = split_parameters(points.double())
        constants = self.constants()
        masses = spectrum(parameters, constants)
        return masses, relic_density(parameters, masses, constants)

    def forward(self, points: Tensor) -> Tensor:
        """Return the features.

        Args:
            points: pMSSM parameters in the order of `columns.PARAMETERS`, GeV; shape (points, 19).

        Returns:
            Shape (points, len(FEATURES)), float64.
        """
        masses, relic = self.physics(points)
        m_a = points[:, 17].double()
        return torch.cat([spectrum_features(masses, m_a), relic_features(masses, relic, m_a)]).T


def compute_features(layer: PhysicsFeatures, points: Tensor) -> Tensor:
    """Return the features of many points without gradients, in batches that fit into the cache.

    Args:
        layer: The physics layer.
        points: Shape (points, 19), GeV.

    Returns:
        Shape (points, len(FEATURES)), float64.
    """
    with torch.no_grad():
        return torch.cat([layer(batch) for batch in torch.split(points, BATCH)])


def _as_double(
    parameters: Mapping[str, Tensor], function: Callable[[Tensor], Tensor] = torch.clone
) -> dict[str, Tensor]:
    """Return `function` of `parameters` in float64, each of shape (1,).

    It is computed for all of them at once, since an exporter traces every operation.
    """
    values = function(torch.stack(list(parameters.values())).double())
    return dict(zip(parameters, values[:, None].unbind(0), strict=True))


def _parameters(values: dict[str, float], trainable: bool) -> nn.ParameterDict:
    return nn.ParameterDict(
        {
            name: nn.Parameter(torch.tensor(value, dtype=torch.float64), requires_grad=trainable)
            for name, value in values.items()
        }
    )


def spectrum_features(s: Spectrum, m_a: Tensor) -> Tensor:
    """Return the features of `SPECTRUM_FEATURES`, shape (features, points); `m_a` is the mass of A in GeV."""
    mass = masses_by_species(s)
    lightest = torch.amin(mass, 0, keepdim=True)
    gaps = torch.clamp(mass / lightest - 1, max=GAP_LIMIT)
    squared = s.neutralino_mixing[:2] ** 2
    content = [squared[k, column] for k in range(2) for column in (0, 1)]
    bino_1, wino_1, bino_2, wino_2 = content
    _, _, down, up = s.neutralino_mixing[0].unbind(0)
    neutralino = s.neutralino[0].abs()
    others = (
        bino_1, wino_1, 1 - bino_1 - wino_1, bino_2, wino_2, 1 - bino_2 - wino_2,
        s.wino_minus[0], s.wino_plus[0], s.stau_left, torch.sign(s.neutralino[0] * s.neutralino[1]),
        torch.clamp(2 * neutralino / m_a - 1, max=GAP_LIMIT), s.sin_beta * down - s.cos_beta * up,
    )  # fmt: skip
    return torch.cat([torch.log(lightest), gaps, torch.stack(others)])


def relic_features(s: Spectrum, r: RelicDensity, m_a: Tensor) -> Tensor:
    """Return the features of `RELIC_FEATURES`, shape (features, points); `m_a` is the mass of A in GeV."""
    scalars = torch.stack([r.log_omega, r.freeze_out, r.log_rate, r.resonant])
    neutralino = s.neutralino[0].abs()
    ratios = ((neutralino + s.chargino[0]) / M_W, *(2 * neutralino / mass for mass in (M_Z, r.higgs_mass, m_a)))
    return torch.cat([scalars, r.abundance, _pole_distance(torch.stack(ratios))])


def _pole_distance(ratio: Tensor) -> Tensor:
    """Return arsinh((ratio - 1)/POLE_WIDTH), by functions that all exporters know."""
    distance = (ratio - 1) / POLE_WIDTH
    return torch.sign(distance) * torch.log(distance.abs() + torch.sqrt(distance * distance + 1))


if len(_MASSES) != len(Species):
    raise ImportError("trainers/physics/features.py: one name per species is needed")
