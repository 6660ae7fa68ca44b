"""A campaign of the shipped simulator is killed in its second round: no point is missing, none is simulated twice."""

from __future__ import annotations

from pathlib import Path

from support.campaign_kills import BATCH, Killer, finish, short_plan, simulated_points
from support.cli_sandbox import CliSandbox
from support.process_table import LONG_S
from support.waiting import wait_until


def test_a_simulation_that_is_killed_with_its_engine_goes_on_where_it_was(box: CliSandbox) -> None:
    box.ok("--detach", "--plan", box.plan(short_plan()))
    (session,) = box.logs.glob("session_*")
    table = session / "simulate-r02" / "points.csv"
    wait_until(lambda: finished_rows(table), LONG_S, "points of round 2")
    killer = Killer(box, seed=1)
    assert killer.strike("all")
    written = finished_rows(table)
    finish(box)
    assert killer.killed == ["all in simulate-r02"]
    assert 0 < written < BATCH
    assert f"; {written} of them are finished" in box.log("simulate-r02")
    assert len(simulated_points(session)) == 2 * BATCH


def finished_rows(table: Path) -> int:
    """Return the number of whole lines after the names."""
    return max(0, table.read_bytes().count(b"\n") - 1) if table.exists() else 0
