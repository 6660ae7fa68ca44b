"""Pydantic models of a plan file, and the checks of their fields."""

from __future__ import annotations

import json
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
MAX_CONTINUATIONS = 10_000
LauncherName = Literal["local", "slurm"]
LOCAL: LauncherName = "local"
SLURM: LauncherName = "slurm"
KEEP = re.compile(r"last ([1-9][0-9]{0,2})")
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


def _check_keep(keep: str) -> str:
    if not KEEP.fullmatch(keep):
        raise ValueError('must be "last N" with N of at least 1, as in keep = "last 3"')
    return keep


def _check_group_name(name: str) -> str:
    if not RUN_NAME.fullmatch(name):
        raise ValueError("not a usable name; use letters, digits, '_', '-' and '.', at most 64")
    return name


Text = Annotated[str, AfterValidator(_reject_nul)]
Variable = Annotated[str, AfterValidator(_check_variable_name)]
Value = str | int | float
Matrix = Mapping[str, tuple[Value, ...]]
SlurmTable = dict[str, object]  # its keys and values are checked by launchers.slurm.settings


def validate_matrix(given: object) -> dict[str, tuple[Value, ...]]:
    """Check the matrix of a plan file and return it with tuples for lists, and texts for booleans.

    Raises:
        ValueError: It is not a table of lists of texts, finite numbers and booleans.
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
            if not isinstance(value, Value) or not math.isfinite(_number(value)):
                raise ValueError(f"{key}: {value!r} is not a text, a finite number, true or false")
    return {key: tuple(map(_boolean_as_text, values)) for key, values in given.items()}


def _boolean_as_text(value: Value) -> Value:
    """Return `true` or `false` for a boolean, as TOML spells them."""
    return str(value).lower() if isinstance(value, bool) else value


def _check_settings(given: object) -> object:
    if not isinstance(given, Mapping):
        raise ValueError('must be a table of settings, as in { partition = "gpu", time = "24:00:00" }')
    return dict(given)


def _number(value: str | int | float) -> float:
    return 0.0 if isinstance(value, str | int) else value


class RunPlan(BaseModel):
    """One run: its command, dependencies, slot and retries.

    The descriptions of the fields are also the reference page of the plan file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    command: tuple[Text, ...] = Field(min_length=1, description="Program and arguments; never given to a shell.")
    after: tuple[str, ...] = Field(
        default=(), description="Runs that must have exited with code 0 before this one starts."
    )
    after_end: tuple[str, ...] = Field(
        default=(), description="Runs that must have ended, successful or not, before this one starts."
    )
    rerun: bool = Field(
        default=False,
        strict=True,
        description="Whether this run starts again when a run in `after_end` was started again.",
    )
    matrix: Annotated[dict[str, tuple[Value, ...]], BeforeValidator(validate_matrix)] = Field(
        default_factory=dict,
        description="Lists of values by name. Each combination becomes one run, at most 256. "
        "A boolean becomes the string `true` or `false`.",
    )
    each_round: bool = Field(
        default=False,
        strict=True,
        description="Whether this run is repeated in each round of the session.",
    )
    later_args: tuple[Text, ...] = Field(
        default=(),
        description="Arguments added from the second round on. Only they may use `{previous}` and `{NAME@previous}`.",
    )
    keep: Annotated[str, AfterValidator(_check_keep)] | None = Field(
        default=None,
        description='`"last 3"`: the last 3 rounds of this run keep their files named `checkpoint*`. Older files are '
        "deleted when a round has succeeded. Default: none is deleted.",
    )
    stop_when: tuple[Annotated[int, Field(ge=1, le=255)], ...] = Field(
        default=(),
        description="Exit codes that count as success and end the chain. Its later rounds are skipped.",
    )
    round: int | None = Field(default=None, ge=1, strict=True, description="Number of the round. Set by `each_round`.")
    line: str | None = Field(default=None, description="Name that all rounds of a run share. Set by `each_round`.")
    chain: str | None = Field(
        default=None, description="Values of the matrix that the runs of a chain share. Set by `each_round`."
    )
    group: Annotated[str, AfterValidator(_check_group_name)] | None = Field(
        default=None, description="Name of a group. Tables also show mean ± standard deviation of its results."
    )
    slot: Annotated[int, Field(ge=0, strict=True)] | Literal["none"] | None = Field(
        default=None,
        description="Preferred slot, modulo the number of slots. "
        '`"none"`: the run needs no slot, starts at once and sees no GPU. Default: any free slot.',
    )
    gpu_memory_mib: int | None = Field(
        default=None,
        ge=0,
        strict=True,
        description="Expected GPU memory, MiB. A GPU with less free memory is not chosen. `--share-gpu` adds the "
        "values of all runs on a GPU.",
    )
    stop_grace_s: float = Field(
        default=30.0, ge=0, le=MAX_GRACE_S, strict=True, description="Time between SIGTERM and SIGKILL, s."
    )
    env: dict[Variable, Text] = Field(
        default_factory=dict, description="Environment variables, added to those of the user's shell."
    )
    cwd: Text | None = Field(
        default=None, description="Working folder. Default: the folder where the session was started."
    )
    progress: Annotated[str, AfterValidator(_check_pattern)] | None = Field(
        default=None,
        description="Regular expression with named groups, searched for in each line of the log. "
        "Groups `epoch`, `epochs`, `train_loss` and `val_loss` feed the progress bar and the curves.",
    )
    fresh_args: tuple[Text, ...] = Field(
        default=(), description="Arguments added by `restart --fresh`. Without them, `--fresh` is refused."
    )
    retries: int = Field(default=0, ge=0, description="Most new attempts after crashes.")
    retry_exit_codes: tuple[Annotated[int, Field(ge=1, le=255)], ...] = Field(
        default=(), description="Exit codes that count as a crash. A signal and an unknown end (`lost`) always do."
    )
    retry_delay_s: float = Field(
        default=10.0, ge=0, le=86_400, description="Delay before the first retry, s. It doubles each time."
    )
    stall_after_s: float | None = Field(
        default=None,
        gt=0,
        description="Silence after which a run is stalled, s. Default: 20 times its time per epoch, at least 120.",
    )
    launcher: LauncherName | None = Field(
        default=None,
        description='Where the run is started: `"local"`, on this machine, or `"slurm"`, as a job. '
        "Default: the launcher of the session.",
    )
    slurm: Annotated[SlurmTable, BeforeValidator(_check_settings)] = Field(
        default_factory=dict, description="Settings of the job of this run. They replace those of the table `[slurm]`."
    )
    continuations: int | None = Field(
        default=None,
        ge=0,
        le=MAX_CONTINUATIONS,
        strict=True,
        description="Most new jobs after interruptions, such as a time limit. Default: that of the session.",
    )

    @property
    def kept_rounds(self) -> int | None:
        """How many rounds keep their checkpoints; None: all."""
        match = KEEP.fullmatch(self.keep or "")
        return int(match[1]) if match else None

    @property
    def is_local(self) -> bool:
        """True if the run is started on this machine."""
        return self.launcher in (None, LOCAL)

    @property
    def wants_gpu(self) -> bool:
        """True if the run uses a GPU where there is one."""
        return self.slot != "none"

    @property
    def bundle(self) -> int:
        """How many runs of equal settings may share one job of a batch system."""
        bundle = self.slurm.get("bundle")
        return bundle if isinstance(bundle, int) else 1

    @property
    def job_settings(self) -> str:
        """What a job is asked for; runs that differ in this never share one."""
        return json.dumps((self.wants_gpu, self.slurm), sort_keys=True)

    @property
    def takes_slot(self) -> bool:
        """True if the run occupies a slot of this machine; a local run that does not starts at once and sees no GPU."""
        return self.wants_gpu and self.is_local

    @property
    def progress_groups(self) -> frozenset[str]:
        """The names of the numbers that its log reports; empty without a pattern."""
        return frozenset(re.compile(self.progress).groupindex) if self.progress is not None else frozenset()

    @property
    def has_metrics(self) -> bool:
        """True if its log reports more than progress, for example losses."""
        return not self.progress_groups <= {"epoch", "epochs"}

    @property
    def can_resume(self) -> bool:
        """True if it may have a checkpoint: it reports losses, or there are arguments to start it from scratch."""
        return bool(self.fresh_args) or self.has_metrics

    @property
    def waits_for(self) -> tuple[str, ...]:
        """All runs that must end before this one starts."""
        return (*self.after, *self.after_end)


