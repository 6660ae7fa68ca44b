"""Session on the screen: its newest snapshot and its plan."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ...plan.errors import PlanError
from ...plan.loader import load_plan
from ...plan.schema import Plan, RunPlan
from ...session.round_lines import lines_of_rounds
from ...session.snapshot import RunView, Snapshot


class CurrentSession:
    """Newest snapshot of the session and the plan behind it, shared by the app and its controls.

    Attributes:
        snapshot: Newest snapshot; None until the first one arrives.
        plan: Plan of the session; None until it is read, or if it cannot be read.
        lines: Names of all rounds of each run with rounds, by its name without the round.
    """

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.plan: Plan | None = None
        self.lines: dict[str, tuple[str, ...]] = {}

    async def update(self, snapshot: Snapshot) -> Snapshot | None:
        """Store a new snapshot, and read the plan if the session is another one.

        Returns:
            The previous snapshot.
        """
        if self.snapshot is None or self.snapshot.folder != snapshot.folder:
            self.plan = await asyncio.to_thread(_read_plan, snapshot)
            self.lines = lines_of_rounds(self.plan)
        previous, self.snapshot = self.snapshot, snapshot
        return previous

    def run(self, name: str) -> RunView | None:
        """Return a run of the newest snapshot, or None if there is no such run."""
        return self.snapshot.runs.get(name) if self.snapshot is not None else None

    def run_plan(self, name: str) -> RunPlan | None:
        """Return a run's part of the plan, or None if it is unknown."""
        return self.plan.runs.get(name) if self.plan is not None else None

    def logs(self) -> dict[str, Path]:
        """Return the paths of all logs by name: `supervisor` for the session's own log, then the runs."""
        if self.snapshot is None:
            return {}
        own = Path(self.snapshot.logs) / f"training_{self.snapshot.session}.log"
        return {"supervisor": own, **{name: Path(run.log) for name, run in self.snapshot.runs.items() if run.log}}


def _read_plan(snapshot: Snapshot) -> Plan | None:
    """Return the session's plan; without a readable plan, command lines and curves are missing."""
    try:
        return load_plan(Path(snapshot.folder) / "plan.toml")
    except PlanError:
        return None
