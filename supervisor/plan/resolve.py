"""Fill the placeholders of a plan for one session."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .placeholders import Placeholders, expand_arguments, expand_text
from .schema import Plan


def fill_placeholders(
    plan: Plan, common: Placeholders, per_run: Mapping[str, Placeholders], *, cwd: Path, source: str
) -> Plan:
    """The plan with every placeholder filled in and every `cwd` absolute; `source` names the plan in errors.

    A placeholder that stands for a list must be a whole argument; it becomes as many arguments as the list has.

    Raises:
        PlanError: unknown placeholder, single brace, a list inside an argument.
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
