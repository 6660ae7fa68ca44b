"""Sessions that are not the newest: looked at, and gone on with."""

import json
import os
import signal

import pytest
from support.cli_sandbox import CliSandbox

# Succeeds once `good` is there, and then lasts until `go` is.
FIRST = """
[runs.fragile]
command = ["sh", "-c", "test -e good || {{ echo no good; exit 1; }}; until test -e go; do sleep 0.1; done; echo done"]
"""
SECOND = """
[runs.other]
command = ["true"]
"""


@pytest.fixture
def earlier(box: CliSandbox) -> str:
    """The stamp of a session that failed, after which another one succeeded."""
    assert box.run("--headless", "--plan", box.plan(FIRST)).returncode == 1
    stamp = str(box.status()["session"])
    box.ok("--headless", "--plan", box.plan(SECOND))
    return stamp


def _session_shown(box: CliSandbox, *options: str) -> str:
    return str(json.loads(box.ok("status", "--json", *options))["session"])


def test_an_earlier_session_is_shown_by_its_stamp(box: CliSandbox, earlier: str) -> None:
    assert list(box.status()["runs"]) == ["other"]
    assert "failed" in box.ok("status", "--session", earlier)
    assert "no good" in box.ok("logs", "--session", earlier, "fragile")


def test_an_earlier_session_that_is_gone_on_with_is_the_current_one_until_it_has_finished(
    box: CliSandbox, earlier: str
) -> None:
    (box.folder / "good").touch()
    box.ok("restart", "--session", earlier, "fragile")
    assert box.wait(lambda status: status["runs"].get("fragile", {}).get("pid"))["session"] == earlier
    os.kill(box.status()["engine_pid"], signal.SIGKILL)
    assert box.status()["session"] == earlier  # brought back, not the newest
    refused = box.run("--headless", "--plan", box.plan(SECOND))
    assert refused.returncode == 2 and earlier in refused.stderr
    (box.folder / "go").touch()
    box.wait(lambda status: status["state"] == "finished")
    assert "1 succeeded" in box.ok("sessions")
    box.ok("--headless", "--plan", box.plan(SECOND))
    assert _session_shown(box) != earlier
    assert _session_shown(box, "--session", earlier) == earlier


def test_no_session_is_gone_on_with_beside_another(box: CliSandbox, earlier: str) -> None:
    box.ok("--detach", "--plan", box.plan(FIRST.replace("test -e good", "true")))
    refused = box.run("restart", "--session", earlier, "fragile")
    assert refused.returncode == 2
    assert "is not finished; end it with `pmssm-supervise down`" in refused.stderr


def test_a_stamp_that_no_session_has_is_refused_with_the_nearest(box: CliSandbox, earlier: str) -> None:
    for verb in (["status"], ["logs"], ["restart", "fragile"]):
        refused = box.run(*verb, "--session", earlier[:-1])
        assert refused.returncode == 2
        assert f"no session '{earlier[:-1]}'; did you mean {earlier[:8]}" in refused.stderr
