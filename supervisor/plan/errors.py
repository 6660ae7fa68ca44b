"""Errors of a plan file, and suggestions for misspelt names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ..errors import UserError
from ..formatting import printable_line


class PlanError(UserError):
    """An unusable plan; the message names file, field and remedy on one line."""

    def __init__(self, message: str) -> None:
        # A key may be any text: escape what would break the line or steer the terminal.
        super().__init__(printable_line(message))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message on an unknown name: the closest known name, or all of them."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else f"; known are {', '.join(sorted(known))}"
