"""The options that say which points to read and what to learn of them; the trainers check what they mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS = (
    click.option("--data", metavar="PATTERN", multiple=True,
                 help="ROOT, CSV, Parquet or NumPy file, folder or quoted glob; repeatable. "
                      "[default: the embedded sample]"),
    click.option("--target", metavar="NAME",
                 help="What to learn: relic_density, expected_r, cross_section, cls, or any branch. "
                      "[default: relic_density]"),
    click.option("--target-above", type=float, metavar="Y", help="Keep points with target > Y. [default: its own]"),
    click.option("--target-below", type=float, metavar="Y", help="Keep points with target < Y. [default: its own]"),
    click.option("--y-transform", type=click.Choice(["none", "log"]),
                 help="log: learn ln(y / y_ref); results are physical all the same. [default: none]"),
    click.option("--neutralino-lsp", is_flag=True, help="Keep points whose lightest sparticle is a neutralino."),
    click.option("--tree", metavar="NAME", help="Tree of ROOT files. [default: susy]"),
    click.option("--branches", metavar="PATTERN|NAME=BRANCH", multiple=True,
                 help="How branches are called, as in 'IN_*' or At=my_At; repeatable. [default: IN_*, *]"),
    click.option("--n-datasets", type=click.IntRange(min=1), help="Read at most this many files."),
    click.option("--n-samples", type=click.IntRange(min=1), help="Read at most this many points of each file."),
)  # fmt: skip


def scan_options(function: F) -> F:
    """The function with these options."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function
