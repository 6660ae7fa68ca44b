"""Rounds of a run as one line of a table of runs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..plan.schema import Plan
from .snapshot import RunView
from .state import ALIVE, ENDED, ENDED_BADLY, RunState


def lines_of_rounds(plan: Plan | None) -> dict[str, tuple[str, ...]]:
    """Return the names of all rounds of each run with rounds, in their order, by the name without the round."""
    lines: dict[str, list[str]] = {}
    for name, run in plan.runs.items() if plan is not None else ():
        if run.line is not None:
            lines.setdefault(run.line, []).append(name)
    return {line: tuple(names) for line, names in lines.items() if len(names) > 1}


def current_round(names: Sequence[str], runs: Mapping[str, RunView]) -> str:
    """Return the run that stands for all rounds.

    It is one that is alive, else one that failed, else the next one if only it can go on (it is queued or blocked).
    While the chain is busy with other runs, the last round that has ended stands for the line, with its log and losses.

    Args:
        names: Runs of all rounds, in their order.
        runs: All runs by name.
    """
    first_open = last_ended = failed = None
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
    if first_open is not None and runs[first_open].state is RunState.WAITING:
        return failed or last_ended or first_open
    return failed or first_open or last_ended or names[0]


def fold(
    names: Sequence[str], runs: Mapping[str, RunView], lines: Mapping[str, Sequence[str]], opened: frozenset[str]
) -> tuple[list[str], dict[str, str]]:
    """Replace the rounds of each line by its current one, or list them one below the other, where the first stands.

    Args:
        names: Runs in the order of the table.
        runs: All runs by name.
        lines: Result of `lines_of_rounds`.
        opened: Lines that show all their rounds.

    Returns:
        The names to list, and for each that stands for a line the name of that line.
    """
    line_of = {name: line for line, members in lines.items() for name in members}
    blocks: dict[str, list[str]] = {}  # what is listed for each line, or for a run without rounds, in order
    folded: dict[str, str] = {}
    for name in names:
        line = line_of.get(name)
        if line is None or line in opened:
            blocks.setdefault(line or name, []).append(name)
        elif line not in blocks:
            current = current_round(lines[line], runs)
            blocks[line] = [current]
            folded[current] = line
    return [name for block in blocks.values() for name in block], folded
