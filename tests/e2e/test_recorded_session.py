"""A session of an earlier version: shown, continued, and its model used."""

import csv
import json
import time
from pathlib import Path

import pexpect
import pyte
import pytest
from support.cli_sandbox import COMMAND, CliSandbox
from support.recorded_session import EXPECTED, STAMP, restore_session

STATES = {
    "prepare": "succeeded",
    "trained": "succeeded",
    "interrupted": "stopped",
    "fails": "failed",
    "blocked": "blocked",
    "is_lost": "lost",
    "still_runs": "lost",  # its process has ended since
    "report": "succeeded",
}
DEADLINE_S = 60.0


@pytest.fixture
def recorded(box: CliSandbox) -> Path:
    """The session folder, in the logs folder of the box."""
    return restore_session(box.folder)


def test_status_shows_how_each_run_ended(box: CliSandbox, recorded: Path) -> None:
    status = box.wait(lambda status: status["state"] == "finished")
    assert {name: run["state"] for name, run in status["runs"].items()} == STATES
    assert status["folder"] == str(recorded)
    runs = status["runs"]
    assert runs["interrupted"]["progress"] | {"epoch": 36, "epochs": 40} == runs["interrupted"]["progress"]
    assert runs["fails"]["reason"] == "exit code 3: wrong input"
    assert runs["blocked"]["blocked_by"] == ["fails"]
    text = box.ok("status")
    assert f"session {STAMP} (recorded): finished, sequential" in text
    assert "36/40" in text


def test_sessions_lists_it(box: CliSandbox, recorded: Path) -> None:
    box.wait(lambda status: status["state"] == "finished")
    (row,) = [line for line in box.ok("sessions").splitlines() if line.startswith(STAMP)]
    assert "recorded" in row and "finished" in row and "3 succeeded, 1 stopped, 1 failed, 1 blocked, 2 lost" in row
    assert recorded.exists()


@pytest.mark.usefixtures("recorded")
def test_attach_shows_its_runs(box: CliSandbox) -> None:
    screen = pyte.Screen(120, 40)
    stream = pyte.ByteStream(screen)
    env = {**box.env, "TERM": "xterm-256color"}
    terminal = pexpect.spawn(str(COMMAND), ["attach", "--logs", str(box.logs)], dimensions=(40, 120), env=env)
    try:
        deadline = time.monotonic() + DEADLINE_S
        shown = ""
        while not all(name in shown and state in shown for name, state in STATES.items()):
            assert time.monotonic() < deadline, shown
            try:
                stream.feed(terminal.read_nonblocking(1 << 16, timeout=0.1))
            except pexpect.TIMEOUT:
                continue
            shown = "\n".join(screen.display)
        assert "36/40" in shown
    finally:
        terminal.close(force=True)


@pytest.mark.timeout(200)
def test_an_interrupted_training_resumes_from_its_checkpoint(box: CliSandbox, recorded: Path) -> None:
    box.ok("start", "interrupted")
    status = box.wait(lambda status: status["runs"]["interrupted"]["state"] in ("succeeded", "failed"), 150)
    run = status["runs"]["interrupted"]
    assert (run["state"], run["attempt"], run["progress"]["epoch"]) == ("succeeded", 2, 40), box.log("interrupted")
    with (recorded / "interrupted" / "metrics.csv").open() as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == list(range(1, 41))
    assert json.loads((recorded / "interrupted" / "result.json").read_text())["epochs"] == 40
    resumed = box.log("interrupted").split("attempt 2")[1]
    assert "Resumed at epoch 0037" in resumed
    assert "Epoch 0037 |" in resumed and "Epoch 0036 |" not in resumed


@pytest.mark.timeout(200)
def test_its_report_is_written_again(box: CliSandbox, recorded: Path) -> None:
    page = recorded / "report" / "report.html"
    assert not page.exists()
    box.ok("restart", "report")
    status = box.wait(lambda status: status["runs"]["report"]["attempt"] == 2 and status["state"] == "finished", 150)
    assert status["runs"]["report"]["state"] == "succeeded", box.log("report")
    assert "<td>trained</td>" in page.read_text() and "interrupted: stopped" in page.read_text()
    assert f"report: {page}" in box.ok("status")


def test_its_model_predicts_what_it_predicted_before(recorded: Path) -> None:
    import numpy as np
    from pmssm.trainers import load_surrogate

    surrogate = load_surrogate(recorded / "trained" / "model.pt")
    predictions = surrogate(np.array(EXPECTED["points"]))
    np.testing.assert_allclose(predictions, EXPECTED["predictions"], rtol=1e-6)
