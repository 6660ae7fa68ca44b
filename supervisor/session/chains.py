"""Chains of rounds that have ended before their last round. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ..plan.schema import Plan, RunPlan
from .state import Run

ChainEnds = Mapping[str, str]
"""The run that ended each chain; the earliest, if there are several."""


def chain_ends(plan: Plan, runs: Mapping[str, Run]) -> ChainEnds:
    """Return which chains have ended because a run exited with one of its codes in `stop_when`."""
    ends: dict[str, str] = {}
    for name in plan.chain_enders:
        last = runs[name].last
        if runs[name].wants_start or last is None or last.exit is None or not last.exit.ends_chain:
            continue
        chain = plan.runs[name].chain or ""
        if chain not in ends or _round(plan.runs[name]) < _round(plan.runs[ends[chain]]):
            ends[chain] = name
    return ends


def skipped_because_of(run: RunPlan, plan: Plan, ends: ChainEnds) -> str | None:
    """Return the run that ended the chain in a round before that of `run`; None if the run is not skipped.

    A run without a chain of its own, such as one that compares all chains, ends all of them.
    """
    if run.round is None:
        return None
    for chain in {run.chain or "", ""}:
        ender = ends.get(chain)
        if ender is not None and _round(plan.runs[ender]) < run.round:
            return ender
    return None


def _round(run: RunPlan) -> int:
    return run.round or 0
