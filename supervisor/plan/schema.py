"""Pydantic models of a plan file, and the checks of their fields."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from .placeholders import OWN_PLACEHOLDERS

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
RESERVED_NAMES = frozenset(  # names of files and folders beside the runs' own
    {"data", "session", "training", "plan.toml", "settings.json", "journal.jsonl", "summary.json", "engine.log"}
)
MAX_GRACE_S = 86_400
ENV_NAME = re.compile(r"[^=\0]+")


def _check_pattern(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if not groups:
        raise ValueError("has no named group such as (?P<epoch>\\d+)")
    return pattern


def _reject_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("has a NUL character, which no argument can contain")
    return text


def _check_variable_name(name: str) -> str:
    if not ENV_NAME.fullmatch(name):
        raise ValueError("not a name for an environment variable")
    return name


def _check_group_name(name: str) -> str:
    if not RUN_NAME.fullmatch(name):
        raise ValueError("not a usable name; use letters, digits, '_', '-' and '.', at most 64")
    return name


Text = Annotated[str, AfterValidator(_reject_nul)]
Variable = Annotated[str, AfterValidator(_check_variable_name)]
Value = str | int | float
Matrix = Mapping[str, tuple[Value, ...]]


def validate_matrix(given: object) -> dict[str, tuple[Value, ...]]:
    """Check the matrix of a plan file and return it with tuples for lists.

    Raises:
        ValueError: It is not a table of lists of texts and finite numbers.
    """
    if not isinstance(given, Mapping):
        raise ValueError("must be a table of lists, as in matrix.seed = [1, 2, 3]")
    for key, values in given.items():
        if not re.fullmatch(r"[A-Za-z_]\w*", key, re.ASCII):
            raise ValueError(f"'{key}' can't be a placeholder; use letters, digits and '_'")
        if key in OWN_PLACEHOLDERS:
            raise ValueError(f"'{key}' is a placeholder with a meaning of its own; choose another name")
        if not isinstance(values, list | tuple):
            raise ValueError(f"{key} must be a list, as in matrix.{key} = [1, 2, 3]")
        if not values:
            raise ValueError(f"{key} is empty, so there would be no run; give a value, or remove it")
        for value in values:
            if isinstance(value, bool) or not isinstance(value, Value) or not math.isfinite(_number(value)):
                raise ValueError(f"{key}: {value!r} is neither a text nor a finite number")
    return {key: tuple(values) for key, values in given.items()}


def _number(value: str | int | float) -> float:
    return 0.0 if isinstance(value, str | int) else value


class RunPlan(BaseModel):
    """One run: its command, dependencies, slot and retries.

    Attributes:
        command: Program and arguments, with placeholders.
        after: Runs that must have succeeded before this one starts.
        after_end: Runs that must have ended before this one starts, successful or not.
        matrix: Values of placeholders; the run is expanded to one run for each combination.
        group: Runs of one group are summarized as mean and standard deviation.
        slot: Number of the slot, "none" to run without one, None for any slot.
        gpu_memory_mib: Memory that the run is expected to need on a GPU, MiB.
        stop_grace_s: Seconds between SIGTERM and SIGKILL.
        env: Environment variables, added to those of the user's shell.
        cwd: Working folder; by default the folder where the session was started.
        progress: Regular expression whose named groups are numbers of a log line, such as `epoch` and `train_loss`.
        fresh_args: Arguments that make the command start from scratch instead of from its checkpoint.
        retries: New attempts after crashes.
        retry_exit_codes: Exit codes that are crashes; death by a signal always is one.
        retry_delay_s: Seconds before the first retry; the delay doubles with each retry.
        stall_after_s: Seconds without output after which the run counts as stalled; None: from its own pace.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: tuple[Text, ...] = Field(min_length=1)
    after: tuple[str, ...] = ()
    after_end: tuple[str, ...] = ()
    matrix: Annotated[dict[str, tuple[Value, ...]], BeforeValidator(validate_matrix)] = Field(default_factory=dict)
    group: Annotated[str, AfterValidator(_check_group_name)] | None = None
    slot: Annotated[int, Field(ge=0, strict=True)] | Literal["none"] | None = None
    gpu_memory_mib: int | None = Field(default=None, ge=0, strict=True)
    stop_grace_s: float = Field(default=30.0, ge=0, le=MAX_GRACE_S, strict=True)
    env: dict[Variable, Text] = Field(default_factory=dict)
    cwd: Text | None = None
    progress: Annotated[str, AfterValidator(_check_pattern)] | None = None
    fresh_args: tuple[Text, ...] = ()
    retries: int = Field(default=0, ge=0)
    retry_exit_codes: tuple[Annotated[int, Field(ge=1, le=255)], ...] = ()
    retry_delay_s: float = Field(default=10.0, ge=0, le=86_400)
    stall_after_s: float | None = Field(default=None, gt=0)

    @property
    def takes_slot(self) -> bool:
        """True if the run occupies a slot; one that does not starts at once and sees no GPU."""
        return self.slot != "none"

    @property
    def has_metrics(self) -> bool:
        """True if its log reports more than progress, for example losses."""
        return self.progress is not None and not re.compile(self.progress).groupindex.keys() <= {"epoch", "epochs"}

    @property
    def waits_for(self) -> tuple[str, ...]:
        """All runs that must end before this one starts."""
        return (*self.after, *self.after_end)


class SessionPlan(BaseModel):
    """The settings of the session as a whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="session", min_length=1, max_length=64)


class Plan(BaseModel):
    """All runs of a session; their order in the file is their order of precedence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: SessionPlan = SessionPlan()
    runs: dict[str, RunPlan] = Field(min_length=1)

    @cached_property
    def dependencies_first(self) -> tuple[str, ...]:
        """The names of all runs, each after its dependencies."""
        return tuple(TopologicalSorter({name: run.waits_for for name, run in self.runs.items()}).static_order())
