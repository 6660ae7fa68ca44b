"""The verbs on a session that runs in the background, and on one that has ended."""

import os
import signal
from pathlib import Path

from pmssm.supervisor.cli.logs import print_log
from support.cli_sandbox import CliSandbox
from support.waiting import wait_until

# `good` has to be there for `fragile` to succeed; `mlp` counts its starts.
FRAGILE = """
[runs.fragile]
command = ["sh", "-c", "test -e good"]
slot = "none"
[runs.steady]
command = ["true"]
slot = "none"
[runs.mlp]
command = ["sh", "-c", "echo started"]
after = ["fragile", "steady"]
"""

LONG = """
[runs.long]
command = ["sh", "-c", "trap 'echo checkpoint; exit 143' TERM; echo ready $*; while :; do sleep 0.2; done", "sh"]
fresh_args = ["fresh"]
[runs.after]
command = ["true"]
after = ["long"]
"""

UNTIL_GO = """
[runs.a]
command = ["sh", "-c", "until test -e go; do sleep 0.1; done"]
[runs.b]
command = ["true"]
after = ["a"]
"""


def _start_long(box: CliSandbox) -> int:
    box.ok("--detach", "--plan", box.plan(LONG))
    status = box.wait(lambda status: status["runs"]["long"]["pid"] and "ready" in box.log("long").splitlines())
    return int(status["runs"]["long"]["pid"])


def test_detach_returns_while_the_runs_go_on(box: CliSandbox) -> None:
    pid = _start_long(box)
    status = box.status()
    assert status["state"] == "running" and status["engine_pid"] in box.engines()
    assert status["runs"]["after"] | {"state": "waiting", "reason": "waits for long"} == status["runs"]["after"]
    os.kill(pid, 0)


def test_stop_is_gentle_and_restart_resumes(box: CliSandbox) -> None:
    _start_long(box)
    assert "SIGTERM" in box.ok("stop", "long")
    status = box.wait(lambda status: status["runs"]["long"]["state"] == "stopped")
    assert status["runs"]["long"]["exit_code"] == 143 and "checkpoint" in box.log("long").splitlines()
    assert status["runs"]["after"]["blocked_by"] == ["long"]
    box.ok("restart", "long")
    status = box.wait(lambda status: status["runs"]["long"]["pid"])
    assert status["runs"]["long"]["attempt"] == 2
    box.wait(lambda _: box.log("long").splitlines().count("ready") == 2)


def test_restart_of_a_running_run_stops_it_first_and_fresh_reaches_the_command(box: CliSandbox) -> None:
    _start_long(box)
    box.ok("restart", "long", "--fresh")
    box.wait(lambda status: status["runs"]["long"]["attempt"] == 2 and "ready fresh" in box.log("long").splitlines())
    lines = box.log("long").splitlines()
    assert lines.index("checkpoint") < lines.index("ready fresh")


def test_kill_is_sigkill(box: CliSandbox) -> None:
    _start_long(box)
    box.ok("kill", "long")
    status = box.wait(lambda status: status["runs"]["long"]["state"] == "stopped")
    assert status["runs"]["long"]["signal"] == signal.SIGKILL
    assert "checkpoint" not in box.log("long").splitlines() and box.living() == []


def test_down_ends_the_session_and_its_engine_and_says_so(box: CliSandbox) -> None:
    _start_long(box)
    assert "the session has ended" in box.ok("down")
    assert box.engines() == []
    assert box.states() == {"long": "stopped", "after": "stopped"}
    assert box.living() == [] and "checkpoint" in box.log("long").splitlines()
    assert box.status()["engine_pid"] is None


def test_an_mlp_whose_transformer_failed_starts_once_that_was_restarted_to_success(box: CliSandbox) -> None:
    assert box.run("--headless", "--plan", box.plan(FRAGILE)).returncode == 1
    assert box.status()["runs"]["mlp"] | {"state": "blocked", "blocked_by": ["fragile"]} == box.status()["runs"]["mlp"]
    (box.folder / "good").touch()
    box.ok("restart", "fragile")
    box.wait(lambda status: {run["state"] for run in status["runs"].values()} == {"succeeded"})
    assert box.log("mlp").splitlines().count("started") == 1
    assert "engine started" in box.ok("logs")


def test_logs_prints_a_run_or_the_session_and_cleans_what_it_prints(box: CliSandbox) -> None:
    plan = box.plan('[runs.a]\ncommand = ["printf", "one\\\\n\\\\033]0;title\\\\007two\\\\nthree\\\\n"]\n')
    box.ok("--headless", "--plan", plan)
    assert box.ok("logs", "a").splitlines()[1:] == ["one", "two", "three"]
    assert box.ok("logs", "a", "-n", "1").splitlines() == ["three"]
    assert "a: succeeded" in box.ok("logs")


