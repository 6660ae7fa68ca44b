"""References to runs of a chain: `simulate@previous` in `after`, `{simulate@round}` in arguments. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .schema import RunPlan

ROUND, PREVIOUS, ROUNDS = "round", "previous", "rounds"
SUFFIXES = (ROUND, PREVIOUS, ROUNDS)
TEXT_FIELDS = ("command", "fresh_args", "later_args")

_REFERENCE = re.compile(r"\{\{|\}\}|\{(?P<run>[\w.-]+)@(?P<when>\w+)\}|\{previous\}")


class Reference(NamedTuple):
    """A run of the plan, and the round in which it is meant.

    Attributes:
        run: Name of the run; empty for `{previous}`, which means the run itself.
        when: `round` (this one), `previous` or `rounds` (all); any other text is a mistake of the plan.
    """

    run: str
    when: str

    def __str__(self) -> str:
        return f"{{{self.run}@{self.when}}}" if self.run else "{previous}"


def split_dependency(text: str) -> Reference:
    """Return the run of an item of `after` or `after_end`, and its round."""
    name, _, when = text.partition("@")
    return Reference(name, when or ROUND)


def references(texts: Sequence[str]) -> list[Reference]:
    """Return all references in arguments, in their order."""
    return [_reference(match) for text in texts for match in _REFERENCE.finditer(text) if _is_reference(match)]


def replace_references(texts: Sequence[str], replace: Callable[[Reference], str]) -> tuple[str, ...]:
    """Return arguments with `replace(reference)` in place of each reference."""

    def text_of(match: re.Match[str]) -> str:
        return replace(_reference(match)) if _is_reference(match) else match[0]

    return tuple(_REFERENCE.sub(text_of, text) for text in texts)


def map_texts(run: RunPlan, change: Callable[[Sequence[str]], tuple[str, ...]]) -> dict[str, Any]:
    """Return the fields of a run that hold placeholders, with their texts changed."""
    return {
        **{field: change(getattr(run, field)) for field in TEXT_FIELDS},
        "env": dict(zip(run.env, change(tuple(run.env.values())), strict=True)),
        "cwd": run.cwd if run.cwd is None else change((run.cwd,))[0],
    }


def texts_of(run: RunPlan) -> tuple[str, ...]:
    """Return all texts of a run that may hold placeholders."""
    return (*run.command, *run.fresh_args, *run.later_args, *run.env.values(), run.cwd or "")


def _reference(match: re.Match[str]) -> Reference:
    return Reference(match["run"] or "", match["when"] or PREVIOUS)


def _is_reference(match: re.Match[str]) -> bool:
    return match[0] not in ("{{", "}}")
