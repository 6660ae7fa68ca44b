"""Substitution of all placeholders of a plan, for one session."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .placeholders import Placeholders, expand_arguments, expand_text
from .schema import Plan


def fill_placeholders(
    plan: Plan, common: Placeholders, per_run: Mapping[str, Placeholders], *, cwd: Path, source: str
) -> Plan:
    """Fill every placeholder of a plan, and make every `cwd` absolute.

    Args:
        plan: The plan as loaded.
        common: Placeholders of all runs.
        per_run: Further placeholders of each run, by its name.
        cwd: Folder that a relative `cwd` of the plan refers to.
        source: Name of the plan in errors.

    Raises:
        PlanError: An unknown placeholder, a single brace, or a list inside an argument.
    """
    runs = {}
    for name, run in plan.runs.items():
        values = {**common, **per_run[name]}
        field = f"{source}: runs.{name}"
        runs[name] = run.model_copy(
            update={
                "command": expand_arguments(run.command, values, f"{field}.command"),
                "fresh_args": expand_arguments(run.fresh_args, values, f"{field}.fresh_args"),
                "env": {key: expand_text(text, values, f"{field}.env.{key}") for key, text in run.env.items()},
                "cwd": str(cwd / expand_text(run.cwd or ".", values, f"{field}.cwd")),
            }
        )
    return plan.model_copy(update={"runs": runs})