def test_logs_prints_all_of_a_long_log(box: CliSandbox) -> None:
    box.ok("--headless", "--plan", box.plan('[runs.a]\ncommand = ["seq", "2000000"]\n'))
    numbers = box.ok("logs", "a").splitlines()[1:]
    assert (len(numbers), numbers[0], numbers[-1]) == (2_000_000, "1", "2000000")


def test_last_words_without_a_newline_are_shown_and_the_next_attempt_begins_a_line_of_its_own(box: CliSandbox) -> None:
    box.run("--headless", "--plan", box.plan('[runs.a]\ncommand = ["sh", "-c", "printf oops; exit 1"]\n'))
    box.ok("restart", "a")
    box.wait(lambda status: status["runs"]["a"]["attempt"] == 2 and status["state"] == "finished")
    first, oops, second, oops_again = box.ok("logs", "a").splitlines()
    assert "attempt 1" in first and "attempt 2" in second
    assert (oops, oops_again) == ("oops", "oops")


def test_logs_follow_shows_what_comes(box: CliSandbox) -> None:
    _start_long(box)
    follower = box.start("logs", "long", "-f")
    assert follower.stdout is not None
    assert "attempt 1" in follower.stdout.readline()
    assert follower.stdout.readline().strip() == "ready"
    box.ok("stop", "long")
    box.wait(lambda status: status["runs"]["long"]["state"] == "stopped")
    shown = [follower.stdout.readline().strip() for _ in range(1)]
    assert shown[0] in ("Terminated", "checkpoint")


def test_ctrl_c_ends_a_follower_of_logs_without_a_word(box: CliSandbox) -> None:
    _start_long(box)
    follower = box.start("logs", "long", "-f")
    assert follower.stdout is not None and "attempt 1" in follower.stdout.readline()
    follower.send_signal(signal.SIGINT)
    output, _ = follower.communicate(timeout=30)
    assert follower.returncode == 130 and output.strip() in ("", "ready")


def test_ctrl_c_after_the_session_was_created_says_that_it_goes_on(box: CliSandbox) -> None:
    start = box.start("--detach", "--plan", box.plan(LONG))
    wait_until(lambda: list(box.logs.glob("session_*/engine.log")), what="the start of an engine")
    start.send_signal(signal.SIGINT)
    output, _ = start.communicate(timeout=30)
    assert start.returncode == 130
    assert f"session {box.status()['session']} is not ended by Ctrl-C" in output


def test_the_last_lines_of_a_large_log_are_read_from_its_end(box: CliSandbox) -> None:
    box.ok("--headless", "--plan", box.plan('[runs.a]\ncommand = ["seq", "5"]\n'))
    (path,) = box.logs.glob("a_*.log")
    assert box.ok("logs", "a", "-n", "2") == "4\n5\n"
    whole = path.read_text()
    with path.open("r+") as file:
        file.truncate(1 << 40)  # a hole: it takes no disk, and minutes to read
        file.seek(1 << 40)
        file.write("\n" + whole)
    assert box.ok("logs", "a", "-n", "2", timeout=20) == "4\n5\n"


def test_a_log_that_grows_faster_than_it_is_printed_has_an_end(box: CliSandbox) -> None:
    box.ok("--headless", "--plan", box.plan('[runs.a]\ncommand = ["seq", "3"]\n'))
    (path,) = box.logs.glob("a_*.log")
    printed: list[str] = []

    def print_and_grow(text: str) -> None:
        assert len(printed) < 9
        printed.append(text)
        with path.open("a") as file:
            file.write("more\n" * 10)

    print_log(box.logs, "a", stamp=None, follow=False, last=None, write=print_and_grow)
    assert printed[0].endswith("1\n2\n3")


def test_a_log_that_was_moved_away_is_named_as_such(box: CliSandbox) -> None:
    runs = '[runs.a]\ncommand = ["true"]\n[runs.b]\ncommand = ["true"]\nafter = ["c"]\n[runs.c]\ncommand = ["false"]\n'
    box.run("--headless", "--plan", box.plan(runs))
    for path in [*box.logs.glob("a_*.log"), *box.logs.glob("training_*.log")]:
        path.rename(box.folder / path.name)
    for arguments in (["a"], ["a", "-f"], ["a", "-n", "3"], []):
        done = box.run("logs", *arguments, timeout=20)
        assert done.returncode == 2
        assert done.stderr.endswith(".log: was moved or deleted; put it back to read it here\n")
    assert "b has not started; `logs b -f` waits for it" in box.run("logs", "b").stderr