class SessionPlan(BaseModel):
    """The settings of the session as a whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="session", min_length=1, max_length=64, description="Name shown beside the stamp.")
    rounds: int | None = Field(
        default=None, ge=1, le=999, strict=True, description="Number of rounds of the runs with `each_round`."
    )
    launcher: LauncherName = Field(
        default=LOCAL, description="Where runs without their own `launcher` are started. `--launcher` replaces it."
    )
    continuations: int = Field(
        default=20,
        ge=0,
        le=MAX_CONTINUATIONS,
        strict=True,
        description="Most new jobs of each run after interruptions: a time limit, a preemption, a lost node.",
    )
    native_dependencies: bool = Field(
        default=False,
        strict=True,
        description="Whether a job is submitted as soon as the jobs that it waits for are submitted. Slurm starts it "
        "after them. `--native-dependencies` sets it.",
    )


class Plan(BaseModel):
    """All runs of a session; their order in the file is their order of precedence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: SessionPlan = SessionPlan()
    slurm: Annotated[SlurmTable, BeforeValidator(_check_settings)] = Field(default_factory=dict)
    runs: dict[str, RunPlan] = Field(min_length=1)

    def continuations(self, run: str) -> int:
        """Return how often a run continues in a new job after an interruption."""
        own = self.runs[run].continuations
        return self.session.continuations if own is None else own

    @cached_property
    def chain_enders(self) -> tuple[str, ...]:
        """The names of all runs that may end their chain."""
        return tuple(name for name, run in self.runs.items() if run.stop_when)

    @cached_property
    def dependencies_first(self) -> tuple[str, ...]:
        """The names of all runs, each after its dependencies."""
        return tuple(TopologicalSorter({name: run.waits_for for name, run in self.runs.items()}).static_order())
