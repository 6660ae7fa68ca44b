"""Folders of sessions that are incomplete or damaged: passed over with a warning, or one line with the remedy."""

from pathlib import Path

import pytest
from support.cli_sandbox import CliSandbox

PLAN = '[runs.a]\ncommand = ["true"]\nslot = "none"\n'
INCOMPLETE = "session_20991231_000000"


def spoil(folder: Path, content: str) -> None:
    """Leave a folder of a session as an interrupted copy or a clean-up may do."""
    folder.mkdir(parents=True)
    if content != "nothing":
        (folder / content).write_text("")


@pytest.mark.parametrize("content", ["nothing", "plan.toml", "settings.json", "summary.json"])
def test_a_newest_folder_without_a_session_is_passed_over_with_a_warning(box: CliSandbox, content: str) -> None:
    spoil(box.logs / INCOMPLETE, content)
    assert "no session here" in box.run("status").stderr
    started = box.run("--headless", "--plan", box.plan(PLAN))
    assert started.returncode == 0, started.stderr
    spoil(box.logs / "session_20991231_235959", content)
    for words in (("status",), ("status", "--json"), ("down",), ("logs", "a"), ("restart", "a")):
        done = box.run(*words)
        assert done.returncode == 0, (words, done.stderr)
        (warning,) = done.stderr.splitlines()
        assert "session_20991231_235959: is no session (incomplete), passed over; to go on without" in warning
    assert box.wait(lambda status: status["state"] == "finished")["runs"]["a"]["state"] == "succeeded"
    assert box.ok("sessions").count("damaged") == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plan.toml", "[runs"),
        ("plan.toml", '[runs.b]\ncommand = ["true"]\n'),  # not the plan of this journal
        ("settings.json", "{"),
        ("journal.jsonl", "{}\n{}\n"),
    ],
)
def test_a_damaged_session_names_the_remedy_and_the_remedy_helps(box: CliSandbox, name: str, text: str) -> None:
    box.ok("--headless", "--plan", box.plan(PLAN))
    (session,) = box.logs.glob("session_*")
    (session / name).write_text(text)
    if name == "settings.json":
        (session / "journal.jsonl").write_text("")  # it would go on
    for words in (("status",), ("--headless", "--plan", "plan.toml"), ("down",)):
        done = box.run(*words)
        if words[0] == "--headless" and name == "settings.json":
            continue  # an interrupted session is not replaced in any case
        assert done.returncode == 2, (words, done.stdout)
        (line,) = done.stderr.splitlines()
        assert str(session) in line and name in line
        assert line.endswith(f"to go on without this session, move {session.name} out of {box.logs}")
    session.rename(box.folder / session.name)
    box.ok("--headless", "--plan", "plan.toml")


def test_a_session_of_the_last_second_of_the_calendar_is_one_line(box: CliSandbox) -> None:
    spoil(box.logs / "session_99991231_235959", "nothing")
    done = box.run("--headless", "--plan", box.plan(PLAN))
    assert done.returncode == 2
    assert "no session can be newer; to go on without this session, move" in done.stderr.splitlines()[-1]
