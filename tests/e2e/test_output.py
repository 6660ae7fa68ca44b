"""Output that cannot be written, or whose encoding lacks characters: no traceback, and the session goes on."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from support.cli_sandbox import COMMAND, CliSandbox

PLAN = '[session]\nname = "κ scan"\n[runs.a]\ncommand = ["sh", "-c", "sleep 0.3"]\nslot = "none"\n'
COMMANDS = ("status", "status --json", "sessions", "logs", "check", "--help")


def run_shell(box: CliSandbox, arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command with the shell's redirections."""
    return subprocess.run(
        ["sh", "-c", f"{COMMAND} {arguments}"],
        cwd=box.folder,
        env=box.env,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("redirection", [">&-", "<&- >&- 2>&-", ">/dev/full", "1</dev/null"])
def test_a_session_in_the_foreground_needs_no_standard_output(box: CliSandbox, redirection: str) -> None:
    done = run_shell(box, f"--headless --plan {box.plan(PLAN)} {redirection}")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert box.status()["state"] == "finished"
    assert box.states() == {"a": "succeeded"}


def test_no_file_of_a_session_takes_the_place_of_a_closed_stream(box: CliSandbox) -> None:
    plan = PLAN.replace("sleep 0.3", "ls -l /proc/$PPID/fd")
    assert run_shell(box, f"--headless --plan {box.plan(plan)} <&- >&-").returncode == 0
    opened = dict(line.split(" -> ") for line in box.log("a").splitlines() if " -> " in line)
    assert all(not target.endswith("journal.jsonl") for target in opened.values())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_an_encoding_that_lacks_characters_gets_others(box: CliSandbox, encoding: str) -> None:
    box.env["PYTHONIOENCODING"] = encoding
    texts = {}
    for command in (f"--headless --plan {box.plan(PLAN)}", *COMMANDS):
        done = run_shell(box, command)
        assert done.returncode == 0, (command, done.stderr)
        texts[command.split(" --plan")[0]] = done.stdout.decode(encoding)
        assert command not in COMMANDS or done.stderr == b"", command
    assert "files: " in texts["--headless"]
    assert ("(κ scan)" if encoding == "utf-8" else "(? scan)") in texts["status"]
    assert ("─────" if encoding == "utf-8" else "-----") in texts["status"]
    assert json.loads(texts["status --json"])["name"] == "κ scan"
    assert texts["status --json"].isascii()


def test_json_lines_are_complete_in_any_encoding(box: CliSandbox) -> None:
    box.env["PYTHONIOENCODING"] = "ascii"
    plan = PLAN.replace("sleep 0.3", "echo Ω; exit 3")
    done = run_shell(box, f"--headless --json --plan {box.plan(plan)}")
    events = [json.loads(line) for line in done.stdout.decode("ascii").splitlines()]
    assert next(event for event in events if event["kind"] == "attempt_ended")["exit"]["last_words"] == "Ω"
    assert events[-1]["kind"] == "summary"


@pytest.mark.parametrize("command", ["status", "sessions", "logs", "check"])
def test_a_full_disk_under_the_output_is_one_line(box: CliSandbox, command: str) -> None:
    box.ok("--headless", "--plan", box.plan(PLAN))
    done = run_shell(box, f"{command} > /dev/full")
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        "pmssm-supervise: cannot write to standard output: No space left on device; redirect it elsewhere"
    ]


def test_an_error_is_one_line_in_any_encoding(box: CliSandbox) -> None:
    box.env["PYTHONIOENCODING"] = "ascii"
    done = run_shell(box, "--headless --plan κ.toml")
    assert done.returncode == 2
    assert done.stderr == b"pmssm-supervise: ?.toml: cannot read the plan: No such file or directory\n"


def test_a_name_that_is_no_utf8_is_shown(box: CliSandbox) -> None:
    box.env |= {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(
        [os.fsencode(COMMAND), b"--headless", b"--plan", b"\xff.toml"],
        cwd=box.folder, env=box.env, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line.endswith(".toml: cannot read the plan: No such file or directory")


def test_a_foreground_that_is_refused_leaves_no_session(box: CliSandbox) -> None:
    done = run_shell(box, f"--plan {box.plan(PLAN)} <&- >&-")
    assert done.returncode == 2
    assert b"there is no terminal" in done.stderr
    assert not Path(box.logs).exists()
