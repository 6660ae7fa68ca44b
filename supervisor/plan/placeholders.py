"""The `{name}` syntax of a plan: reserved names, and substitution in texts and argument lists."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .errors import PlanError, did_you_mean

if TYPE_CHECKING:
    pass


OWN_PLACEHOLDERS = frozenset(
    {"python", "session", "output", "logs", "stamp", "run", "prepare_options", "training_options"}
)


PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(\w+)\}")


_TOKEN = re.compile(r"\{\{|\}\}|\{(\w+)\}|[{}]")


Placeholders = Mapping[str, str | Sequence[str]]


def expand_arguments(arguments: Sequence[str], values: Placeholders, field: str) -> tuple[str, ...]:
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
    def value_of(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        if match[1] is None:
            raise PlanError(f"{field}: single '{match[0]}' in {text!r}; write '{match[0] * 2}' for a brace")
        value = values.get(match[1])
        if value is None:
            raise PlanError(f"{field}: unknown placeholder '{match[0]}'{did_you_mean(match[1], values)}")
        if not isinstance(value, str):
            raise PlanError(f"{field}: '{match[0]}' stands for several arguments; make it an argument of its own")
        return value

    return _TOKEN.sub(value_of, text)
