"""The installed command beside a loopback cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.slurm_cluster import SlurmCluster
from support.waiting import wait_until


class Command:
    """pmssm-supervise in a folder of its own, with the cluster's environment."""

    def __init__(self, cluster: SlurmCluster, path: Path) -> None:
        self.path = path
        self.environment = {**os.environ, **cluster.environment, "XDG_CACHE_HOME": str(path / "cache")}
        self.environment["XDG_RUNTIME_DIR"] = str(path / "run")
        (path / "run").mkdir(mode=0o700)

    def plan(self, text: str) -> None:
        """Write plan.toml."""
        (self.path / "plan.toml").write_text(text)

    def __call__(self, *arguments: str, code: int = 0) -> str:
        result = subprocess.run(
            [sys.executable, "-m", "pmssm.supervisor", *arguments],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert result.returncode == code, result.stdout + result.stderr
        return result.stdout + result.stderr

    def run(self, name: str) -> dict[str, Any]:
        view: dict[str, Any] = json.loads(self("status", "--json"))["runs"][name]
        return view

    def wait_for(self, name: str, state: str, deadline_s: float = 60.0) -> None:
        wait_until(lambda: self.run(name)["state"] == state, deadline_s=deadline_s, what=f"{name} is {state}")

    @property
    def session(self) -> Path:
        """Folder of the only session."""
        (folder,) = (self.path / "logs").glob("session_*")
        return folder

    def events(self, kind: str, run: str) -> list[dict[str, Any]]:
        """Return the events of a run so far, from the journal: cheaper than a command."""
        lines = (self.session / "journal.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if (event["kind"], event.get("run")) == (kind, run)]

    def wait_for_event(self, kind: str, run: str, number: int = 1, deadline_s: float = 120.0) -> dict[str, Any]:
        """Wait for the event number `number` of a kind of a run."""
        wait_until(lambda: len(self.events(kind, run)) >= number, deadline_s, f"{kind} {number} of {run}")
        return self.events(kind, run)[number - 1]
