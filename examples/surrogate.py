"""Load a trained model, scan two parameters, and draw the result.

    python examples/surrogate.py logs/session_20260122_153100/mlp/model.pt --output scan.png

All other parameters have the values of POINT. Change POINT and SCAN to see other points and parameters.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from pmssm.trainers import load_surrogate

POINT = {  # GeV; tan(beta) has no unit
    "IN_meL": 1500.0, "IN_meR": 1500.0, "IN_mtauL": 2000.0, "IN_mtauR": 2000.0, "IN_mqL1": 4000.0,
    "IN_muR": 4000.0, "IN_mdR": 4000.0, "IN_mqL3": 4000.0, "IN_mtR": 4000.0, "IN_mbR": 4000.0,
    "IN_M_1": 500.0, "IN_M_2": 1000.0, "IN_mu": 1000.0, "IN_M_3": 4000.0,
    "IN_At": 4000.0, "IN_Ab": 0.0, "IN_Atau": 0.0, "IN_mA": 2000.0, "IN_tanb": 30.0,
}  # fmt: skip
SCAN = {"IN_M_1": (100.0, 1500.0), "IN_mu": (100.0, 1500.0)}  # horizontal and vertical axis, GeV
STEPS = 100


def scan_points(parameters: tuple[str, ...], axes: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return all points of the scan, shape (len(axes[0]) * len(axes[1]), 19), the first axis varying fastest."""
    x, y = np.meshgrid(*axes)
    points = np.tile([POINT[name] for name in parameters], (x.size, 1))
    for name, values in zip(SCAN, (x, y), strict=True):
        points[:, parameters.index(name)] = values.ravel()
    return points


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, help="model.pt of a finished training")
    parser.add_argument("--output", type=Path, default=Path("scan.png"), help="picture to write")
    options = parser.parse_args()

    surrogate = load_surrogate(options.model)
    axes = [np.linspace(low, high, STEPS) for low, high in SCAN.values()]
    prediction = surrogate(scan_points(surrogate.parameters, axes)).reshape(STEPS, STEPS)

    figure, plot = plt.subplots(layout="constrained")
    image = plot.pcolormesh(*axes, prediction)
    figure.colorbar(image, label=surrogate.target.label)
    if prediction.min() < 0.12 < prediction.max():
        plot.contour(*axes, prediction, levels=[0.12], colors="white")  # the measured relic density
    plot.set_xlabel("M1 [GeV]")
    plot.set_ylabel("mu [GeV]")
    figure.savefig(options.output, dpi=150)
    print(f"{options.output}: {surrogate.target.label} between {prediction.min():.3g} and {prediction.max():.3g}")


if __name__ == "__main__":
    main()
