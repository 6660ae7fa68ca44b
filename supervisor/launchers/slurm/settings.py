"""What a user asks of Slurm: the `[slurm]` table of a plan, profiles, and `--slurm key=value`."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from .errors import SettingsError

MAX_FILE = 1 << 20  # bytes
MAX_SIGNAL_S = 65_535  # Slurm's own limit
MAX_BUNDLE = 64  # runs in one job
NUMBERS = ("bundle", "cpus", "signal_s")  # all other settings are texts
_TIME = re.compile(
    r"\d{1,7}|\d{1,7}:[0-5]?\d(:[0-5]?\d)?|\d{1,5}-\d{1,2}(:[0-5]?\d){0,2}|infinite|unlimited", re.IGNORECASE
)
_MEMORY = re.compile(r"\d{1,12}[KMGT]?B?", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z0-9_.@:,+%-]{1,200}")
_ONE_GRES = r"(?:gres[:/])?[A-Za-z0-9_.]+(?:[:=][A-Za-z0-9_.-]+){0,2}"
_GRES = re.compile(f"none|{_ONE_GRES}(?:,{_ONE_GRES})*")
# Options that the launcher itself sets: the way back to the job depends on them.
_OURS = frozenset(
    (
        *("array", "chdir", "comment", "dependency", "error", "export", "export-file", "input", "job-name", "nodes"),
        *("kill-on-invalid-dep", "no-requeue", "ntasks", "open-mode", "output", "parsable", "requeue", "signal"),
        *("test-only", "wait", "wrap"),
        *("a", "d", "D", "e", "i", "J", "n", "N", "o", "W"),
    )
)


def _line(text: str) -> str:
    if any(not char.isprintable() for char in text):
        raise ValueError("holds a line break or another character that cannot be printed")
    return text


def _word(text: str) -> str:
    if not _WORD.fullmatch(text) or text.startswith("-"):
        raise ValueError("must be one word of letters, digits and . , : @ + % _ -")
    return text


def _time(text: str) -> str:
    if not _TIME.fullmatch(text):
        raise ValueError("must be a time such as 90 (minutes), 24:00:00 or 2-00:00:00")
    return text


def _memory(text: str) -> str:
    if not _MEMORY.fullmatch(text):
        raise ValueError('must be an amount of memory such as "16G"')
    return text


def _gres(text: str) -> str:
    if not _GRES.fullmatch(text):
        raise ValueError('must be a resource and a number, such as "gpu:1", or "none"')
    return text


def _option(text: str) -> str:
    name = _line(text).lstrip("-").partition("=")[0]
    if not re.fullmatch(r"--[a-z][a-z0-9-]*(=.*)?|-[A-Za-z]\S*", text):
        raise ValueError('must be options of sbatch, one a text, such as "--exclusive" or "--nodelist=n1"')
    if name[:1] in _OURS if not text.startswith("--") else any(ours.startswith(name) for ours in _OURS):
        raise ValueError(f"{text.partition('=')[0]} is set by the launcher; leave it out")
    return text


Word = Annotated[str, AfterValidator(_word)]
Line = Annotated[str, AfterValidator(_line), Field(min_length=1, max_length=4000)]


class SlurmSettings(BaseModel):
    """Options of one job; None leaves an option to the site's default.

    The descriptions of the fields are also the reference page of the plan file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    partition: Word | None = Field(default=None, description="Partition, or several with commas.")
    account: Word | None = Field(default=None, description="Account that pays for the job.")
    qos: Word | None = Field(default=None, description="Quality of service.")
    time: Annotated[str, AfterValidator(_time)] | None = Field(
        default=None, description='Time limit, such as `"90"` (minutes), `"24:00:00"` or `"2-00:00:00"`.'
    )
    gres: Annotated[str, AfterValidator(_gres)] | None = Field(
        default=None,
        description='Generic resources, such as `"gpu:a100:1"`. `"none"` asks for nothing. '
        'Default: `"gpu:1"`, except for runs with `slot = "none"`.',
    )
    cpus: Annotated[int, Field(ge=1, le=100_000, strict=True)] | None = Field(
        default=None, description="Cores of the job. `OMP_NUM_THREADS` is set to this number."
    )
    mem: Annotated[str, AfterValidator(_memory)] | None = Field(
        default=None, description='Memory of the job, such as `"16G"`.'
    )
    constraint: Line | None = Field(default=None, description="Features that the node must have.")
    extra: tuple[Annotated[Line, AfterValidator(_option)], ...] = Field(
        default=(), max_length=100, description='Further options of sbatch, such as `"--exclusive"`.'
    )
    setup: tuple[Line, ...] = Field(
        default=(),
        max_length=100,
        description='Shell lines that run in the job before the command, such as `"module load cuda"`.',
    )
    signal_s: Annotated[int, Field(ge=0, le=MAX_SIGNAL_S, strict=True)] | None = Field(
        default=None,
        description="How long before the time limit the command is told to stop, s. 0 sends no warning. Default: 120.",
    )

    bundle: Annotated[int, Field(ge=1, le=MAX_BUNDLE, strict=True)] | None = Field(
        default=None,
        description="How many runs with equal settings may share one job. Each run has its own GPUs, and the other "
        "settings describe one run. Default: 1.",
    )

    def updated(self, over: Self) -> Self:
        """Return these settings with those that `over` sets put in their place."""
        return self.model_copy(update={name: getattr(over, name) for name in over.model_fields_set})


