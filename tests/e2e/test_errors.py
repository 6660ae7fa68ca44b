"""Bad input: one clear line, exit code 2, no traceback, nothing written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.cli_sandbox import CliSandbox

RUN = '[runs.a]\ncommand = ["true"]\n'
BAD_PLANS = {
    "cycle": ('[runs.a]\ncommand=["true"]\nafter=["b"]\n[runs.b]\ncommand=["true"]\nafter=["a"]\n', "circle"),
    "unknown run": ('[runs.a]\ncommand=["true"]\n[runs.b]\ncommand=["true"]\nafter=["aa"]\n', "did you mean 'a'?"),
    "unknown key": (RUN + 'comand = ["x"]\n', "did you mean 'command'?"),
    "not TOML": ("[runs.a\n", "not valid TOML"),
    "no runs": ("[session]\nname = 'x'\n", "runs: is required"),
    "placeholder": ('[runs.a]\ncommand = ["{sesion}"]\n', "did you mean 'session'?"),
}


def refuse(box: CliSandbox, *arguments: str) -> str:
    """The one line with which a command refuses."""
    done = box.run(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    return line


@pytest.mark.parametrize("name", BAD_PLANS)
def test_a_bad_plan_is_refused_and_the_line_names_file_and_field(box: CliSandbox, name: str) -> None:
    text, expected = BAD_PLANS[name]
    line = refuse(box, "--headless", "--plan", box.plan(text))
    assert "plan.toml: " in line and expected in line
    assert not box.logs.exists()


def test_a_plan_that_is_not_there_is_refused(box: CliSandbox) -> None:
    assert "nowhere.toml: cannot read the plan: No such file" in refuse(box, "--headless", "--plan", "nowhere.toml")


def test_a_plan_without_end_is_refused(box: CliSandbox) -> None:
    assert "/dev/zero: longer than 16 MiB; a plan is a TOML file" in refuse(box, "--headless", "--plan", "/dev/zero")


def test_a_logs_folder_without_a_name_is_refused(box: CliSandbox) -> None:
    assert "--logs: the folder's name is empty" in refuse(box, "--logs", "", "status")
    assert "--logs: the folder's name is empty" in refuse(box, "status", "--logs", "")


@pytest.mark.parametrize("words", [("--headless",), ("status",), ("sessions",), ("down",), ("logs",)], ids=" ".join)
def test_a_logs_folder_that_no_path_leads_to_is_refused(box: CliSandbox, words: tuple[str, ...]) -> None:
    (box.folder / "loop").symlink_to("loop")
    line = refuse(box, *words, "--logs", "loop")
    assert line.endswith("/loop: cannot be used: Too many levels of symbolic links; choose another folder with --logs")
    assert "too long" in refuse(box, *words, "--logs", "x" * 300)


HOSTILE = "\x1b]0;PWN\x07\x1b[31m\x9b2J\u202e\nb"


def test_no_character_of_a_plan_or_a_folder_controls_the_terminal(box: CliSandbox) -> None:
    folder = box.folder / "l\x1b[31mogs\udcff"
    plan = box.plan(f'[session]\nname = {json.dumps(HOSTILE)}\n[runs.a]\ncommand = ["true"]\nslot = "none"\n')
    at = ("--logs", str(box.folder / "l\x1b[31mogs"))
    shown = box.ok("--headless", "--plan", plan, *at)
    shown += box.ok("status", *at) + box.ok("status", "--json", *at) + box.ok("sessions", *at)
    for refused in (("status", "--logs", str(folder)), ("logs", "b\x1b[2J", *at), ("--headless", "--plan", "\x1b[2J")):
        shown += box.run(*refused).stderr
    assert shown.replace("\n", "").isprintable(), repr(shown)
    assert "(\\u001b]0;PWN\\u0007\\u001b[31m\\u009b2J\\u202e\\nb): finished" in shown
    assert json.loads(box.ok("status", "--json", *at))["name"] == HOSTILE


def test_data_that_match_no_file_are_refused(box: CliSandbox) -> None:
    assert "--data nothing/*.root: no such file" in refuse(box, "--headless", "--data", "nothing/*.root")
    assert not box.logs.exists()


def test_options_that_the_plan_does_not_use_are_refused(box: CliSandbox) -> None:
    assert "--epochs would have no effect" in refuse(box, "--headless", "--plan", box.plan(RUN), "--epochs", "3")


@pytest.mark.parametrize(
    ("wish", "expected"),
    [("7", "there is no GPU 7"), ("1,1", "twice"), ("1;2", "1;2"), ("GPU-nonsense", "GPU-nonsense")],
)
def test_gpus_that_cannot_be_had_are_refused(
    make_box: Callable[[dict[str, str]], CliSandbox],
    fake_nvml: Any,  # noqa: ANN401
    wish: str,
    expected: str,
) -> None:
    box = make_box(fake_nvml(gpus=3).env)
    line = refuse(box, "--headless", "--gpus", wish, "--plan", box.plan(RUN))
    assert "--gpus" in line and expected in line
    assert not box.logs.exists()


def test_a_second_session_on_the_same_logs_folder_is_refused(box: CliSandbox) -> None:
    box.ok("--detach", "--plan", box.plan('[runs.a]\ncommand = ["sleep", "600"]\n'))
    line = refuse(box, "--headless", "--plan", "plan.toml")
    assert "a session is running in this folder" in line and "attach" in line
    assert len(list(box.logs.glob("session_*"))) == 1
    box.ok("kill", "a")


def test_a_logs_folder_that_cannot_be_written_is_refused(box: CliSandbox) -> None:
    (box.folder / "logs").touch()
    assert "logs" in refuse(box, "--headless", "--plan", box.plan(RUN))
    (box.folder / "logs").unlink()
    Path(box.folder / "logs").symlink_to("/proc/1")
    assert "choose another folder with --logs" in refuse(box, "--headless", "--plan", "plan.toml")


def test_verbs_without_a_session_say_how_to_start_one(box: CliSandbox) -> None:
    for verb in (["status"], ["stop", "a"], ["restart", "a"], ["down"], ["logs"], ["attach"]):
        assert "no session here; start one with `pmssm-supervise`" in refuse(box, *verb)


def test_a_run_that_does_not_exist_is_refused_with_near_names(box: CliSandbox) -> None:
    box.ok("--headless", "--plan", box.plan('[runs.transformer]\ncommand = ["true"]\n'))
    assert "did you mean 'transformer'?" in refuse(box, "restart", "transfomer")
    assert "did you mean 'transformer'?" in refuse(box, "logs", "transfomer")
    assert "is not running (succeeded)" in refuse(box, "stop", "transformer")


def test_what_a_live_session_refuses_is_in_its_log(box: CliSandbox) -> None:
    two_runs = '[runs.a]\ncommand = ["sleep", "100"]\n[runs.b]\ncommand = ["true"]\nafter = ["a"]\n'
    box.ok("--detach", "--plan", box.plan(two_runs))
    box.wait(lambda status: status["runs"]["a"]["state"] == "running")
    assert "is running already" in refuse(box, "start", "a")
    assert "start refused: a: is running already" in box.log("training")


@pytest.mark.parametrize("arguments", [["status"], ["--headless"], ["--logs", "elsewhere", "sessions"]])
def test_a_folder_that_was_deleted_under_the_shell_is_named(box: CliSandbox, arguments: list[str]) -> None:
    box.prefix = ("sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh")
    assert "the present folder was deleted; go to another one" in refuse(box, *arguments)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--epochs", "0"], "Invalid value for '--epochs': 0 is not in the range x>=1; see --help"),
        (["--headles"], "No such option '--headles'"),
        (["frobnicate"], "No such command 'frobnicate'"),
        (["stop"], "Missing argument 'RUN'"),
        (["logs", "-n", "0"], "0 is not in the range"),
        (["--cpu-slots", "0"], "0 is not in the range"),
        (["check", "--cpu-slots", "4", "--gpus", "1"], "without a GPU; leave out --gpus, or --cpu-slots"),
        (["check", "--cpu-slots", "4", "--no-parallel"], "leave out --no-parallel, or --cpu-slots"),
    ],
)
def test_a_bad_option_is_one_line(box: CliSandbox, arguments: list[str], expected: str) -> None:
    assert expected in refuse(box, *arguments)


def test_a_dashboard_without_a_terminal_is_refused(box: CliSandbox) -> None:
    assert "add --headless or --detach" in refuse(box, "--plan", box.plan(RUN))


def test_options_of_a_session_before_a_verb_are_refused(box: CliSandbox) -> None:
    assert "--epochs is for the start of a session" in refuse(box, "--epochs", "3", "status")


def test_a_damaged_session_is_named(box: CliSandbox) -> None:
    box.ok("--headless", "--plan", box.plan(RUN))
    (journal,) = box.logs.glob("session_*/journal.jsonl")
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([lines[0], "garbage\n", *lines[1:]]))
    assert "line 2 is damaged" in refuse(box, "status")


def test_check_reports_on_data_without_training_and_refuses_bad_ones_with_exit_code_2(box: CliSandbox) -> None:
    names = "meL meR mtauL mtauR mqL1 muR mdR mqL3 mtR mbR M_1 M_2 mu M_3 AT Ab Atau mA tanb MO_Omega"
    rows = [",".join(map(str, [*range(row, row + 19), row / 50])) for row in range(1, 40)]
    (box.folder / "points.csv").write_text("\n".join([names.replace(" ", ","), *rows]) + "\n")
    told = box.ok("check", "--data", "points.csv", "--y-transform", "log")
    assert "Rows: 39 read from 1 file, 39 usable (100.0 %)" in told
    assert "learned as ln(y / 0.12)" in told
    done = box.run("check", "--data", "points.csv", "--target", "relic_densty")
    assert done.returncode == 2
    assert "no column named 'relic_densty'" in done.stderr and "--target (relic_density, " in done.stderr
    assert not box.logs.exists()
