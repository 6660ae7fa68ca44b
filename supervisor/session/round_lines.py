"""Rounds of a run as one line of a table of runs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..plan.schema import Plan
from .snapshot import RunView
from .state import ALIVE, ENDED, ENDED_BADLY


def lines_of_rounds(plan: Plan | None) -> dict[str, tuple[str, ...]]:
    """Return the names of all rounds of each run with rounds, in their order, by the name without the round."""
    lines: dict[str, list[str]] = {}
    for name, run in plan.runs.items() if plan is not None else ():
        if run.line is not None:
            lines.setdefault(run.line, []).append(name)
    return {line: tuple(names) for line, names in lines.items() if len(names) > 1}


def current_round(names: Sequence[str], runs: Mapping[str, RunView]) -> str:
    """Return the run that stands for all rounds: one that is alive, else one that failed, else the next, else the last.

    Args:
        names: Runs of all rounds, in their order.
        runs: All runs by name.
    """
    last_ended = names[0]
    first_open: str | None = None
    failed: str | None = None
    for name in names:
        state = runs[name].state
        if state in ALIVE:
            return name
        if failed is None and state in ENDED_BADLY:
            failed = name
        if first_open is None and state not in ENDED:
            first_open = name
        if state in ENDED and runs[name].attempt:
            last_ended = name
    return failed or first_open or last_ended


def fold(
    names: Sequence[str], runs: Mapping[str, RunView], lines: Mapping[str, Sequence[str]], opened: frozenset[str]
) -> tuple[list[str], dict[str, str]]:
    """Replace the rounds of each line by its current one, where the first of them stands.

    Args:
        names: Runs in the order of the table.
        runs: All runs by name.
        lines: Result of `lines_of_rounds`.
        opened: Lines that show all their rounds.

    Returns:
        The names to list, and for each that stands for a line the name of that line.
    """
    line_of = {name: line for line, members in lines.items() if line not in opened for name in members}
    shown: list[str] = []
    folded: dict[str, str] = {}
    seen: set[str] = set()
    for name in names:
        line = line_of.get(name)
        if line is None:
            shown.append(name)
        elif line not in seen:
            seen.add(line)
            current = current_round(lines[line], runs)
            shown.append(current)
            folded[current] = line
    return shown, folded
