"""`python -m pmssm.trainers`, which is `pmssm-surrogate`."""

from .cli.main import main

main()
