"""Loader of plan files: TOML to a checked `Plan`, with one remedy per error."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from .errors import PlanError, did_you_mean
from .matrix import MatrixError, expand_matrices
from .references import split_dependency
from .rounds import RoundsError, check_rounds, expand_rounds
from .schema import LOCAL, RESERVED_NAMES, RUN_NAME, LauncherName, Plan, RunPlan, SessionPlan

MAX_PLAN = 16 << 20  # bytes


def builtin_plan() -> Plan:
    """Return the pMSSM plan that is part of the package."""
    return parse_plan(
        resources.files(__package__).joinpath("pmssm.toml").read_text(encoding="utf-8"), "the built-in plan"
    )


def load_plan(path: Path) -> Plan:
    """Load and check the plan in a TOML file.

    Matrices and rounds are expanded; placeholders such as `{output}` stay until a session is created.

    Args:
        path: The plan file.

    Returns:
        The checked plan.

    Raises:
        PlanError: The file cannot be read, is not valid TOML, has an unknown key or run, or runs wait for each other.

    Example:
        >>> from pathlib import Path
        >>> from pmssm.supervisor.plan import load_plan
        >>> plan = load_plan(Path("examples/plans/sweep.toml"))
        >>> list(plan.runs)[:2]
        ['prepare', 'mlp-seed1-learning_rate0.0001']
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_PLAN + 1).decode("utf-8")
    except UnicodeDecodeError:
        raise PlanError(f"{path}: not UTF-8 text; a plan is a TOML file") from None
    except OSError as error:
        raise PlanError(f"{path}: cannot read the plan: {error.strerror}") from None
    if len(text) > MAX_PLAN:
        raise PlanError(f"{path}: longer than {MAX_PLAN >> 20} MiB; a plan is a TOML file")
    return parse_plan(text, str(path))


def parse_plan(text: str, source: str) -> Plan:
    """Parse and check the plan in `text`.

    Args:
        text: A plan in TOML.
        source: Name of the plan in errors.

    Raises:
        PlanError: The text is not valid TOML, has an unknown key or run, or runs wait for each other.
    """
    try:
        plan = Plan.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"{source}: not valid TOML: {error}") from None
    except ValidationError as error:
        raise PlanError(f"{source}: {_first_problem(error)}") from None
    _check_names(plan, source)
    try:
        check_rounds(plan)
        plan = expand_rounds(expand_matrices(plan))
    except (MatrixError, RoundsError) as error:
        raise PlanError(f"{source}: {error}") from None
    _check_order(plan, source)
    return plan if plan.session.launcher == LOCAL else with_launcher(plan, plan.session.launcher)


def with_launcher(plan: Plan, launcher: LauncherName) -> Plan:
    """Return the plan with that launcher for each run that names none."""
    runs = {
        name: run if run.launcher is not None else run.model_copy(update={"launcher": launcher})
        for name, run in plan.runs.items()
    }
    return plan.model_copy(update={"runs": runs})


_REMEDIES = {  # by pydantic's type of error, in the terms of TOML
    "missing": "is required",
    "too_short": "must not be empty",
    "string_type": "must be a string, in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "tuple_type": 'must be a list of strings, as in ["one", "two"]',
    "dict_type": 'must be a table, as in {{ name = "value" }}',
    "literal_error": "must be {expected}",
    "model_type": 'must be a table, as in {{ name = "value" }}',
}


def _first_problem(error: ValidationError) -> str:
    problems = error.errors()
    # A misspelt key is reported as unknown, and the correct one as missing: the former helps more.
    problem = next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])
    parts = [str(part) for part in problem["loc"]]
    kinds = {"constrained-int", "literal['none']", "int", "[key]"}  # added by pydantic, not in the file
    field = ".".join(part for part in parts if part not in kinds)
    if problem["type"] == "extra_forbidden":
        return f"{field}: unknown key{did_you_mean(parts[-1], _known_keys(parts))}"
    if field.endswith(".slot"):
        return f'{field}: must be 0, 1, … or "none"; leave it out for any slot'
    if problem["type"] in _REMEDIES:
        return f"{field}: {_REMEDIES[problem['type']].format(**problem.get('ctx', {}))}"
    return f"{field}: {problem['msg'].removeprefix('Value error, ')}"


def _known_keys(location: Sequence[str]) -> Iterable[str]:
    model = Plan if len(location) == 1 else RunPlan if location[0] == "runs" else SessionPlan
    return model.model_fields


def _check_names(plan: Plan, source: str) -> None:
    for name, run in plan.runs.items():
        if not RUN_NAME.fullmatch(name) or name in RESERVED_NAMES:
            raise PlanError(
                f"{source}: runs.{name}: not a usable run name; use letters, digits, '_', '-' and '.', "
                f"at most 64, and none of {', '.join(sorted(RESERVED_NAMES))}"
            )
        for key, dependencies in (("after", run.after), ("after_end", run.after_end)):
            for dependency in dependencies:
                wanted = split_dependency(dependency).run
                if wanted not in plan.runs:
                    hint = did_you_mean(wanted, plan.runs)
                    raise PlanError(f"{source}: runs.{name}.{key}: no run named '{wanted}'{hint}")
        if run.rerun and not run.after_end:
            raise PlanError(f"{source}: runs.{name}.rerun: needs after_end, the runs after which it starts again")


def _check_order(plan: Plan, source: str) -> None:
    try:
        TopologicalSorter({name: run.waits_for for name, run in plan.runs.items()}).prepare()
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise PlanError(f"{source}: runs wait for each other in a circle: {circle}; remove one 'after'") from None


def dump_plan(plan: Plan) -> str:
    """Return the plan as TOML, from which `load_plan` reads an equal plan.

    Empty lists and tables are left out: with thousands of runs, they would be half of what each client parses.
    """
    import tomli_w  # noqa: PLC0415 - only the start of a session needs it

    content = plan.model_dump(mode="json", exclude_none=True)
    content["runs"] = {name: _without_empty(run) for name, run in content["runs"].items()}
    return tomli_w.dumps(content, multiline_strings=False)


def _without_empty(run: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in run.items() if value is not False and value not in ([], {})}
