"""`python -m pmssm.trainers`."""

from .cli.main import main

main()
