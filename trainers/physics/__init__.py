"""Physics in front of a model: tree-level spectrum and semi-analytic relic density.

The package is a differentiable PyTorch layer. `PhysicsFeatures` is its entry point.

- `constants`: Standard Model inputs and the table of fitted constants.
- `parameters`: the 19 inputs by name.
- `linear_algebra`: eigenvalues and singular values in closed form or by fixed Jacobi rotations.
- `mass_shifts`: approximate loop corrections to the mass parameters.
- `spectrum`: masses and mixings of neutralinos, charginos and sleptons.
- `species`: the particles, their pairs, mean cross sections.
- `higgs_mass`: mass of the light Higgs boson.
- `annihilation`: cross sections of every pair of particles; `gaugino_annihilation` with `currents`, `gauge_bosons` and
  `heavy_higgs` for neutralinos and charginos, `slepton_annihilation` for sleptons.
- `gaugino_rates`: what the former return; `version_1`: the same for models of the first version.
- `resonances`: thermal averages of Breit-Wigner poles.
- `relic_density`: freeze-out of the coannihilating particles.
- `features`: the layer.
"""

from __future__ import annotations

from .features import FEATURES, PhysicsFeatures, compute_features

__all__ = ["FEATURES", "PhysicsFeatures", "compute_features"]
