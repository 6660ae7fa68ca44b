"""Entry point of `python -m pmssm.supervisor`, the same as the command `pmssm-supervise`."""

from .cli.entry import main

main()
