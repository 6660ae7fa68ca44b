"""Shell completion, through the mechanism that the scripts for bash, zsh and fish use."""

import subprocess
from pathlib import Path

import pytest
from support.cli_sandbox import COMMAND, CliSandbox

PLAN = """
[runs.transformer]
command = ["true"]
[runs.transformer_tabular]
command = ["true"]
[runs.mlp]
command = ["true"]
"""


def complete(box: CliSandbox, words: str) -> list[str]:
    """Return the values offered for the last of the words, as bash would get them."""
    count = len(words.split(" ")) - 1
    box.env |= {"_PMSSM_SUPERVISE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count)}
    done = box.run()
    for name in ("_PMSSM_SUPERVISE_COMPLETE", "COMP_WORDS", "COMP_CWORD"):
        del box.env[name]
    assert (done.returncode, done.stderr) == (0, "")
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.fixture
def stamps(box: CliSandbox) -> list[str]:
    """Return the stamps of two sessions, newest first; the older one has the run `other` alone."""
    box.ok("--headless", "--plan", box.plan('[runs.other]\ncommand = ["true"]\n'))
    box.ok("--headless", "--plan", box.plan(PLAN))
    return sorted((path.name.removeprefix("session_") for path in box.logs.glob("session_*")), reverse=True)


def test_verbs_and_options_are_completed(box: CliSandbox) -> None:
    assert complete(box, "pmssm-supervise sta") == ["start", "status"]
    assert complete(box, "pmssm-supervise --n-") == ["--n-datasets", "--n-samples"]
    assert complete(box, "pmssm-supervise restart --f") == ["--fresh"]
    assert complete(box, "pmssm-supervise --precision b") == ["bf16"]


def test_runs_of_the_newest_session_are_completed(box: CliSandbox, stamps: list[str]) -> None:
    for verb in ("stop", "kill", "restart", "start", "logs"):
        assert complete(box, f"pmssm-supervise {verb} trans") == ["transformer", "transformer_tabular"]
    assert complete(box, f"pmssm-supervise logs --session {stamps[1]} ") == ["other"]


def test_stamps_are_completed_newest_first(box: CliSandbox, stamps: list[str]) -> None:
    assert complete(box, "pmssm-supervise status --session ") == stamps
    assert complete(box, f"pmssm-supervise status --session {stamps[0]}") == [stamps[0]]
    assert complete(box, "pmssm-supervise status --session 1999") == []


@pytest.mark.usefixtures("stamps")
def test_the_logs_folder_may_be_named_before_or_after_the_verb(box: CliSandbox) -> None:
    box.logs.rename(box.folder / "elsewhere")
    assert complete(box, "pmssm-supervise stop m") == []
    assert complete(box, "pmssm-supervise --logs elsewhere stop m") == ["mlp"]
    assert complete(box, "pmssm-supervise stop --logs elsewhere m") == ["mlp"]


@pytest.mark.parametrize("plan", ["not TOML [", "runs = 3", "[session]\n", b"\xff", None])
def test_a_damaged_session_offers_nothing_and_says_nothing(
    box: CliSandbox, stamps: list[str], plan: str | bytes
) -> None:
    path = box.logs / f"session_{stamps[0]}" / "plan.toml"
    path.unlink()
    if plan is not None:
        path.write_bytes(plan if isinstance(plan, bytes) else plan.encode())
    assert complete(box, "pmssm-supervise stop ") == []


def test_without_a_logs_folder_there_is_nothing_to_complete(box: CliSandbox) -> None:
    assert complete(box, "pmssm-supervise stop ") == []
    assert complete(box, "pmssm-supervise status --session ") == []
    Path(box.logs).touch()
    assert complete(box, "pmssm-supervise stop ") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(box: CliSandbox, shell: str) -> None:
    box.env["_PMSSM_SUPERVISE_COMPLETE"] = f"{shell}_source"
    assert f"{shell}_complete" in box.ok()


def test_bash_completes_after_it_has_read_the_script(box: CliSandbox) -> None:
    script = """
eval "$(_PMSSM_SUPERVISE_COMPLETE=bash_source pmssm-supervise)"
COMP_WORDS=(pmssm-supervise sta) COMP_CWORD=1
_pmssm_supervise_completion pmssm-supervise
echo "${COMPREPLY[*]}"
"""
    env = box.env | {"PATH": f"{COMMAND.parent}:{box.env['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["start", "status"]
