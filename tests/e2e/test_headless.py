"""`--headless`: the whole session in the foreground, its output and its exit code."""

import json
import re
import signal

import pexpect
import pytest
from support.cli_sandbox import COMMAND, CliSandbox
from support.waiting import wait_until

DIAMOND = r"""
[runs.prepare]
command = ["sh", "-c", "echo prepared"]
slot = "none"
[runs.left]
command = ["sh", "-c", '''echo Epoch 1/1 loss 0.5; echo '{{"model": "Left", "r2": 0.75}}' > {output}/result.json''']
after = ["prepare"]
progress = 'Epoch (?P<epoch>\d+)/(?P<epochs>\d+) loss (?P<val_loss>\S+)'
[runs.right]
command = ["sh", "-c", "exit 0"]
after = ["prepare"]
[runs.last]
command = ["sh", "-c", "echo last"]
after = ["left", "right"]
"""

# Ends itself like a trainer: a checkpoint on SIGTERM, then exit code 143.
POLITE = """
[runs.polite]
command = ["sh", "-c", "trap 'echo checkpoint; exit 143' TERM; echo ready; while :; do sleep 0.2; done"]
"""


def test_a_session_that_succeeds_exits_0_and_prints_the_table(box: CliSandbox) -> None:
    done = box.run("--headless", "--plan", box.plan(DIAMOND))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "session finished: 4 succeeded" in done.stdout
    assert "r2" in done.stdout and "0.75" in done.stdout and "Left" in done.stdout
    (summary,) = box.logs.glob("session_*/summary.json")
    assert json.loads(summary.read_text())["runs"]["left"]["result"] == {"model": "Left", "r2": 0.75}


def test_dependencies_start_after_what_they_wait_for_has_ended(box: CliSandbox) -> None:
    box.run("--headless", "--plan", box.plan(DIAMOND))
    runs = box.status()["runs"]
    assert runs["last"]["started"] >= max(runs["left"]["ended"], runs["right"]["ended"])
    assert min(runs["left"]["started"], runs["right"]["started"]) >= runs["prepare"]["ended"]


def test_every_decision_is_a_line_of_the_sessions_log(box: CliSandbox) -> None:
    box.run("--headless", "--plan", box.plan(DIAMOND))
    (log,) = box.logs.glob("training_*.log")
    lines = log.read_text()
    for text in ("sequential: CPU", "left: starting attempt 1 on CPU", "last: succeeded", "session finished"):
        assert text in lines


def test_a_failed_run_makes_it_exit_1_and_blocks_what_waits_for_it(box: CliSandbox) -> None:
    plan = DIAMOND.replace("exit 0", "echo oops; exit 3")
    done = box.run("--headless", "--plan", box.plan(plan))
    assert done.returncode == 1
    assert "right: failed" in done.stdout and "exit code 3" in done.stdout
    assert "last: blocked by right (exit code 3)" in done.stdout
    status = box.status()
    assert status["state"] == "finished"
    assert status["runs"]["right"]["exit_code"] == 3
    assert status["runs"]["last"] | {"state": "blocked", "blocked_by": ["right"]} == status["runs"]["last"]


def test_a_run_that_rejects_its_input_makes_it_exit_2(box: CliSandbox) -> None:
    plan = DIAMOND.replace("echo prepared", "echo no such file; exit 2")
    assert box.run("--headless", "--plan", box.plan(plan)).returncode == 2


def test_a_command_that_does_not_exist_says_so(box: CliSandbox) -> None:
    done = box.run("--headless", "--plan", box.plan('[runs.x]\ncommand = ["no-such-program"]\n'))
    assert done.returncode == 1
    assert "cannot start no-such-program: No such file or directory" in done.stdout


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGXCPU,
    ],
)
def test_a_signal_stops_the_runs_cleanly_and_exits_128_plus_n(box: CliSandbox, number: signal.Signals) -> None:
    process = box.start("--headless", "--plan", box.plan(POLITE))
    box.wait(lambda status: status["runs"]["polite"]["pid"] and "ready" in box.log("polite").splitlines())
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + number, output
    assert "checkpoint" in box.log("polite").splitlines()
    assert box.status()["runs"]["polite"] | {"state": "stopped", "exit_code": 143} == box.status()["runs"]["polite"]
    assert box.living() == []


