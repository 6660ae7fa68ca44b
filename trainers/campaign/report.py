"""`campaign`: one page on what the rounds of a session have found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.columns import PARAMETERS
from ..evaluation.page import Table, render_page, write_page
from ..evaluation.tables import percent
from ..files import write_atomic
from ..log import LOGGER
from .figures import ArmFigures, arm_figures, merged, random_arm
from .history import Chain, read_chains
from .hits import Goal
from .plots import CORNER_POINTS, corner_plot, curves_by_round

Values = NDArray[np.float64]

PAGE, FIGURES, SUMMARY = "report.html", "campaign.json", "result.json"
SHOWN_ROUNDS = 10
"""Largest number of columns of a table by round; of more rounds, some are left out."""

SEEDS_NOTE = "Mean over the seeds ± standard deviation."
ONE_SIDED = 0.9
"""Share of the hits with one class of lightest sparticle from which on the page says so first."""


def build_campaign_report(session: Path, output: Path, goal: Goal) -> list[Table]:
    """Write report.html, campaign.json, result.json and the plots.

    Args:
        session: Folder of a session whose plan has rounds.
        output: Folder for the report.
        goal: What counts as a hit.

    Returns:
        The tables of the page.

    Raises:
        DataError: The session has no rounds, or nothing was simulated.
    """
    chains, problems = read_chains(session)
    for problem in problems:
        LOGGER.warning("%s", problem)
    arms = arm_figures(chains, goal)
    sentence = conclusion(arms, goal)
    tables = [yield_table(arms), *round_tables(arms, goal), class_table(arms)]
    if any(arm.seconds for arm in arms):
        tables.append(time_table(arms))
    plots = {
        "Hit rate by round": {"hit_rate": curves_by_round(arms, "rates", "hits per simulator call")},
        **{
            title: {attribute: curves_by_round(arms, attribute, "median relative error")}
            for title, attribute, _ in error_tables(goal)
            if any(np.isfinite(getattr(arm, attribute)).any() for arm in arms)
        },
        f"Hits, at most {CORNER_POINTS:,} of each strategy": {
            "corner": corner_plot(_accepted(chains, goal), _short_names())
        },
    }
    html = render_page(
        title="Active learning",
        subtitle=f"{session.name}: {sum(arm.calls for arm in arms):,} simulator calls in {len(chains)} chains",
        sentence=sentence,
        problems=problems,
        tables=tables,
        plots=plots,
    )
    write_page(output, PAGE, html, plots)
    _write_json(output / FIGURES, {arm.name: _as_dict(arm) for arm in arms})
    _write_json(output / SUMMARY, _summary(arms))
    LOGGER.info("%s", sentence)
    LOGGER.info("Report in %s", output / PAGE)
    return tables


def conclusion(arms: Sequence[ArmFigures], goal: Goal) -> str:
    """Return what the reader should know first."""
    best, random = max(arms, key=lambda arm: arm.mean_yield), random_arm(arms)
    share = (
        f"{percent(best.mean_yield)} of the points that {best.name} simulated are within {percent(goal.tolerance, 0)} "
    )
    share += f"of {goal.center:g}"
    if random is None or random is best:
        share += "."
    elif not random.hits:
        share += ", and none of the random points."
    else:
        share += f", {best.mean_yield / random.mean_yield:.1f} times as many as with random points."
    kind, count = max(best.classes.items(), key=lambda item: item[1], default=("", 0))
    if count >= ONE_SIDED * best.hits > 0:
        share += f" {percent(count / best.hits)} of these hits have the same kind of lightest sparticle: {kind}."
    return share


def yield_table(arms: Sequence[ArmFigures]) -> Table:
    """Return the table of the yield per simulator call."""
    random, best = random_arm(arms), max(arms, key=lambda arm: arm.mean_yield)
    rows = []
    for arm in arms:
        factor = arm.mean_yield / random.mean_yield if random is not None and random.hits else None
        cells = [
            arm.name, f"{arm.seeds}", f"{arm.calls:,}", f"{arm.failed:,}", f"{arm.duplicates:,}", f"{arm.hits:,}",
            percent(arm.mean_yield), percent(arm.yield_std) if arm.seeds > 1 else "n/a",
            "n/a" if factor is None else f"{factor:.1f}", "n/a" if np.isnan(arm.spacing) else f"{arm.spacing:.3f}",
        ]  # fmt: skip
        rows.append({"kind": "best" if arm is best else "", "cells": cells})
    heads = ["strategy", "seeds", "calls", "failed", "duplicates", "hits", "yield", "± seeds", "× random", "spacing"]
    note = (
        "Calls of all rounds, without the points before the first. Yield: hits per call, mean over the seeds, and its "
        "standard deviation. Spacing: median distance of a hit to the nearest other hit, in units of the ranges."
    )
    return {"title": "Yield", "heads": heads, "rows": rows, "note": note}


def error_tables(goal: Goal) -> tuple[tuple[str, str, str], ...]:
    """Return title, attribute of ArmFigures and note of the figures on how good the models are."""
    near = f"within {percent(goal.tolerance, 0)} of {goal.center:g}"
    return (
        ("Error of the model by round", "accuracy", "Median relative error, %, on the points of --fixed-holdout, else "
         "on the validation part."),
        (f"Error of the model {near}", "accuracy_near", "Median relative error, %, on those points of --fixed-holdout "
         f"whose true value is {near}."),
    )  # fmt: skip


def round_tables(arms: Sequence[ArmFigures], goal: Goal) -> list[Table]:
    """Return hit rate and errors by round: mean over the seeds ± their standard deviation."""
    tables: list[Table] = []
    for title, attribute, note in (("Hit rate by round", "rates", "Hits per call, %."), *error_tables(goal)):
        values = [getattr(arm, attribute) for arm in arms]
        if all(np.isnan(one).all() for one in values):
            continue
        shown = shown_rounds(values[0].shape[1])
        rows = [
            {"kind": "", "cells": [arm.name, *(_mean_and_std(one[:, number - 1]) for number in shown)]}
            for arm, one in zip(arms, values, strict=True)
        ]
        heads = ["strategy", *(f"r{number:02d}" for number in shown)]
        tables.append({"title": title, "heads": heads, "rows": rows, "note": f"{note} {SEEDS_NOTE}"})
    return tables


def shown_rounds(rounds: int) -> list[int]:
    """Return the rounds of a table: all, or some at equal distances with the first and the last."""
    return sorted({round(number) for number in np.linspace(1, rounds, min(rounds, SHOWN_ROUNDS)).tolist()})


def _mean_and_std(values: Values) -> str:
    present = values[~np.isnan(values)]
    if not len(present):
        return "n/a"
    spread = f" ± {100 * present.std(ddof=1):.1f}" if len(present) > 1 else ""
    return f"{100 * present.mean():.1f}{spread}"


def class_table(arms: Sequence[ArmFigures]) -> Table:
    """Return the hits by class of the lightest sparticle."""
    kinds = sorted({kind for arm in arms for kind in arm.classes})
    rows = [
        {"kind": "", "cells": [arm.name, *(percent(arm.classes.get(kind, 0) / max(1, arm.hits)) for kind in kinds)]}
        for arm in arms
    ]
    return {
        "title": "Lightest sparticle of the hits", "heads": ["strategy", *kinds], "rows": rows,
        "note": "Shares of the hits. No neutralino: a slepton, a sneutrino or a chargino is lightest.",
    }  # fmt: skip


def time_table(arms: Sequence[ArmFigures]) -> Table:
    """Return the mean time of each run of a round."""
    phases = list(dict.fromkeys(phase for arm in arms for phase in arm.seconds))
    rows = []
    for arm in arms:
        cells = [f"{arm.seconds[phase]:.1f}" if phase in arm.seconds else "n/a" for phase in phases]
        rows.append({"kind": "", "cells": [arm.name, *cells, f"{sum(arm.seconds.values()):.1f}"]})
    return {
        "title": "Time of a round", "heads": ["strategy", *phases, "all"], "rows": rows,
        "note": "Wall time of each run of a chain, s, all attempts together; mean over rounds and seeds. Runs of "
        "several chains run at the same time.",
    }  # fmt: skip


def _accepted(chains: Sequence[Chain], goal: Goal) -> dict[str, Values]:
    accepted: dict[str, list[Values]] = {}
    for chain in chains:
        everything = merged(chain)
        accepted.setdefault(chain.arm, []).append(everything.points[goal.hits(everything.omega)])
    return {name: np.concatenate(parts) for name, parts in accepted.items()}


def _short_names() -> list[str]:
    return [name.removeprefix("IN_") for name in PARAMETERS]


def _as_dict(arm: ArmFigures) -> dict[str, Any]:
    def rows(values: Values) -> list[list[float | None]]:
        return [[None if np.isnan(value) else float(value) for value in row] for row in values]

    return {
        "seeds": arm.seeds, "calls": arm.calls, "failed": arm.failed, "duplicates": arm.duplicates, "hits": arm.hits,
        "yields": arm.yields.tolist(), "hit_rate_by_round": rows(arm.rates), "accuracy_by_round": rows(arm.accuracy),
        "accuracy_near_by_round": rows(arm.accuracy_near), "seconds": arm.seconds,
        "spacing": None if np.isnan(arm.spacing) else arm.spacing, "lsp": arm.classes,
    }  # fmt: skip


def _summary(arms: Sequence[ArmFigures]) -> dict[str, float]:
    """Return the figures for the table of results of a session: the yield of each arm."""
    return {f"yield {arm.name}": arm.mean_yield for arm in arms}


def _write_json(path: Path, content: object) -> None:
    text = json.dumps(content, indent=1) + "\n"
    write_atomic(path, lambda file: file.write(text.encode()))
