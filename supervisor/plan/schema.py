"""The plan file: what to run, after what, and where."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import tomli_w
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .matrix import MatrixError, Value, checked_matrix, expand_matrices

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
RESERVED_NAMES = frozenset(  # names of files and folders beside the runs' own
    {"data", "session", "training", "plan.toml", "settings.json", "journal.jsonl", "summary.json", "engine.log"}
)
MAX_PLAN = 16 << 20  # bytes
MAX_GRACE_S = 86_400
ENV_NAME = re.compile(r"[^=\0]+")
PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(\w+)\}|[{}]")

Placeholders = Mapping[str, str | Sequence[str]]


class PlanError(ValueError):
    """A plan that can't be used; the message names file, field and remedy on one line."""

    def __init__(self, message: str) -> None:
        """Spells out characters that would break the line or steer the terminal: a key may be any text."""
        super().__init__("".join(char if char.isprintable() else repr(char)[1:-1] for char in message))


def _compiled(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if not groups:
        raise ValueError("has no named group such as (?P<epoch>\\d+)")
    return pattern


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("has a NUL character, which no program can be given")
    return text


def _variable(name: str) -> str:
    if not ENV_NAME.fullmatch(name):
        raise ValueError("not a name for an environment variable")
    return name


def _group(name: str) -> str:
    if not RUN_NAME.fullmatch(name):
        raise ValueError("not a usable name; use letters, digits, '_', '-' and '.', at most 64")
    return name


Text = Annotated[str, AfterValidator(_without_nul)]
Variable = Annotated[str, AfterValidator(_variable)]


class RunPlan(BaseModel):
    """One run: a command, what it waits for, and where it wants to run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: tuple[Text, ...] = Field(min_length=1)
    after: tuple[str, ...] = ()  # all of these must have succeeded
    after_end: tuple[str, ...] = ()  # all of these must have ended, however
    matrix: Annotated[dict[str, tuple[Value, ...]], BeforeValidator(checked_matrix)] = Field(default_factory=dict)
    group: Annotated[str, AfterValidator(_group)] | None = None  # whose results are summed up as mean and deviation
    slot: Annotated[int, Field(ge=0, strict=True)] | Literal["none"] | None = None
    gpu_memory_mib: int | None = Field(default=None, ge=0, strict=True)
    stop_grace_s: float = Field(default=30.0, ge=0, le=MAX_GRACE_S, strict=True)
    env: dict[Variable, Text] = Field(default_factory=dict)
    cwd: Text | None = None
    progress: Annotated[str, AfterValidator(_compiled)] | None = None
    fresh_args: tuple[Text, ...] = ()
    retries: int = Field(default=0, ge=0)  # new attempts after crashes
    retry_exit_codes: tuple[Annotated[int, Field(ge=1, le=255)], ...] = ()  # that are crashes, as every signal is
    retry_delay_s: float = Field(default=10.0, ge=0, le=86_400)  # before the first retry; doubles each time
    stall_after_s: float | None = Field(default=None, gt=0)  # silence that counts as stalled; None: from its own pace

    @property
    def takes_slot(self) -> bool:
        """Whether the run occupies a slot; one that does not runs at once and sees no GPU."""
        return self.slot != "none"

    @property
    def has_metrics(self) -> bool:
        """Whether its log tells of more than how far it is: of losses, say."""
        return self.progress is not None and not re.compile(self.progress).groupindex.keys() <= {"epoch", "epochs"}

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Every run that must come before this one."""
        return (*self.after, *self.after_end)


class SessionPlan(BaseModel):
    """What concerns the session as a whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="session", min_length=1, max_length=64)


class Plan(BaseModel):
    """All runs of a session, in the order of the file, which is also their order of precedence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: SessionPlan = SessionPlan()
    runs: dict[str, RunPlan] = Field(min_length=1)

    @cached_property
    def dependencies_first(self) -> tuple[str, ...]:
        """The names of all runs, each after those that it waits for."""
        return tuple(TopologicalSorter({name: run.waits_for for name, run in self.runs.items()}).static_order())


def builtin_plan() -> Plan:
    """The pMSSM plan that ships inside the package."""
    return parse_plan(resources.files(__package__).joinpath("pmssm.toml").read_text(), "the built-in plan")


def load_plan(path: Path) -> Plan:
    """The checked plan of a TOML file.

    Raises:
        PlanError: unreadable file, bad TOML, unknown key, unknown run, cycle.
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
    """The checked plan in `text`; `source` names it in errors.

    Raises:
        PlanError: bad TOML, unknown key, unknown run, cycle.
    """
    try:
        plan = Plan.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"{source}: not valid TOML: {error}") from None
    except ValidationError as error:
        raise PlanError(f"{source}: {_first_problem(error)}") from None
    _check_names(plan, source)
    try:
        plan = expand_matrices(plan)
    except MatrixError as error:
        raise PlanError(f"{source}: {error}") from None
    _check_order(plan, source)
    return plan


_REMEDIES = {  # pydantic's words for programmers, in those of TOML
    "missing": "is required",
    "too_short": "must not be empty",
    "string_type": "must be a string, in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "tuple_type": 'must be a list of strings, as in ["one", "two"]',
    "dict_type": 'must be a table, as in {{ name = "value" }}',
    "model_type": 'must be a table, as in {{ name = "value" }}',
}


def _first_problem(error: ValidationError) -> str:
    problems = error.errors()
    # A misspelt key is unknown, and the right one missing: the former says more.
    problem = next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])
    parts = [str(part) for part in problem["loc"]]
    kinds = {"constrained-int", "literal['none']", "int", "[key]"}  # pydantic's words, not the file's
    field = ".".join(part for part in parts if part not in kinds)
    if problem["type"] == "extra_forbidden":
        return f"{field}: unknown key{_did_you_mean(parts[-1], _known_keys(parts))}"
    if field.endswith(".slot"):
        return f'{field}: must be 0, 1, … or "none"; leave it out for any slot'
    if problem["type"] in _REMEDIES:
        return f"{field}: {_REMEDIES[problem['type']].format(**problem.get('ctx', {}))}"
    return f"{field}: {problem['msg'].removeprefix('Value error, ')}"


def _known_keys(location: Sequence[str]) -> Iterable[str]:
    model = Plan if len(location) == 1 else RunPlan if location[0] == "runs" else SessionPlan
    return model.model_fields


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else f"; known are {', '.join(sorted(known))}"


def _check_names(plan: Plan, source: str) -> None:
    for name, run in plan.runs.items():
        if not RUN_NAME.fullmatch(name) or name in RESERVED_NAMES:
            raise PlanError(
                f"{source}: runs.{name}: not a usable run name; use letters, digits, '_', '-' and '.', "
                f"at most 64, and none of {', '.join(sorted(RESERVED_NAMES))}"
            )
        for key, dependencies in (("after", run.after), ("after_end", run.after_end)):
            for dependency in dependencies:
                if dependency not in plan.runs:
                    hint = _did_you_mean(dependency, plan.runs)
                    raise PlanError(f"{source}: runs.{name}.{key}: no run named '{dependency}'{hint}")


def _check_order(plan: Plan, source: str) -> None:
    try:
        TopologicalSorter({name: run.waits_for for name, run in plan.runs.items()}).prepare()
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise PlanError(f"{source}: runs wait for each other in a circle: {circle}; remove one 'after'") from None


def expand_plan(
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
                "command": _expand_arguments(run.command, values, f"{field}.command"),
                "fresh_args": _expand_arguments(run.fresh_args, values, f"{field}.fresh_args"),
                "env": {key: _expand_text(text, values, f"{field}.env.{key}") for key, text in run.env.items()},
                "cwd": str(cwd / _expand_text(run.cwd or ".", values, f"{field}.cwd")),
            }
        )
    return plan.model_copy(update={"runs": runs})


def _expand_arguments(arguments: Sequence[str], values: Placeholders, field: str) -> tuple[str, ...]:
    expanded: list[str] = []
    for argument in arguments:
        name = argument[1:-1] if re.fullmatch(r"\{\w+\}", argument) else ""
        value = values.get(name)
        if value is not None and not isinstance(value, str):
            expanded.extend(value)
        else:
            expanded.append(_expand_text(argument, values, field))
    return tuple(expanded)


def _expand_text(text: str, values: Placeholders, field: str) -> str:
    def value_of(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        if match[1] is None:
            raise PlanError(f"{field}: single '{match[0]}' in {text!r}; write '{match[0] * 2}' for a brace")
        value = values.get(match[1])
        if value is None:
            raise PlanError(f"{field}: unknown placeholder '{match[0]}'{_did_you_mean(match[1], values)}")
        if not isinstance(value, str):
            raise PlanError(f"{field}: '{match[0]}' stands for several arguments; make it an argument of its own")
        return value

    return PLACEHOLDER.sub(value_of, text)


def dump_plan(plan: Plan) -> str:
    """The plan as TOML that `load_plan` reads back to an equal plan."""
    return tomli_w.dumps(plan.model_dump(mode="json", exclude_none=True), multiline_strings=False)