def test_a_second_signal_kills_a_run_that_does_not_end(box: CliSandbox) -> None:
    stubborn = POLITE.replace("echo checkpoint; exit 143", "echo no")
    process = box.start("--headless", "--plan", box.plan(stubborn))
    box.wait(lambda status: status["runs"]["polite"]["pid"] and "ready" in box.log("polite").splitlines())
    process.send_signal(signal.SIGINT)
    box.wait(lambda _: "no" in box.log("polite").splitlines())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert box.status()["runs"]["polite"]["signal"] == signal.SIGKILL
    assert box.living() == []


def test_a_warning_of_a_batch_system_and_the_sigterm_after_it_take_no_time_from_the_runs(box: CliSandbox) -> None:
    slow = POLITE.replace("echo checkpoint;", "echo told; sleep 3; echo checkpoint;")
    process = box.start("--headless", "--plan", box.plan(slow))
    box.wait(lambda status: status["runs"]["polite"]["pid"] and "ready" in box.log("polite").splitlines())
    for number in (signal.SIGUSR1, signal.SIGUSR1, signal.SIGTERM):
        process.send_signal(number)
        box.wait(lambda _: "told" in box.log("polite").splitlines())
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGUSR1, output
    assert box.log("polite").splitlines()[-2:] == ["told", "checkpoint"]


def test_its_reader_may_go_away(box: CliSandbox) -> None:
    process = box.start("--headless", "--plan", box.plan(DIAMOND.replace("echo prepared", "sleep 1")))
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    assert process.wait(timeout=30) == 0
    assert set(box.states().values()) == {"succeeded"}


def test_json_lines_tell_every_event_the_progress_and_the_summary(box: CliSandbox) -> None:
    plan = DIAMOND.replace("echo Epoch 1/1 loss 0.5;", "echo Epoch 1/1 loss 0.5; sleep 2.5;")
    done = box.run("--headless", "--json", "--plan", box.plan(plan))
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event for event in told if event["kind"] not in ("progress", "summary")] == box.journal()
    # The first one may come before the loss is read.
    expected = {"run": "left", "epoch": 1, "epochs": 1, "val_loss": 0.5}
    assert any(event | expected == event for event in told if event["kind"] == "progress"), done.stdout
    assert told[-1]["kind"] == "summary"
    assert told[-1]["runs"]["last"]["state"] == "succeeded"


def test_on_a_terminal_what_runs_is_shown_live_below_the_lines(box: CliSandbox) -> None:
    plan = box.plan(DIAMOND.replace("echo Epoch 1/1 loss 0.5;", "echo Epoch 1/2 loss 0.5; sleep 2.5;"))
    arguments = ["--headless", "--plan", plan]
    env = {**box.env, "TERM": "xterm-256color"}
    terminal = pexpect.spawn(
        str(COMMAND), arguments, cwd=str(box.folder), env=env, dimensions=(24, 100), encoding="utf-8", timeout=30
    )
    terminal.expect_exact("left  CPU   [########........]  epoch 1/2, val_loss 0.5")
    terminal.expect_exact("1 running")
    terminal.expect_exact("files: ")
    terminal.wait()
    assert terminal.exitstatus == 0


def test_on_finish_is_told_of_failures_and_of_the_end(box: CliSandbox) -> None:
    told = box.folder / "told"
    plan = box.plan(DIAMOND.replace("exit 0", "echo oops; exit 3"))
    box.run("--headless", "--plan", plan, "--on-finish", f'echo "$PMSSM_NEWS" >> {told}')
    wait_until(lambda: told.exists() and len(told.read_text().splitlines()) == 2)
    lines = sorted(told.read_text().splitlines())
    assert re.fullmatch(r"right: failed after .* s \(exit code 3: oops\)", lines[0])
    assert lines[1].startswith("session finished: ")


def test_a_run_that_awaits_the_end_of_others_finds_in_the_summary_how_they_ended(box: CliSandbox) -> None:
    runs = {"a": 'command = ["false"]', "b": 'command = ["true"]\nafter = ["a"]'}
    report = '[runs.report]\ncommand = ["cat", "{session}/summary.json"]\nafter_end = ["a", "b"]\n'
    plan = box.plan("".join(f"[runs.{name}]\n{lines}\n" for name, lines in runs.items()) + report)
    assert box.run("--headless", "--plan", plan).returncode == 1
    _, _, printed = box.log("report").partition("\n")  # the log begins with the attempt's header
    told = json.loads(printed)["runs"]
    assert {name: told[name]["state"] for name in runs} == {"a": "failed", "b": "blocked"}
