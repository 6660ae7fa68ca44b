"""The `{name}` syntax of a plan: reserved names, and substitution in texts and argument lists."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .errors import PlanError, did_you_mean

OWN_PLACEHOLDERS = frozenset(
    {"python", "session", "output", "logs", "stamp", "run", "round", "previous", "prepare_options", "training_options"}
)
"""Names that a matrix may not use."""

PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(\w+)\}")
_TOKEN = re.compile(r"\{\{|\}\}|\{(\w+)\}|\{[\w.-]+@\w+\}|[{}]")
_OF_ROUNDS = frozenset({"round", "previous"})

Placeholders = Mapping[str, str | Sequence[str]]
"""The value of each placeholder; a list stands for several arguments."""


def expand_arguments(arguments: Sequence[str], values: Placeholders, field: str) -> tuple[str, ...]:
    """Fill the placeholders of a command line.

    An argument that is the placeholder of a list becomes as many arguments as the list has.

    Args:
        arguments: The arguments as the plan has them.
        values: The value of each placeholder.
        field: Name of the field in errors.

    Raises:
        PlanError: An unknown placeholder, a single brace, or a list inside an argument.
    """
    expanded: list[str] = []
    for argument in arguments:
        name = argument[1:-1] if re.fullmatch(r"\{\w+\}", argument) else ""
        value = values.get(name)
        if value is not None and not isinstance(value, str):
            expanded.extend(value)
        else:
            expanded.append(expand_text(argument, values, field))
    return tuple(expanded)


def expand_text(text: str, values: Placeholders, field: str) -> str:
    """Fill the placeholders of one text; arguments and errors as in `expand_arguments`."""

    def value_of(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        if match[1] in _OF_ROUNDS or "@" in match[0]:
            raise PlanError(f"{field}: '{match[0]}' needs each_round = true in this run")
        if match[1] is None:
            raise PlanError(f"{field}: single '{match[0]}' in {text!r}; write '{match[0] * 2}' for a brace")
        value = values.get(match[1])
        if value is None:
            raise PlanError(f"{field}: unknown placeholder '{match[0]}'{did_you_mean(match[1], values)}")
        if not isinstance(value, str):
            raise PlanError(f"{field}: '{match[0]}' stands for several arguments; make it an argument of its own")
        return value

    return _TOKEN.sub(value_of, text)
