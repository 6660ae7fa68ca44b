"""Commands of `python -m pmssm.trainers`."""
