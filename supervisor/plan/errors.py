"""Errors of a plan file, and suggestions for misspelt names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ..errors import UserError


class PlanError(UserError, ValueError):
    """A plan that can't be used; the message names file, field and remedy on one line."""

    def __init__(self, message: str) -> None:
        """Spells out characters that would break the line or steer the terminal: a key may be any text."""
        super().__init__("".join(char if char.isprintable() else repr(char)[1:-1] for char in message))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else f"; known are {', '.join(sorted(known))}"