def test_the_logs_folder_may_be_named_before_or_after_the_verb(box: CliSandbox) -> None:
    box.ok("--headless", "--plan", box.plan('[runs.a]\ncommand = ["true"]\n'), "--logs", "elsewhere")
    assert "succeeded" in box.ok("status", "--logs", "elsewhere")
    assert "succeeded" in box.ok("--logs", "elsewhere", "status")


def test_everything_written_is_private(box: CliSandbox) -> None:
    box.ok("--headless", "--plan", box.plan('[runs.a]\ncommand = ["true"]\n'))
    (session,) = box.logs.glob("session_*")
    assert session.stat().st_mode & 0o077 == 0
    written = [path for path in box.logs.rglob("*") if path.is_file()]
    assert written and all(path.stat().st_mode & 0o077 == 0 for path in written), written


def test_an_engine_that_is_killed_is_brought_back_by_any_verb_and_nothing_is_lost(box: CliSandbox) -> None:
    pid = _start_long(box)
    engine = box.status()["engine_pid"]
    os.kill(engine, signal.SIGKILL)
    status = box.status()
    assert status["engine_pid"] != engine
    assert status["runs"]["long"] | {"state": "running", "pid": pid, "attempt": 1} == status["runs"]["long"]
    box.ok("stop", "long")
    status = box.wait(lambda status: status["runs"]["long"]["state"] == "stopped")
    assert status["runs"]["long"]["exit_code"] == 143


def test_what_ended_while_no_engine_lived_keeps_its_exit_code_and_its_successor_starts(box: CliSandbox) -> None:
    box.ok("--detach", "--plan", box.plan(UNTIL_GO))
    status = box.wait(lambda status: status["runs"]["a"]["pid"])
    os.kill(status["engine_pid"], signal.SIGKILL)
    (box.folder / "go").touch()
    _wait_for_exit(box, "a")
    status = box.wait(lambda status: status["state"] == "finished")
    assert {name: run["exit_code"] for name, run in status["runs"].items()} == {"a": 0, "b": 0}
    starts = [event["run"] for event in box.journal() if event["kind"] == "attempt_starting"]
    assert starts == ["a", "b"]


def _wait_for_exit(box: CliSandbox, run: str) -> None:
    import time

    end = time.monotonic() + 30
    while not any(Path(box.logs).glob(f"session_*/{run}/attempt_1/exit.json")):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_shim_that_is_killed_leaves_a_run_that_is_watched_and_ends_as_lost(box: CliSandbox) -> None:
    pid = _start_long(box)
    shim = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(shim, signal.SIGKILL)
    status = box.status()
    assert status["runs"]["long"] | {"state": "running", "pid": pid} == status["runs"]["long"]
    box.ok("stop", "long")
    status = box.wait(lambda status: status["runs"]["long"]["state"] not in ("running", "stopping"))
    assert status["runs"]["long"] | {"state": "lost", "exit_code": None} == status["runs"]["long"]
    assert box.living() == []


def test_start_without_a_run_resumes_everything_that_down_stopped(box: CliSandbox) -> None:
    _start_long(box)
    box.ok("down")
    answer = box.ok("start")
    assert "long: starts again" in answer and "after: starts once long succeeded" in answer
    status = box.wait(lambda status: status["runs"]["long"]["pid"])
    assert status["runs"]["long"]["attempt"] == 2 and status["runs"]["after"]["state"] == "waiting"


def test_the_last_error_of_its_log_says_why_a_run_failed(box: CliSandbox) -> None:
    line = "2026-01-22 15:31:00 [error    ] prepare              | points.csv: no column named 'IN_tanb'"
    script = f'echo start; echo "{line}"; echo bye; exit 2'
    (box.folder / "script").write_text(script)
    done = box.run("--headless", "--plan", box.plan('[runs.a]\ncommand = ["sh", "script"]\n'))
    assert "exit code 2: points.csv: no column named 'IN_tanb'" in done.stdout
    assert box.status()["runs"]["a"]["reason"] == "exit code 2: points.csv: no column named 'IN_tanb'"


def test_a_new_session_need_not_wait_for_the_engine_of_a_finished_one(box: CliSandbox) -> None:
    plan = box.plan('[runs.a]\ncommand = ["true"]\n')
    box.ok("--headless", "--plan", plan)
    assert box.run("stop", "a").returncode == 2  # and its engine lingers for a while
    box.ok("--headless", "--plan", plan)
    assert len(list(box.logs.glob("session_*"))) == 2
