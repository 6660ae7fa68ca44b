"""Rounds of a run as one line of the runs table: label, curve and best round. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...session.snapshot import RunView
from ...session.state import ENDED

_NO_FIGURES = frozenset({"epoch", "epochs"})
_LARGER_IS_BETTER = ("rate", "r2", "accuracy", "hits", "yield")


@dataclass(frozen=True)
class RoundsLine:
    """What a folded line shows besides its current run.

    Attributes:
        label: `train 17/40`.
        figure: Name of the number that the curve shows; "" if no round has reported one.
        curve: That number by round, for the rounds that have ended.
        best: Best number so far, and its round; None without a number.
    """

    label: str
    figure: str = ""
    curve: tuple[float, ...] = ()
    best: tuple[float, int] | None = None


def rounds_line(line: str, names: Sequence[str], current: str, runs: Mapping[str, RunView]) -> RoundsLine:
    """Return what a folded line shows.

    Args:
        line: Name without the round.
        names: Runs of all rounds, in their order.
        current: The one that stands for them.
        runs: All runs by name.
    """
    label = f"{line} {names.index(current) + 1}/{len(names)}"
    ended = [(number, runs[name].progress) for number, name in enumerate(names, start=1) if runs[name].state in ENDED]
    figure = next((_figure(progress) for _, progress in ended if _figure(progress)), "")
    values = [(number, progress[figure]) for number, progress in ended if figure and progress.get(figure) is not None]
    if not values:
        return RoundsLine(label)
    prefer = max if figure.endswith(_LARGER_IS_BETTER) else min
    number, best = prefer(values, key=lambda pair: pair[1])
    return RoundsLine(label, figure, tuple(value for _, value in values), (best, number))


def _figure(progress: Mapping[str, float]) -> str:
    """Return the last of the reported names that is no progress: as the pattern of the plan orders them."""
    names = [name for name in progress if name not in _NO_FIGURES]
    return names[-1] if names else ""
