"""The one way by which commands print: no text that they show can control the terminal."""

from __future__ import annotations

from pathlib import Path

import click

from ..formatting import printable


def echo(text: str, *, err: bool = False) -> None:
    """Print a text and a line end; characters that could control the terminal are escaped.

    Args:
        text: One or more lines.
        err: Whether it goes to standard error.
    """
    click.echo(printable(text), err=err)


def warn_of_incomplete_session(logs: Path) -> None:
    """Warn if the newest folder of a session is passed over, because no session was started in it."""
    from ..session.lookup import newest_incomplete  # noqa: PLC0415 - pydantic, which --help does without

    folder = newest_incomplete(logs)
    if folder is not None:
        echo(f"pmssm-supervise: {folder.path}: is no session (incomplete), passed over; {folder.remedy}", err=True)
