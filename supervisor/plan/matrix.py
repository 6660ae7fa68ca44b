"""Expansion of a run with a matrix into one run for each combination of its values. Pure."""

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
"""Runs that differ only in this key repeat one measurement and form a group."""


class MatrixError(UserError):
    """A matrix that cannot be expanded; the message names the field and the remedy."""


def expand_matrices(plan: Plan) -> Plan:
    """Replace each run that has a matrix by one run for each combination of values.

    `{key}` in its command, env, cwd and fresh_args becomes the value. A run that waits for it waits for all of them.

    Raises:
        MatrixError: No argument uses a key, names clash or are too long, or there are too many combinations.
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
    """Return one run for each combination of the matrix, by name."""
    _check_matrix(name, run)
    expanded: dict[str, RunPlan] = {}
    for combination in product(*run.matrix.values()):
        values = dict(zip(run.matrix, combination, strict=True))
        full_name = _run_name(name, values)
        if full_name in expanded:
            raise MatrixError(f"runs.{name}.matrix: two runs would be called '{full_name}'; give values that differ")
        if len(full_name) > MAX_NAME:
            raise MatrixError(
                f"runs.{name}.matrix: '{full_name}' is longer than {MAX_NAME} characters; shorten the keys"
            )
        group = _run_name(name, {key: value for key, value in values.items() if key != SEED_KEY})
        expanded[full_name] = run.model_copy(
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


def _check_matrix(name: str, run: RunPlan) -> None:
    """Raise MatrixError for too many combinations, or a key that no argument uses."""
    count = math.prod(len(values) for values in run.matrix.values())
    if count > MAX_RUNS:
        raise MatrixError(f"runs.{name}.matrix: has {count} combinations, more than {MAX_RUNS}; give fewer values")
    for key in run.matrix:
        texts = (*run.command, *run.fresh_args, *run.env.values(), run.cwd or "")
        if not any(match[1] == key for text in texts for match in PLACEHOLDER.finditer(text)):
            option = f"--{key.replace('_', '-')}"
            raise MatrixError(f"runs.{name}.matrix.{key}: no argument uses it, so all its runs would be identical; "
                              f'add "{option}", "{{{key}}}" to the command')  # fmt: skip


def _run_name(base: str, values: Mapping[str, Value]) -> str:
    """Return a name such as `mlp-seed1-learning_rate0.001`.

    A dash separates key and value where the value is no number, or the key ends in a digit.
    """
    parts = [base]
    for key, value in values.items():
        text = re.sub(r"[^A-Za-z0-9_.-]", "_", str(value))
        parts.append(f"{key}{text}" if text[:1].isdigit() and not key[-1].isdigit() else f"{key}-{text}")
    return "-".join(parts)


def _fill(texts: Sequence[str], values: Mapping[str, Value]) -> tuple[str, ...]:
    """Substitute the placeholders of the matrix; all others stay for later."""

    def value_of(match: re.Match[str]) -> str:
        if match[1] not in values:
            return match[0]
        return str(values[match[1]]).replace("{", "{{").replace("}", "}}")

    return tuple(PLACEHOLDER.sub(value_of, text) for text in texts)


def _expand_dependencies(run: RunPlan, names: Mapping[str, Sequence[str]]) -> RunPlan:
    """Replace each dependency by the runs that its matrix expanded to."""
    expanded = {
        field: tuple(one for name in dependencies for one in names[name])
        for field, dependencies in (("after", run.after), ("after_end", run.after_end))
    }
    return run.model_copy(update=expanded)
