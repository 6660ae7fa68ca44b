"""The measured part of a run's snapshot: progress and resource usage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ResourceUsage:
    """What the processes of one run take together."""

    pids: frozenset[int]
    cpu_percent: float | None  # of one core; None at the first look
    memory_mib: float  # resident


@dataclass(frozen=True)
class Observation:
    """What is measured of one run, beside what the journal knows."""

    progress: Mapping[str, int | float] = field(default_factory=dict)
    eta_s: float | None = None
    stalled: bool = False
    usage: ResourceUsage | None = None
