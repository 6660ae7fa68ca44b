"""The installed command in a real terminal, with a real engine and real processes."""

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Iterator

import pytest
from support.real_terminal import DEADLINE_S, Session, Terminal


@pytest.fixture
def session(env_without_nvml: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    made = Session(tmp_path_factory.mktemp("s"), env_without_nvml)
    yield made
    made.run_command("down")


def test_a_session_is_started_stopped_restarted_left_and_attached_again(session: Session) -> None:
    screen = session.start()
    screen.until(r"alpha +▶ running", r"beta +✗ failed", r"gamma +⊘ blocked", r"Epoch \d+/10000")
    screen.press("/x.*Epoch|val\r")  # all at once, as over a slow line; none of it may run a command
    screen.until(r"match \d+/\d+ for 'x.\*Epoch\|val'")
    screen.press("x")
    screen.until("Stop alpha", "up to 5 s, then")
    screen.press("y")
    screen.until(r"alpha +■ stopped")
    screen.press("r")
    screen.until(r"alpha +▶ running", r"attempt 2")
    screen.press("\tj")  # the search has left the keys that scroll to the log
    screen.until(r"beta: ✗ failed · exit code 3", r"evil \[/x\]  line")
    assert b"\x1b]0;title" not in screen.received
    screen.press("j")
    screen.until(r"gamma: ⊘ blocked · blocked by beta \(exit code 3\)")
    screen.press("q")
    assert "Detached; the runs continue." in screen.until_left()
    assert screen.process.exitstatus == 0

    again = session.attach()
    again.until(r"alpha: ▶ running", r"attempt 2")
    again.resize(140, 40)
    again.until("trend", "best val")
    again.resize(60, 20)
    again.until(r"alpha +▶ running")
    again.press("Q")
    again.until("End the session?", r"up to 5 s, then")
    again.press("y")
    again.until("The session has finished", r"alpha +■ stopped")
    again.press("q")
    assert "The session has finished." in again.until_left()


def test_dashboard_and_runs_survive_the_death_of_the_engine(session: Session) -> None:
    session.run_command("--detach", "--plan", str(session.plan))
    screen = session.attach(140, 40)
    screen.until(r"alpha +▶ running", r"pid \d+")
    before = re.search(r"pid (\d+)", screen.text)
    engine = re.search(r'"engine_pid": *(\d+)', session.run_command("status", "--json"))
    assert before is not None
    assert engine is not None
    os.kill(int(engine[1]), signal.SIGKILL)
    text = screen.until("engine unreachable, reconnecting…")
    assert "the engine closed the connection" in text and "command" not in text  # nobody has sent one
    deadline = time.monotonic() + DEADLINE_S
    while "reconnecting" in screen.text:
        assert time.monotonic() < deadline, screen.text
        screen.read()
    screen.until(r"alpha +▶ running", rf"pid {before[1]}\b", "reconnected to the engine")
    screen.process.kill(signal.SIGKILL)  # as a lost connection would
    assert re.search(rf'"pid": *{before[1]}\b', session.run_command("status", "--json"))


def test_a_finished_session_can_be_viewed_and_resumed(session: Session) -> None:
    session.start().until(r"alpha +▶ running", r"beta +✗ failed")
    session.run_command("down")
    screen = session.attach(120, 40)
    screen.until("The session has finished", r"alpha +■ stopped", "r restarts a run")
    screen.press("kkk")
    screen.until("alpha: ■ stopped")
    screen.press("r")
    screen.until(r"alpha +▶ running", "attempt 2")


@pytest.fixture(scope="module")
def running_session(env_without_nvml: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A running session for tests that change nothing in it."""
    made = Session(tmp_path_factory.mktemp("s"), env_without_nvml)
    made.run_command("--detach", "--plan", str(made.plan))
    yield made
    made.run_command("down")


@pytest.fixture
def attached(running_session: Session) -> Terminal:
    """A dashboard that shows a running session."""
    screen = running_session.attach()
    screen.until(r"alpha +▶ running", r"beta +✗ failed")
    return screen


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe\x00",
        "é".encode("latin-1"),
        b"\x1b[99999999999;5u",
        b"\x1b[55296u",
        b"\x1b[<0;99999999;99999999M\x1b[48;0;0;0;0t\x1b[<35;5;5M",
        b"\x1b[48;99999;99999;0;0t",
        b"\x1b[200~abc",
        b"\x1b]52;c;" + b"A" * 100_000 + b"\x07",
        b"\x1bP" + b"x" * 10_000,
        b"x" * 100_000,
    ],
    ids=["bytes", "latin-1", "key", "surrogate", "mouse", "size", "paste", "osc", "dcs", "flood"],
)
def test_no_input_ends_the_dashboard_or_makes_it_deaf(attached: Terminal, data: bytes) -> None:
    send_and_wait(attached, data)  # to the table
    open_search(attached)
    send_and_wait(attached, data)  # to the field for a search
    leave(attached)
    assert "Detached; the runs continue." in attached.text
    assert attached.process.exitstatus == 0


def send_and_wait(screen: Terminal, data: bytes) -> None:
    screen.process.send(data)
    screen.read_for(1.5)  # a paste without an end is over after a second
    assert screen.process.isalive(), screen.text


def open_search(screen: Terminal) -> None:
    """Press Escape and the slash until the field for a search is open."""
    deadline = time.monotonic() + DEADLINE_S
    while "regular expression" not in screen.text:
        assert time.monotonic() < deadline, f"deaf:\n{screen.text}"
        screen.press("\x1b")
        screen.read_for(0.3)  # at once, it would be Alt and a slash
        screen.press("/")
        screen.read_for(0.5)


def leave(screen: Terminal) -> None:
    """Press Escape and q until the dashboard has ended."""
    deadline = time.monotonic() + DEADLINE_S
    while screen.process.isalive():
        assert time.monotonic() < deadline, f"deaf:\n{screen.text}"
        for key in ("\x1b", "q"):
            with contextlib.suppress(OSError):  # it has just ended
                screen.press(key)
            screen.read_for(0.5)
    screen.read_rest()


def test_an_absurd_size_of_the_terminal_leaves_the_keys_alive(attached: Terminal) -> None:
    attached.process.setwinsize(65_535, 65_535)
    attached.skip_for(1.0)
    attached.process.setwinsize(24, 80)
    attached.press("q")
    deadline = time.monotonic() + DEADLINE_S
    while attached.process.isalive():
        assert time.monotonic() < deadline
        attached.skip_for(0.1)
    assert attached.process.exitstatus == 0


CRASH = """
import sys
from pathlib import Path
from pmssm.supervisor.dashboard import run_dashboard
from pmssm.supervisor.dashboard.config import DashboardConfig
from pmssm.supervisor.dashboard.terminal_input import InputParser
InputParser.feed = lambda *_: 1 / 0
run_dashboard(Path(sys.argv[1]), None, DashboardConfig())
"""


def test_a_crash_of_the_screen_ends_with_an_exit_code_that_is_not_0(session: Session) -> None:
    screen = Terminal(["-c", CRASH, str(session.logs)], session.env, program=sys.executable)
    screen.until("contacting the engine|cannot reach the engine")
    screen.press("q")
    assert "ZeroDivisionError" in screen.until_left()
    assert screen.process.exitstatus == 1


def test_ctrl_z_suspends_the_dashboard_and_fg_draws_it_again(session: Session) -> None:
    session.run_command("--detach", "--plan", str(session.plan))
    screen = session.shell()
    screen.until("shell>")
    screen.press(f"pmssm-supervise attach --logs {session.logs}\r")
    for key, shown in (("", r"alpha +▶ running"), ("\r", "Resources"), ("q/", "regular expression")):
        screen.press(key)
        screen.until(shown)
        screen.press("\x1a")
        screen.until(r"\[1\]\+ +Stopped")
        screen.press("stty -a\r")
        screen.until(r" icanon", r" echo ")
        screen.clear()
        screen.press("fg\r")
        screen.until(shown, r"alpha: ▶ running")
    screen.press("\x1a")
    screen.until(r"Stopped")
    screen.clear()
    screen.press("bg\r")
    screen.until(r"\[1\]\+ pmssm-supervise ")
    screen.press("while jobs | grep -q Running; do sleep 0.1; done; jobs\r")
    screen.until(r"\[1\]\+ +Stopped")  # it must not draw over the shell
    screen.clear()
    screen.press("fg\r")
    screen.until("regular expression")
    screen.press("\x11")  # Ctrl+Q also leaves while typing
    screen.until("Detached; the runs continue")


def test_ctrl_z_does_nothing_where_no_shell_could_continue_the_dashboard(attached: Terminal) -> None:
    attached.press("\x1a")
    attached.clear()
    attached.until(r"alpha +▶ running", "alpha: ▶ running")
    attached.press("q")
    assert "Detached; the runs continue." in attached.until_left()


def test_a_terminal_is_as_before_after_a_stop_that_the_dashboard_could_not_see(session: Session) -> None:
    session.run_command("--detach", "--plan", str(session.plan))
    screen = session.shell()
    screen.until("shell>")
    screen.press(f"pmssm-supervise attach --logs {session.logs}\r")
    screen.until(r"alpha +▶ running")
    os.kill(os.tcgetpgrp(screen.process.child_fd), signal.SIGSTOP)
    screen.until(r"\[1\]\+ +Stopped")
    screen.clear()
    screen.press("fg\r")
    screen.until(r"alpha +▶ running")
    screen.press("q")
    screen.until("Detached; the runs continue")
    screen.press("stty -a\r")
    screen.until(r" icanon", r" echo ")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_only_ascii_is_drawn_where_the_encoding_has_no_more(session: Session, encoding: str) -> None:
    session.run_command("--detach", "--plan", str(session.plan))
    session.env["PYTHONIOENCODING"] = encoding
    screen = session.attach()
    screen.until(r"alpha +> running", r"beta +x failed", "-GPUs---")
    screen.press("q")
    screen.until_left()
    assert screen.received.isascii() and b"\\u25" not in screen.received


def test_why_there_is_no_gpu_is_said_once_and_only_if_a_run_needs_one(session: Session) -> None:
    session.run_command("--detach", "--plan", str(session.plan))
    session.attach().until(r"alpha +▶ running", "no GPU: NVIDIA's library")
    assert session.run_command("status").count("libnvidia-ml") == 1
    session.run_command("down")
    session.plan.write_text('[runs.rest]\ncommand = ["sleep", "60"]\nslot = "none"\n')
    session.run_command("--detach", "--plan", str(session.plan))
    screen = session.attach()
    text = screen.until(r"rest +▶ running", "─GPUs─")
    assert "NVIDIA" not in text and not re.search("epoch|train|val loss|GPU mem", text)
    assert "NVIDIA" not in session.run_command("status")
    screen.press("x")
    assert "heckpoint" not in screen.until("Stop rest?", "SIGTERM, up to 30 s, then SIGKILL. s starts again")
    screen.press("y")
    assert "heckpoint" not in screen.until(r"rest +■ stopped", "s starts it")
