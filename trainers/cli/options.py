"""Options that several commands share."""

# ruff: noqa: PLC0415 (torch, uproot and pandas cost seconds, which `--help` need not pay)

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ..data.columns import PARAMETERS, TREE
from ..data.targets import TARGETS, TRANSFORMS
from ..errors import OptionError

if TYPE_CHECKING:
    from ..data.scan_files import ScanSelection

POSITIVE = click.IntRange(min=1)


def require_finite(_context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """The value. Raises click.BadParameter for nan and inf, which click's ranges let through."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number", param=parameter)
    return value


SCAN_OPTIONS = [
    click.option("--data", multiple=True, metavar="PATTERN",
                 help="File, folder or quoted glob; may be repeated.  [default: embedded sample]"),
    click.option("--target", metavar="NAME", default="relic_density", show_default=True,
                 help=f"What to learn: {', '.join(TARGETS)}, or any branch."),
    click.option("--target-above", type=float, callback=require_finite, metavar="Y", help="Keep rows with target > Y."),
    click.option("--target-below", type=float, callback=require_finite, metavar="Y", help="Keep rows with target < Y."),
    click.option("--y-transform", type=click.Choice(TRANSFORMS), default="none", show_default=True,
                 help="log: learn ln(y / y_ref).  Results are given in physical units all the same."),
    click.option("--neutralino-lsp", is_flag=True, help="Keep points whose lightest sparticle is a neutralino."),
    click.option("--tree", default=TREE, show_default=True, help="Tree of ROOT files."),
    click.option("--branches", multiple=True, metavar="PATTERN|NAME=BRANCH",
                 help="How branches are called; may be repeated.  [default: 'IN_*', '*']"),
    click.option("--n-datasets", type=POSITIVE, help="Take the first N files only, in natural order."),
    click.option("--n-samples", type=POSITIVE, help="Take at most the first N rows of each file."),
    click.option("--seed", type=click.IntRange(min=0), default=42, show_default=True, help="Of the split."),
    click.option("--testing", is_flag=True, help="Quick look: a few rows only."),
]  # fmt: skip
SCAN_HELP = f"""\
Scan files are ROOT, CSV, Parquet (with pyarrow) or NumPy archives (.npz) with the columns {", ".join(PARAMETERS)}, with
or without IN_, and that of the target. Rows that are not finite are dropped, and by target:

""" + "\n\n".join(
    f"{target.name}: {target.branch}, kept above {target.above:g}"
    + (f" and below {target.below:g}" if target.below is not None else "")
    + f"; the logarithm is that of y / {target.y_ref:g}."
    for target in TARGETS.values()
)


def scan_options(function: Callable[..., None]) -> Callable[..., None]:
    """The function with the options that say what to read and what of it to keep."""
    for option in reversed(SCAN_OPTIONS):
        function = option(function)
    return function


def scan_selection(options: dict[str, Any]) -> ScanSelection:
    """What the scan options ask for. Raises OptionError where they contradict each other."""
    from ..data.scan_files import TESTING_ROWS, ScanSelection
    from ..data.targets import find_target

    target = find_target(options["target"], transform=options["y_transform"], above=options["target_above"],
                         below=options["target_below"])  # fmt: skip
    if target.above is not None and target.below is not None and target.above >= target.below:
        raise OptionError(f"--target-above {target.above:g} and --target-below {target.below:g} leave nothing; "
                          "give a lower and a higher one")  # fmt: skip
    return ScanSelection(
        target=target,
        max_rows=TESTING_ROWS if options["testing"] else None,
        **{key: options[key] for key in ("neutralino_lsp", "tree", "branches", "n_datasets", "n_samples", "seed")},
    )
