"""Expansion of a run with a matrix into one run for each combination of its values. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product

from ..errors import UserError
from .placeholders import PLACEHOLDER
from .references import Reference, map_texts, references, replace_references, texts_of
from .schema import Plan, RunPlan, Value

Values = Mapping[str, Value]

MAX_RUNS = 256
MAX_NAME = 64
SEED_KEY = "seed"
"""Runs that differ only in this key repeat one measurement and form a group."""


class MatrixError(UserError):
    """A matrix that cannot be expanded; the message names the field and the remedy."""


def expand_matrices(plan: Plan) -> Plan:
    """Replace each run that has a matrix by one run for each combination of values.

    `{key}` in its command, env, cwd, fresh_args and later_args becomes the value. A run that waits for it waits for
    all of them; a run with `each_round` only for those that have the same values.

    Raises:
        MatrixError: No argument uses a key, names clash or are too long, or there are too many combinations.
    """
    if not any(run.matrix for run in plan.runs.values()):
        return plan
    names: dict[str, dict[str, Values]] = {}
    runs: dict[str, RunPlan] = {}
    for name, run in plan.runs.items():
        expanded = _expand_run(name, run) if run.matrix else {name: (run, {})}
        for one in expanded:
            if one in runs or (one != name and one in plan.runs):
                raise MatrixError(f"runs.{name}.matrix: there is another run named '{one}'; rename one, or its values")
        names[name] = {one: values for one, (_, values) in expanded.items()}
        runs |= {one: expanded_run for one, (expanded_run, _) in expanded.items()}
    connected = {
        one: _connect(name, runs[one], values, names) for name, ones in names.items() for one, values in ones.items()
    }
    return plan.model_copy(update={"runs": connected})


def _expand_run(name: str, run: RunPlan) -> dict[str, tuple[RunPlan, Values]]:
    """Return one run for each combination of the matrix, with its values, by name."""
    _check_matrix(name, run)
    expanded: dict[str, tuple[RunPlan, Values]] = {}
    for combination in product(*run.matrix.values()):
        values: Values = dict(zip(run.matrix, combination, strict=True))
        full_name = _run_name(name, values)
        if full_name in expanded:
            raise MatrixError(f"runs.{name}.matrix: two runs would be called '{full_name}'; give values that differ")
        if len(full_name) > MAX_NAME:
            raise MatrixError(
                f"runs.{name}.matrix: '{full_name}' is longer than {MAX_NAME} characters; shorten the keys"
            )
        group = _run_name(name, {key: value for key, value in values.items() if key != SEED_KEY})
        copy = run.model_copy(
            update={
                **map_texts(run, partial(_fill, values=values)),
                "matrix": {},
                "group": run.group or (group if SEED_KEY in values else None),
                "chain": _run_name("", values).removeprefix("-") if run.each_round else None,
            }
        )
        expanded[full_name] = copy, values
    return expanded


def _check_matrix(name: str, run: RunPlan) -> None:
    """Raise MatrixError for too many combinations, or a key that no argument uses."""
    count = math.prod(len(values) for values in run.matrix.values())
    if count > MAX_RUNS:
        raise MatrixError(f"runs.{name}.matrix: has {count} combinations, more than {MAX_RUNS}; give fewer values")
    for key in run.matrix:
        texts = texts_of(run)
        used = any(match[1] == key for text in texts for match in PLACEHOLDER.finditer(text))
        if not used and not references(texts):  # a reference is to the run with the same values
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


def _connect(base: str, run: RunPlan, values: Values, names: Mapping[str, Mapping[str, Values]]) -> RunPlan:
    """Replace each dependency and reference by the runs that its matrix expanded to.

    A run with `each_round` is connected to the runs of its own chain: those whose values agree with its own.
    """

    def matches(field: str, name: str) -> list[str]:
        if not run.each_round:
            return list(names[name])
        found = [one for one, others in names[name].items() if _agree(values, others)]
        if not found:
            own = ", ".join(f"{key} {value}" for key, value in values.items())
            raise MatrixError(f"runs.{base}.{field}: no run of '{name}' has {own}; give both the same values")
        return found

    def dependencies(field: str) -> tuple[str, ...]:
        parts = [text.partition("@") for text in getattr(run, field)]
        return tuple(f"{one}{at}{when}" for name, at, when in parts for one in matches(field, name))

    def one_line(reference: Reference) -> str:
        if not reference.run:
            return str(reference)
        found = matches("command", reference.run)
        if len(found) > 1:
            raise MatrixError(f"runs.{base}: '{reference}' could be any of {', '.join(found[:3])}; give this run the "
                              f"matrix of '{reference.run}'")  # fmt: skip
        return str(reference._replace(run=found[0]))

    return run.model_copy(
        update={
            **map_texts(run, lambda texts: replace_references(texts, one_line)),
            "after": dependencies("after"),
            "after_end": dependencies("after_end"),
        }
    )


def _agree(one: Values, other: Values) -> bool:
    return all(one[key] == other[key] for key in one.keys() & other.keys())
