"""The one way by which commands print: no text that they show can control the terminal."""

from __future__ import annotations

import click

from ..formatting import printable


def echo(text: str, *, err: bool = False) -> None:
    """Print a text and a line end; characters that could control the terminal are escaped.

    Args:
        text: One or more lines.
        err: Whether it goes to standard error.
    """
    click.echo(printable(text), err=err)
