"""Plans with rounds, run whole: order, folders, and chains that end early."""

from __future__ import annotations

import json

from support.cli_sandbox import CliSandbox

PLAN = """
[session]
rounds = 4

[runs.grow]
each_round = true
matrix.start = ["a", "b"]
slot = "none"
command = ["sh", "-c", 'cat "$2/text" 2>/dev/null >"$0/text"; printf %s "$1" >>"$0/text"', "{output}", "{start}"]
later_args = ["{previous}"]
after = ["check@previous"]

[runs.check]
each_round = true
matrix.start = ["a", "b"]
slot = "none"
command = ["sh", "-c", 'test "$(cat "$0/text")" != bb || exit 3', "{grow@round}"]
after = ["grow"]
stop_when = [3]

[runs.report]
slot = "none"
command = ["sh", "-c", "cat $0/text", "{session}/grow-start-a-r04"]
after = ["check"]
"""


ROUNDS = ("train-r01", "train-r02", "train-r03", "train-r04")


def test_each_chain_grows_round_by_round_until_its_end_and_a_chain_that_ended_early_is_a_success(
    box: CliSandbox,
) -> None:
    done = box.run("--headless", "--plan", box.plan(PLAN))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "check-start-b-r02: exit code 3 ends its chain; 4 runs are skipped now" in done.stdout
    assert "session finished: 13 succeeded, 4 skipped" in done.stdout
    (summary,) = box.logs.glob("session_*/summary.json")
    states = {name: run["state"] for name, run in json.loads(summary.read_text())["runs"].items()}
    assert [name for name, state in states.items() if state == "skipped"] == [
        "grow-start-b-r03",
        "check-start-b-r03",
        "grow-start-b-r04",
        "check-start-b-r04",
    ]
    assert (summary.parent / "grow-start-a-r04" / "text").read_text() == "aaaa"
    assert not (summary.parent / "grow-start-b-r03" / "text").exists()


def test_old_checkpoints_are_deleted_and_results_stay(box: CliSandbox) -> None:
    plan = """
[session]
rounds = 4
[runs.train]
each_round = true
slot = "none"
command = ["sh", "-c", "touch $0/checkpoint.pt $0/checkpoint.pt.previous $0/model.pt", "{output}"]
after = ["train@previous"]
keep = "last 2"
"""
    box.ok("--headless", "--plan", box.plan(plan))
    (session,) = box.logs.glob("session_*")
    found = {name: sorted(path.name for path in (session / name).glob("*.pt*")) for name in ROUNDS}
    everything = ["checkpoint.pt", "checkpoint.pt.previous", "model.pt"]
    assert found == dict(zip(ROUNDS, [["model.pt"], ["model.pt"], everything, everything], strict=True))


def test_a_skipped_run_is_not_restarted_but_the_run_that_ended_the_chain_is(box: CliSandbox) -> None:
    box.run("--headless", "--plan", box.plan(PLAN.replace("rounds = 4", "rounds = 3")))
    refused = box.run("restart", "grow-start-b-r03")
    assert refused.returncode != 0
    assert "grow-start-b-r03: is skipped, because its chain has ended; restart the run that ended it" in refused.stderr
