"""Sample two parameters by the measured relic density, with emcee.

    pip install emcee
    python examples/sampling.py logs/session_20260122_153100/mlp/model.pt --output samples.png

All other parameters stay at the point below. The prior is flat in the training range of the two parameters.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import emcee
import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from pmssm.trainers import load_surrogate
from pmssm.trainers.inference import Surrogate

POINT = {  # GeV; tan(beta) has no unit
    "IN_meL": 1500.0, "IN_meR": 1500.0, "IN_mtauL": 2000.0, "IN_mtauR": 2000.0, "IN_mqL1": 4000.0,
    "IN_muR": 4000.0, "IN_mdR": 4000.0, "IN_mqL3": 4000.0, "IN_mtR": 4000.0, "IN_mbR": 4000.0,
    "IN_M_1": 500.0, "IN_M_2": 1000.0, "IN_mu": 1000.0, "IN_M_3": 4000.0,
    "IN_At": 4000.0, "IN_Ab": 0.0, "IN_Atau": 0.0, "IN_mA": 2000.0, "IN_tanb": 30.0,
}  # fmt: skip
SAMPLED = ("IN_M_2", "IN_mu")
OBSERVED, SIGMA = 0.12, 0.012  # measurement; its error and that of the theory
WALKERS = 32


def log_probability(positions: NDArray[np.float64], surrogate: Surrogate) -> NDArray[np.float64]:
    """Return ln p of many positions at once, shape (k, 2): -inf outside the training range."""
    points = np.tile([POINT[name] for name in surrogate.parameters], (len(positions), 1))
    points[:, [surrogate.parameters.index(name) for name in SAMPLED]] = positions
    return np.asarray(surrogate.log_likelihood(points, observed=OBSERVED, sigma=SIGMA))


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, help="model.pt of a finished training")
    parser.add_argument("--output", type=Path, default=Path("samples.png"), help="picture to write")
    parser.add_argument("--steps", type=int, default=2000, help="steps of each walker; the first quarter is dropped")
    options = parser.parse_args()

    surrogate = load_surrogate(options.model)
    columns = [surrogate.parameters.index(name) for name in SAMPLED]
    low, high = surrogate.scaling.minimum[columns], surrogate.scaling.maximum[columns]
    start = np.random.default_rng(1).uniform(low, high, (WALKERS, len(SAMPLED)))
    sampler = emcee.EnsembleSampler(WALKERS, len(SAMPLED), log_probability, args=[surrogate], vectorize=True)
    sampler.run_mcmc(start, options.steps)
    samples = sampler.get_chain(discard=options.steps // 4, flat=True)

    figure, plot = plt.subplots(layout="constrained")
    plot.plot(*samples.T, ".", markersize=1, alpha=0.3)
    plot.set_xlabel("M2 [GeV]")
    plot.set_ylabel("mu [GeV]")
    figure.savefig(options.output, dpi=150)
    accepted = float(np.mean(sampler.acceptance_fraction))
    print(f"{options.output}: {len(samples)} samples, {100 * accepted:.0f} % of the steps accepted")


if __name__ == "__main__":
    main()
