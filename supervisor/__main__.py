"""Entry point of `python -m pmssm.supervisor`, the same as the command `pmssm-supervise`."""

from .cli.main import main

main()
