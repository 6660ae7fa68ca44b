"""From a run with a matrix to one run for each combination of its values. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import product

from ..errors import UserError
from .placeholders import PLACEHOLDER
from .schema import Plan, RunPlan, Value

MAX_RUNS = 256
MAX_NAME = 64
SEED_KEY = "seed"
"""Runs that differ in this key alone repeat one measurement: they form a group."""


class MatrixError(UserError):
    """A matrix that can't be expanded; the message names the field and the remedy."""


def expand_matrices(plan: Plan) -> Plan:
    """The plan without matrices: each run that has one becomes a run for each combination, in its place.

    `{key}` in its command, env, cwd and fresh_args becomes the value. Who waits for it, waits for all of them.

    Raises:
        MatrixError: a key that no argument takes up, names that clash or are too long, too many runs.
    """
    if not any(run.matrix for run in plan.runs.values()):
        return plan
    names: dict[str, list[str]] = {}
    runs: dict[str, RunPlan] = {}
    for name, run in plan.runs.items():
        expanded = _expand_run(name, run) if run.matrix else {name: run}
        for one in expanded:
            if one in runs or (one != name and one in plan.runs):
                raise MatrixError(f"runs.{name}.matrix: there is another run named '{one}'; rename one, or its values")
        names[name] = list(expanded)
        runs |= expanded
    return plan.model_copy(update={"runs": {name: _expand_dependencies(run, names) for name, run in runs.items()}})


def _expand_run(name: str, run: RunPlan) -> dict[str, RunPlan]:
    count = math.prod(len(values) for values in run.matrix.values())
    if count > MAX_RUNS:
        raise MatrixError(f"runs.{name}.matrix: {count} combinations, at most {MAX_RUNS} can be run; give fewer values")
    for key in run.matrix:
        texts = (*run.command, *run.fresh_args, *run.env.values(), run.cwd or "")
        if not any(match[1] == key for text in texts for match in PLACEHOLDER.finditer(text)):
            option = f"--{key.replace('_', '-')}"
            raise MatrixError(f"runs.{name}.matrix.{key}: nothing takes it up, so its runs would all be the same; "
                              f'add "{option}", "{{{key}}}" to the command')  # fmt: skip
    expanded: dict[str, RunPlan] = {}
    for combination in product(*run.matrix.values()):
        values = dict(zip(run.matrix, combination, strict=True))
        one = _run_name(name, values)
        if one in expanded:
            raise MatrixError(f"runs.{name}.matrix: two runs would be called '{one}'; give values that differ")
        if len(one) > MAX_NAME:
            raise MatrixError(f"runs.{name}.matrix: '{one}' is longer than {MAX_NAME} characters; shorten the keys")
        group = _run_name(name, {key: value for key, value in values.items() if key != SEED_KEY})
        expanded[one] = run.model_copy(
            update={
                "command": _fill(run.command, values),
                "fresh_args": _fill(run.fresh_args, values),
                "env": dict(zip(run.env, _fill(tuple(run.env.values()), values), strict=True)),
                "cwd": run.cwd if run.cwd is None else _fill((run.cwd,), values)[0],
                "matrix": {},
                "group": run.group or (group if SEED_KEY in values else None),
            }
        )
    return expanded


def _run_name(base: str, values: Mapping[str, Value]) -> str:
    """`mlp-seed1-learning_rate0.001`; a value that is no number, or would run into the key's own, after a dash."""
    parts = [base]
    for key, value in values.items():
        text = re.sub(r"[^A-Za-z0-9_.-]", "_", str(value))
        parts.append(f"{key}{text}" if text[:1].isdigit() and not key[-1].isdigit() else f"{key}-{text}")
    return "-".join(parts)


def _fill(texts: Sequence[str], values: Mapping[str, Value]) -> tuple[str, ...]:
    """The texts with the placeholders of the matrix filled in; all others stay, for later."""

    def value_of(match: re.Match[str]) -> str:
        if match[1] not in values:
            return match[0]
        return str(values[match[1]]).replace("{", "{{").replace("}", "}}")

    return tuple(PLACEHOLDER.sub(value_of, text) for text in texts)


def _expand_dependencies(run: RunPlan, names: Mapping[str, Sequence[str]]) -> RunPlan:
    """The run, waiting for all that the runs it waits for have become."""
    every = {
        field: tuple(one for name in waited for one in names[name])
        for field, waited in (("after", run.after), ("after_end", run.after_end))
    }
    return run.model_copy(update=every)
