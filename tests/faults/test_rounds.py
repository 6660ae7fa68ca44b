"""A campaign of twenty rounds is killed in round 7: the set of simulated points has no duplicate and no gap."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support.cli_sandbox import CliSandbox
from support.process_table import LONG_S, kill_engine, parent_of, pid_of
from support.waiting import wait_until

# Proposes the ten numbers after the largest one that was simulated; simulates them one by one, and continues a file.
PLAN = """
[session]
rounds = 20

[runs.propose]
each_round = true
slot = "none"
command = ["sh", "-c", '''
last=$(cat $1/points 2>/dev/null | sort -n | tail -n 1)
seq $((last + 1)) $((last + 10)) >"$2/.proposals" && mv "$2/.proposals" "$2/proposals"
''', "sh", "{simulate@rounds}", "{output}"]
after = ["simulate@previous"]
retries = 2
retry_delay_s = 0

[runs.simulate]
each_round = true
slot = "none"
command = ["sh", "-c", '''
done=$(cat "$2/points" 2>/dev/null | wc -l)
tail -n +$((done + 1)) "$1/proposals" | while read -r point; do
    echo "$point" >>"$2/points"
    while [ "$point" = 65 ] && [ ! -e go ]; do sleep 0.05; done
done
''', "sh", "{propose@round}", "{output}"]
after = ["propose"]
retries = 2
retry_delay_s = 0
"""


@pytest.mark.parametrize("victim", ["engine", "run", "shim"])
def test_a_campaign_that_is_killed_in_round_7_of_20_simulates_each_point_once(victim: str, box: CliSandbox) -> None:
    box.ok("--detach", "--plan", box.plan(PLAN))
    pid = pid_of(box, "simulate-r07")
    (session,) = box.logs.glob("session_*")
    points = session / "simulate-r07" / "points"
    wait_until(lambda: points.exists() and points.read_text().count("\n") == 5, LONG_S, "five points of round 7")
    if victim in ("engine", "all"):
        kill_engine(box)
    if victim in ("shim", "all"):
        os.kill(parent_of(pid), signal.SIGKILL)
    if victim in ("run", "all"):
        os.kill(pid, signal.SIGKILL)
    (box.folder / "go").touch()
    wait_until(lambda: box.status()["state"] == "finished", LONG_S, "the end of the campaign")
    assert {run["state"] for run in box.status()["runs"].values()} == {"succeeded"}
    simulated = [line for number in range(1, 21) for line in lines(session / f"simulate-r{number:02d}" / "points")]
    assert simulated == [str(point) for point in range(1, 201)]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()