def merge(*layers: SlurmSettings) -> SlurmSettings:
    """Merge settings, the later layers over the earlier: profile, table of the plan, run, command line."""
    merged = SlurmSettings()
    for layer in layers:
        merged = merged.updated(layer)
    return merged


def settings_from_table(table: object, source: str) -> SlurmSettings:
    """Check a table of settings.

    Args:
        table: The table as read from TOML.
        source: Where it stands, with the separator that a field's name needs, such as "plan.toml: slurm.".

    Raises:
        SettingsError: Unknown key or bad value.
    """
    if not isinstance(table, Mapping):
        raise SettingsError(f"{source.rstrip('. ')}: must be a table of settings, such as [slurm]")
    try:
        return SlurmSettings.model_validate(dict(table))
    except ValidationError as error:
        raise SettingsError(f"{source}{_first_problem(error)}") from None


def settings_from_options(options: Sequence[str]) -> SlurmSettings:
    """Read the values of `--slurm`, each `key=value`; `extra` and `setup` may be given several times.

    Raises:
        SettingsError: No '=', unknown key or bad value.
    """
    table: dict[str, Any] = {}
    for option in options:
        key, equals, value = option.partition("=")
        key = key.strip()
        if not equals:
            raise SettingsError(f"--slurm {option}: must be key=value, as in --slurm partition=gpu")
        if key in ("extra", "setup"):
            table.setdefault(key, []).append(value)
        else:
            table[key] = int(value) if key in NUMBERS and value.isascii() and value.isdigit() else value
    return settings_from_table(table, "--slurm ")


def profiles_path(environment: Mapping[str, str] | None = None) -> Path:
    """Return where a user's profiles are kept."""
    environment = os.environ if environment is None else environment
    base = environment.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if base.startswith("/") else Path(environment.get("HOME", "/")) / ".config"
    return folder / "pmssm-supervise" / "slurm.toml"


def load_profile(name: str, path: Path) -> SlurmSettings:
    """Read one profile, a table of the file, such as [raven].

    Raises:
        SettingsError: The file cannot be read, has no such profile, or the profile is wrong.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE + 1)
        if len(text) > MAX_FILE:
            raise SettingsError(f"{path}: longer than {MAX_FILE >> 20} MiB; profiles are a TOML file")
        profiles = tomllib.loads(text.decode("utf-8"))
    except OSError as error:
        remedy = "write one, or leave out --slurm-profile"
        raise SettingsError(f"{path}: cannot read the profiles: {error.strerror}; {remedy}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not UTF-8 text; profiles are a TOML file") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from None
    if name not in profiles:
        raise SettingsError(f"{path}: no profile named '{name}'{_suggestion(name, profiles)}")
    return settings_from_table(profiles[name], f"{path}: {name}.")


_WORDS = {  # pydantic's messages in terms of TOML
    "string_type": "must be a string, in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "tuple_type": 'must be a list of strings, as in ["one", "two"]',
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "too_long": "must have at most {max_length} entries",
}


def _first_problem(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    problem = next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{field}: unknown key{_suggestion(field, SlurmSettings.model_fields)}"
    words = _WORDS.get(problem["type"])
    text = words.format(**problem.get("ctx", {})) if words else problem["msg"].removeprefix("Value error, ")
    return f"{field}: {text}"


def _suggestion(word: str, known: Iterable[str]) -> str:
    names = [str(name) for name in known]
    near = difflib.get_close_matches(word, names, n=1)
    return f" (did you mean '{near[0]}'?)" if near else f"; known are {', '.join(sorted(names)) or 'none'}"
