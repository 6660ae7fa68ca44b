"""Entry point of `pmssm-supervise`: Ctrl-C during the imports ends the command without a traceback."""

from __future__ import annotations

import signal


def main() -> None:
    """Import the commands and run the command line."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # not where the shell ignores Ctrl-C, as for `command &` in a script
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .main import main  # noqa: PLC0415

    signal.signal(signal.SIGINT, handler)
    main()
