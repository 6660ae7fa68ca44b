"""Options shared by several commands."""

# ruff: noqa: PLC0415 (torch, uproot and pandas take seconds to import; `--help` does without)

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ..data.columns import PARAMETERS, TREE
from ..data.reading import FORMAT_NAMES
from ..data.scan_files import FEATURE_SETS
from ..data.targets import TARGETS, TRANSFORMS
from ..errors import OptionError

if TYPE_CHECKING:
    from ..data.scan_files import ScanSelection

POSITIVE = click.IntRange(min=1)


def require_finite(_context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Return the value of an option.

    Raises:
        click.BadParameter: The value is nan or infinite, which the ranges of click accept.
    """
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number", param=parameter)
    return value


SCAN_OPTIONS = [
    click.option("--data", multiple=True, metavar="PATTERN",
                 help="File, folder or quoted glob; may be repeated.  [default: embedded sample]"),
    click.option("--target", metavar="NAME", default="relic_density", show_default=True,
                 help=f"Quantity to learn: {', '.join(TARGETS)}, or any branch."),
    click.option("--target-above", type=float, callback=require_finite, metavar="Y",
                 help="Keep points with target > Y.  [default: the limit of the target]"),
    click.option("--target-below", type=float, callback=require_finite, metavar="Y",
                 help="Keep points with target < Y.  [default: the limit of the target]"),
    click.option("--y-transform", type=click.Choice(TRANSFORMS), default="none", show_default=True,
                 help="log: learn ln(y / y_ref).  ratio: learn ln(y / semi-analytic y), for relic_density.  "
                      "Results stay in physical units."),
    click.option("--features", type=click.Choice(FEATURE_SETS), default="none", show_default=True,
                 help="physics: add masses, mixings, mass gaps and semi-analytic relic density to the 19 inputs."),
    click.option("--neutralino-lsp", is_flag=True, help="Keep points whose lightest sparticle is a neutralino."),
    click.option("--require", multiple=True, metavar="CONDITION",
                 help="Keep points that satisfy a condition on any branch, such as 'SP_m_h > 0'; may be repeated."),
    click.option("--tree", default=TREE, show_default=True, help="Tree of ROOT files."),
    click.option("--branches", multiple=True, metavar="PATTERN|NAME=BRANCH",
                 help="Names of the branches; may be repeated.  [default: 'IN_*', '*']"),
    click.option("--n-datasets", type=POSITIVE, help="Use only the first N files, in natural order."),
    click.option("--n-samples", type=POSITIVE, help="Use at most the first N points of each file."),
    click.option("--seed", type=click.IntRange(min=0), default=42, show_default=True, help="Seed of the split."),
    click.option("--calibration", type=click.FloatRange(0, 0.5), default=0.0, show_default=True,
                 callback=require_finite, metavar="SHARE",
                 help="Share of the points that is kept apart to calibrate intervals, such as 0.1."),
    click.option("--fixed-holdout", multiple=True, metavar="PATTERN",
                 help="Scan files whose points only measure how good the finished model is; may be repeated."),
    click.option("--before-round", type=POSITIVE, metavar="N",
                 help="Leave out files of round N and later rounds: files in folders whose names end in -rN."),
    click.option("--testing", is_flag=True, help="Smoke test: only a few points."),
]  # fmt: skip
SCAN_HELP = f"""\
Scan files ({FORMAT_NAMES}) contain the columns {", ".join(PARAMETERS)}, with or without IN_, and the
column of the target. Points with values that are not finite are dropped. Targets:

""" + "\n\n".join(
    f"{target.name}: {target.branch}, kept above {target.above:g}"
    + (f" and below {target.below:g}" if target.below is not None else "")
    + f"; --y-transform log: ln(y / {target.y_ref:g})."
    for target in TARGETS.values()
)


def scan_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that select scan files, rows and target."""
    for option in reversed(SCAN_OPTIONS):
        function = option(function)
    return function


def scan_selection(options: dict[str, Any]) -> ScanSelection:
    """Return the selection that the scan options describe.

    Raises:
        OptionError: The cuts leave no rows.
    """
    from ..data.requirements import parse_requirement
    from ..data.scan_files import TESTING_ROWS, ScanSelection
    from ..data.targets import find_target

    target = find_target(options["target"], transform=options["y_transform"], above=options["target_above"],
                         below=options["target_below"])  # fmt: skip
    if target.above is not None and target.below is not None and target.above >= target.below:
        raise OptionError(f"--target-above {target.above:g} and --target-below {target.below:g} leave no rows; "
                          "--target-above must be the smaller one")  # fmt: skip
    return ScanSelection(
        target=target,
        max_rows=TESTING_ROWS if options["testing"] else None,
        require=tuple(parse_requirement(text) for text in options["require"]),
        **{
            key: options[key]
            for key in (
                "neutralino_lsp",
                "tree",
                "branches",
                "n_datasets",
                "n_samples",
                "seed",
                "features",
                "calibration",
                "fixed_holdout",
                "before_round",
            )
        },
    )
