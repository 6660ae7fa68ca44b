"""What a trainer imports, in the order in which it does. The server in `trainer_commands` imports this module."""

from pmssm.trainers.process_tuning import tune_process

tune_process()

import matplotlib.figure  # noqa: E402, F401
import pandas as pd  # noqa: E402, F401
import torch  # noqa: E402, F401
from pmssm.trainers.evaluation import scores  # noqa: E402, F401
from pmssm.trainers.inference import model_file  # noqa: E402, F401
from pmssm.trainers.training import train  # noqa: E402, F401
