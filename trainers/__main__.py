"""`python -m pmssm.trainers`."""

from .cli import main

main()
