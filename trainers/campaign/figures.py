"""Figures of a campaign: yield, hit rates, coverage. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from ..data.lsp import LSP_CLASSES
from ..data.targets import FAILED
from .history import Chain, Simulated
from .hits import Goal

Values = NDArray[np.float64]

RANDOM_ARM = "random"
"""An arm whose name ends in this is the one that others are compared with."""


@dataclass(frozen=True)
class ArmFigures:
    """Figures of one arm: all chains that differ only in their seed.

    Attributes:
        name: Name of the arm.
        seeds: Number of chains.
        calls: Simulator calls in all rounds of all chains.
        failed: Calls that failed.
        duplicates: Calls of a point that the same chain had simulated before.
        hits: Calls that gave a hit.
        yields: Hits per call of each chain, shape (seeds,).
        rates: Hits per call by chain and round, shape (seeds, rounds); nan for a round that is missing.
        accuracy: Median relative error by chain and round; nan for a round that is missing.
        accuracy_near: The same on those points of the fixed holdout that are hits.
        spacing: Median distance of a hit to the nearest other hit of its chain, in units of the ranges; nan if there
            are fewer than two.
        classes: Hits by class of the lightest sparticle.
        seconds: Mean duration of each run of a round, s, by its name without round and chain.
    """

    name: str
    seeds: int
    calls: int
    failed: int
    duplicates: int
    hits: int
    yields: Values
    rates: Values
    accuracy: Values
    accuracy_near: Values
    spacing: float
    classes: dict[str, int]
    seconds: dict[str, float]

    @property
    def mean_yield(self) -> float:
        """Mean over the seeds of the hits per call."""
        return float(self.yields.mean())

    @property
    def yield_std(self) -> float:
        """Standard deviation over the seeds of the hits per call; 0 for a single one."""
        return float(self.yields.std(ddof=1)) if self.seeds > 1 else 0.0


def arm_figures(chains: Sequence[Chain], goal: Goal) -> list[ArmFigures]:
    """Return the figures of all arms, in the order of the plan.

    Args:
        chains: All chains, each with simulated points.
        goal: What counts as a hit.
    """
    rounds = max(max(chain.simulated, default=0) for chain in chains)
    spans = _spans(chains)
    arms: dict[str, list[Chain]] = {}
    for chain in chains:
        arms.setdefault(chain.arm, []).append(chain)
    return [_figures(name, members, rounds, spans, goal) for name, members in arms.items()]


def _figures(name: str, chains: Sequence[Chain], rounds: int, spans: Values, goal: Goal) -> ArmFigures:
    rates, accuracy, near = (np.full((len(chains), rounds), np.nan) for _ in range(3))
    yields, spacings = np.empty(len(chains)), []
    counts, duplicates = np.zeros(len(LSP_CLASSES), dtype=np.int64), 0
    for row, chain in enumerate(chains):
        for number, simulated in chain.simulated.items():
            rates[row, number - 1] = goal.hits(simulated.omega).mean()
        for number, error in chain.accuracy.items():
            if number <= rounds:
                accuracy[row, number - 1] = error
                near[row, number - 1] = chain.error_near(number, goal)
        everything = merged(chain)
        hit = goal.hits(everything.omega)
        yields[row] = hit.mean()
        counts += np.bincount(everything.classes[hit], minlength=len(LSP_CLASSES))
        duplicates += len(everything.points) - len(np.unique(everything.points, axis=0))
        spacings.append(nearest_distances(everything.points[hit] / spans))
    omega = np.concatenate([merged(chain).omega for chain in chains])
    distances = np.concatenate(spacings)
    return ArmFigures(
        name=name,
        seeds=len(chains),
        calls=len(omega),
        failed=int((omega == FAILED).sum()),
        duplicates=duplicates,
        hits=int(goal.hits(omega).sum()),
        yields=yields,
        rates=rates,
        accuracy=accuracy,
        accuracy_near=near,
        spacing=float(np.median(distances)) if len(distances) else np.nan,
        classes={kind: int(count) for kind, count in zip(LSP_CLASSES, counts, strict=True) if count},
        seconds=_mean_seconds(chains),
    )


def _mean_seconds(chains: Sequence[Chain]) -> dict[str, float]:
    phases = dict.fromkeys(phase for chain in chains for phase in chain.seconds)
    return {
        phase: float(np.mean([one for chain in chains for one in chain.seconds.get(phase, [])])) for phase in phases
    }


def merged(chain: Chain) -> Simulated:
    """Return the simulated points of all rounds of a chain."""
    parts = [chain.simulated[number] for number in sorted(chain.simulated)]
    return Simulated(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("points", "omega", "classes"))
    )


def nearest_distances(points: Values) -> Values:
    """Return the distance of each point, shape (n, d), to the nearest other one; empty for a single point."""
    if len(points) < 2:
        return np.empty(0)
    distances, _ = KDTree(points).query(points, k=2)
    return np.asarray(distances[:, 1])


def _spans(chains: Sequence[Chain]) -> Values:
    """Return the range of each parameter over all points; infinite for a constant one, which has no distance."""
    points = np.concatenate([merged(chain).points for chain in chains])
    spans = points.max(axis=0) - points.min(axis=0)
    return np.asarray(np.where(spans > 0, spans, np.inf))


def random_arm(arms: Sequence[ArmFigures]) -> ArmFigures | None:
    """Return the arm that others are compared with, if there is one."""
    return next((arm for arm in arms if arm.name.split("-")[-1] == RANDOM_ARM), None)
