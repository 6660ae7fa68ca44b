"""What a trainer imports, in the order in which it does. The server in `trainer_commands` imports this module."""

from pmssm.trainers.process_tuning import tune_process

tune_process()

import matplotlib.backends.backend_agg  # noqa: E402
import matplotlib.figure  # noqa: E402
import pandas as pd  # noqa: E402, F401
import scipy.optimize  # noqa: E402, F401
import torch  # noqa: E402, F401
from pmssm.trainers.evaluation import scores  # noqa: E402, F401
from pmssm.trainers.inference import model_file  # noqa: E402, F401
from pmssm.trainers.png import png_file  # noqa: E402
from pmssm.trainers.training import train  # noqa: E402, F401


def fill_caches_of_matplotlib() -> None:
    """Draw a plot, so that fonts and symbols are found once and not at the end of each training."""
    figure = matplotlib.figure.Figure(layout="constrained")
    figure.add_subplot().set(xscale="log", yscale="log", title="Ωh²", xlabel="true", ylabel="predicted")
    png_file(figure, 120)


fill_caches_of_matplotlib()
