"""What the commands cost to start: which packages they import."""

import re
from pathlib import Path

import pytest
from support.cli_sandbox import CliSandbox

HEAVY = {"aiohttp", "torch", "numpy", "pandas", "textual", "uproot", "matplotlib", "pynvml"}


def imported(box: CliSandbox, *arguments: str) -> set[str]:
    """Top-level names of all modules that a command imports, as the interpreter reports them."""
    box.env["PYTHONPROFILEIMPORTTIME"] = "1"
    done = box.run(*arguments)
    del box.env["PYTHONPROFILEIMPORTTIME"]
    assert done.returncode == 0, done.stderr
    names = re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("restart", "--help")])
def test_help_imports_nothing_but_click(box: CliSandbox, arguments: tuple[str, ...]) -> None:
    names = imported(box, *arguments)
    assert "click" in names
    assert not names & {*HEAVY, "asyncio", "pydantic", "psutil"}


def test_completion_imports_nothing_but_click(box: CliSandbox) -> None:
    box.ok("--headless", "--plan", box.plan('[runs.a]\ncommand = ["true"]\n'))
    words = {"COMP_WORDS": "pmssm-supervise stop ", "COMP_CWORD": "2"}
    box.env |= {"_PMSSM_SUPERVISE_COMPLETE": "bash_complete", **words}
    names = imported(box)
    assert {"click", "tomllib"} <= names
    assert not names & {*HEAVY, "asyncio", "pydantic", "psutil"}


def test_status_imports_nothing_heavy_and_of_a_finished_session_no_event_loop(box: CliSandbox) -> None:
    box.ok("--headless", "--plan", box.plan('[runs.a]\ncommand = ["true"]\n'))
    names = imported(box, "status", "--json")
    assert "pydantic" in names
    assert not names & {*HEAVY, "asyncio", "psutil"}


def test_an_engine_holds_no_cryptography_in_memory(box: CliSandbox) -> None:
    box.ok("--detach", "--plan", box.plan('[runs.a]\ncommand = ["sleep", "100"]\n'))
    status = box.wait(lambda status: status["runs"]["a"]["state"] == "running")
    mapped = Path(f"/proc/{status['engine_pid']}/maps").read_text()
    assert "libc" in mapped
    assert "libcrypto" not in mapped
